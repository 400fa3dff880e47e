//! What the overview says: counts, rates, sources and their troubles, recent errors, and no secret.

use serde_json::Value;

use super::{next, watched};
use crate::support::{Stream, attach, eventually, messages, run};

/// Waits for an overview that `shows` it.
async fn until(stream: &mut Stream, shows: impl Fn(&Value) -> bool) -> Value {
    let mut overview = Value::Null;
    eventually(async || {
        overview = next(stream).await;
        shows(&overview)
    })
    .await;
    overview
}

/// The room of an overview with this name; `None`: all rooms.
fn room<'a>(overview: &'a Value, name: Option<&str>) -> Option<&'a Value> {
    let rooms = overview["rooms"].as_array().expect("a list of rooms");
    rooms.iter().find(|room| room["room"].as_str() == name)
}

#[tokio::test]
async fn rooms_are_counted_with_who_is_there_and_what_comes() {
    let (db, relay, admin) = watched(&["--allow-firehose"]).await;
    let mut overviews = admin.stream("/admin/events").await;
    assert_eq!(next(&mut overviews).await["rooms_held"], 0);
    let mut followers = Vec::new();
    for path in [
        "/v1/rooms/a/events",
        "/v1/rooms/a/events",
        "/v1/events?room=a&room=b",
        "/v1/events?room=*",
    ] {
        let mut follower = relay.client.stream(path).await;
        follower.ready().await;
        followers.push(follower);
    }
    let overview = until(&mut overviews, |overview| overview["rooms_held"] == 3).await;
    for (name, count) in [(Some("a"), 3), (Some("b"), 1), (None, 1)] {
        let room = room(&overview, name).expect("the room");
        assert_eq!(room["subscribers"], count, "{name:?}");
        assert_eq!(room["source"], "messages");
    }
    assert_eq!(overview["rooms"][0]["room"], "a", "the busiest first");
    let transports = &overview["connections"]["subscribers"];
    assert_eq!(transports[0]["transport"], "sse");
    assert_eq!(transports[0]["open"], 4);
    assert_eq!(overview["sources"][0]["subscriptions"], 5);
    db.say_many("a", 50).await;
    let is_positive = |value: &Value| value.as_f64().is_some_and(|value| value > 0.0);
    let overview = until(&mut overviews, |overview| {
        let [source, room] = [
            &overview["sources"][0],
            room(overview, Some("a")).expect("it is held"),
        ];
        is_positive(&source["rows_per_second"])
            && is_positive(&source["deliveries_per_second"])
            && is_positive(&room["events_per_second"])
    })
    .await;
    let all = room(&overview, None).expect("the followers of all");
    assert!(is_positive(&all["events_per_second"]) && is_positive(&all["ring_bytes"]));
    let other = room(&overview, Some("b")).expect("the other room");
    assert_eq!(other["events_per_second"], 0.0);
    // 50 rows, to four who follow them.
    let [rows, deliveries] = ["rows_per_second", "deliveries_per_second"]
        .map(|rate| overview["sources"][0][rate].as_f64().expect("a rate"));
    assert!((deliveries / rows - 4.0).abs() < 0.01, "{deliveries} of {rows}");
    drop(followers);
    until(&mut overviews, |overview| {
        overview["connections"]["subscribers"][0]["open"] == 0
            && room(overview, Some("a")).is_some_and(|room| room["subscribers"] == 0)
    })
    .await;
}

#[tokio::test]
async fn the_busiest_hundred_rooms_are_shown_and_it_is_said_how_many_there_are() {
    let (_db, relay, admin) = watched(&[]).await;
    let names: Vec<String> = (0..130).map(|n| format!("room=r{n}")).collect();
    let mut followers = Vec::new();
    for names in names.chunks(65) {
        let path = format!("/v1/events?{}", names.join("&"));
        let mut follower = relay.client.stream(&path).await;
        follower.ready().await;
        followers.push(follower);
    }
    let mut busy = relay.client.stream("/v1/rooms/r129/events").await;
    busy.ready().await;
    let mut overviews = admin.stream("/admin/events").await;
    let overview = until(&mut overviews, |overview| overview["rooms_held"] == 130).await;
    assert_eq!(overview["rooms"].as_array().map(Vec::len), Some(100));
    assert_eq!(overview["rooms"][0]["room"], "r129");
}

#[tokio::test]
async fn a_source_that_breaks_is_shown_with_its_reason_and_among_the_errors() {
    let (db, _relay, admin) = watched(&[]).await;
    run(
        &db,
        "create table letters (id bigint generated always as identity primary key, room text)",
    )
    .await;
    attach(&db, "'letters', room => 'room'").await;
    let mut overviews = admin.stream("/admin/events").await;
    let overview = until(&mut overviews, |overview| {
        let sources = overview["sources"].as_array().expect("a list");
        sources.len() == 2 && sources.iter().all(|source| source["trouble"].is_null())
    })
    .await;
    let [letters, messages] = [&overview["sources"][0], &overview["sources"][1]];
    assert_eq!(
        [&letters["name"], &messages["name"]].map(|name| name.as_str()),
        [Some("letters"), Some("messages")]
    );
    assert_eq!(letters["relation"], "public.letters");
    assert_eq!(letters["gaps"], 0);
    let mode = letters["mode"].as_str().expect("a mode");
    assert!(["armed", "polling", "arming"].contains(&mode), "{mode}");
    run(&db, "drop table letters").await;
    let overview = until(&mut overviews, |overview| {
        overview["sources"][0]["trouble"].is_string() && overview["errors"][0].is_object()
    })
    .await;
    let trouble = overview["sources"][0]["trouble"].as_str().expect("a reason");
    assert!(trouble.starts_with("its table is gone"), "{trouble}");
    assert!(overview["sources"][1]["trouble"].is_null());
    assert_eq!(overview["status"], "not_ready");
    let error = &overview["errors"][0];
    assert_eq!(error["level"], "WARN");
    assert_eq!(error["source"], "letters");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|said| said.contains("can't be read"))
    );
    assert!(error["last"].as_u64() >= error["first"].as_u64() && error["count"].as_u64() >= Some(1));
}

#[tokio::test]
async fn failures_are_kept_whatever_is_logged_and_say_nothing_of_rows_and_rooms() {
    let (db, relay, admin) = watched(&["--allow-publish", "--log-level", "off,rowcast=info"]).await;
    run(&db, "alter table messages add n int").await;
    let row = serde_json::json!({"n": "a secret that is no number", "body": "a secret body"});
    for _ in 0..3 {
        let answer = relay
            .client
            .post("/v1/rooms/a-secret-room/events?token=a-secret-token", &row)
            .await;
        assert!(answer.status.is_client_error(), "{}", answer.body);
    }
    let mut overviews = admin.stream("/admin/events").await;
    let overview = until(&mut overviews, |overview| overview["errors"][0]["count"] == 3).await;
    let errors = &overview["errors"];
    assert_eq!(errors[0]["message"], "a published row was not inserted");
    assert!(!errors.to_string().contains("secret"), "{errors}");
    let page = overview.to_string();
    assert!(
        !page.contains("postgres://") && !page.contains("postgresql://"),
        "{page}"
    );
}

#[tokio::test]
async fn the_database_is_shown_with_its_pools_and_the_proof_of_bells() {
    let (_db, relay, admin) = watched(&[]).await;
    relay.logs("LISTEN is proven").await;
    let mut overviews = admin.stream("/admin/events").await;
    let overview = until(&mut overviews, |overview| {
        overview["database"]["notification_queue_usage"].is_number()
    })
    .await;
    let database = &overview["database"];
    assert!(database["notify_round_trip_seconds_ago"].as_f64() < Some(60.0));
    assert_eq!(database["pools"][0]["name"], "main");
    assert_eq!(database["pools"][0]["most"], 8);
    let connections = &overview["connections"];
    assert!(connections["open"].is_u64() && connections["most"].is_u64());
}

#[tokio::test]
async fn who_comes_later_has_rates_at_once() {
    let (_db, _relay, admin) = watched(&[]).await;
    let mut first = admin.stream("/admin/events").await;
    assert!(next(&mut first).await["sources"][0]["rows_per_second"].is_null());
    until(&mut first, |overview| {
        overview["sources"][0]["rows_per_second"].is_number()
    })
    .await;
    let mut second = admin.stream("/admin/events").await;
    assert!(next(&mut second).await["sources"][0]["rows_per_second"].is_number());
}

#[tokio::test]
async fn a_relay_without_sources_has_an_overview() {
    let db = messages().await;
    run(&db, "select rowcast.detach('messages')").await;
    let relay = crate::support::Relay::serve(&db.relay_url, &["--admin-listen", "127.0.0.1:0"]).await;
    let mut overviews = relay.operators().stream("/admin/events").await;
    let overview = next(&mut overviews).await;
    assert_eq!(overview["sources"], serde_json::json!([]));
    assert_eq!(overview["status"], "ready");
}
