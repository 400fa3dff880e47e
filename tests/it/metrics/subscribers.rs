//! Subscribers, what they are sent, and why they end.

use serde_json::json;

use super::{PATH, of_messages, scrape, value};
use crate::support::{Subscriber, Transport, attach, database, eventually, run, scene};

#[tokio::test]
async fn a_stream_is_counted_while_it_is_open_with_what_it_is_sent() {
    let (db, relay) = scene(&[]).await;
    let sse = [("transport", "sse")];
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let id = db.say("a", "hello").await;
    assert_eq!(stream.ids(1).await, [id]);
    let text = scrape(&relay.client).await;
    let labels = [("source", "messages"), ("transport", "sse")];
    let now = |name| value(&text, name, &labels);
    assert_eq!(now("rowcast_subscribers"), Some(1.0));
    assert_eq!(now("rowcast_connects_total"), Some(1.0));
    assert_eq!(now("rowcast_events_delivered_total"), Some(1.0));
    assert_eq!(now("rowcast_events_replayed_total"), Some(0.0));
    assert!(now("rowcast_sent_bytes_total") > Some(100.0), "{text}");
    let source = [("source", "messages")];
    assert_eq!(value(&text, "rowcast_events_read_total", &source), Some(1.0));
    assert_eq!(value(&text, "rowcast_rooms", &source), Some(1.0));
    assert!(value(&text, "rowcast_ring_bytes", &source) > Some(0.0));
    drop(stream);
    let left = [sse[0], ("reason", "client_left")];
    eventually(async || of_messages(&relay, "rowcast_ends_total", &left).await == Some(1.0)).await;
    assert_eq!(of_messages(&relay, "rowcast_subscribers", &sse).await, Some(0.0));
}

#[tokio::test]
async fn polls_are_counted_by_how_they_end() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    assert_eq!(relay.client.get(PATH).await.ids().len(), 3);
    assert_eq!(
        relay.client.get(&format!("{PATH}?after=1.0")).await.code(),
        "epoch"
    );
    let text = scrape(&relay.client).await;
    let now = |name, label| {
        value(
            &text,
            name,
            &[("source", "messages"), ("transport", "poll"), label],
        )
    };
    assert_eq!(now("rowcast_ends_total", ("reason", "answered")), Some(1.0));
    assert_eq!(now("rowcast_ends_total", ("reason", "failed")), Some(1.0));
    assert_eq!(
        now("rowcast_events_replayed_total", ("source", "messages")),
        Some(3.0)
    );
    let epoch = [("code", "epoch")];
    assert_eq!(
        of_messages(&relay, "rowcast_resets_total", &epoch).await,
        Some(1.0)
    );
}

#[tokio::test]
async fn a_stream_that_is_reset_is_counted_by_its_code() {
    let (_db, relay) = scene(&[]).await;
    let mut stream = relay.client.resume(PATH, "1.0").await;
    stream.next_event().await;
    let epoch = [("code", "epoch")];
    assert_eq!(
        of_messages(&relay, "rowcast_resets_total", &epoch).await,
        Some(1.0)
    );
}

#[tokio::test]
async fn those_who_ask_the_same_are_served_by_few_queries() {
    let (db, relay) = scene(&[]).await;
    // Of another room, so that no ring of this one has what comes.
    let cursor = relay.client.get("/v1/rooms/b/events").await.cursor();
    db.say_many("a", 40).await;
    let before = scrape(&relay.client).await;
    let subscribers =
        (0..30).map(|_| Subscriber::resume(&relay.client, Transport::EventStream, PATH, &cursor));
    for mut subscriber in futures_util::future::join_all(subscribers).await {
        assert_eq!(subscriber.ids(40).await.len(), 40);
    }
    let after = scrape(&relay.client).await;
    let grown = |name| {
        let at = |text| value(text, name, &[("source", "messages")]).expect("a series");
        at(&after) - at(&before)
    };
    let (queries, served) = (
        grown("rowcast_replay_queries_total"),
        grown("rowcast_replays_served_total"),
    );
    assert!(
        served >= 30.0 && (1.0..=served).contains(&queries),
        "{queries} for {served}"
    );
    let sse = [("source", "messages"), ("transport", "sse")];
    assert_eq!(value(&after, "rowcast_events_replayed_total", &sse), Some(1200.0));
}

#[tokio::test]
async fn a_detached_source_disappears_from_the_gauges() {
    let db = database().await;
    run(
        &db,
        "create table one (id bigint generated always as identity primary key, room text);
         create table two (id bigint generated always as identity primary key, room text);",
    )
    .await;
    attach(&db, "'one', room => 'room'").await;
    attach(&db, "'two', room => 'room'").await;
    let relay = crate::support::Relay::serve(&db.relay_url, &[]).await;
    let gauges = [
        "rowcast_subscribers",
        "rowcast_tail_mode",
        "rowcast_tail_lag_seconds",
        "rowcast_source_following",
        "rowcast_rooms",
    ];
    let text = scrape(&relay.client).await;
    let there = |text: &str, source| gauges.map(|name| value(text, name, &[("source", source)]).is_some());
    assert_eq!(
        (there(&text, "one"), there(&text, "two")),
        ([true; 5], [true; 5]),
        "{text}"
    );
    run(&db, "select rowcast.detach('one')").await;
    eventually(async || there(&scrape(&relay.client).await, "one") == [false; 5]).await;
    assert_eq!(there(&scrape(&relay.client).await, "two"), [true; 5]);
}

#[tokio::test]
async fn no_room_nor_what_is_published_stands_in_the_metrics() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    let path = "/v1/rooms/a-secret-room/events";
    let mut stream = relay.client.stream(path).await;
    stream.ready().await;
    let said = relay.client.post(path, &json!({"body": "a secret body"})).await;
    assert_eq!(said.status, 201, "{}", said.body);
    stream.ids(1).await;
    let text = scrape(&relay.client).await;
    assert!(!text.contains("secret"), "{text}");
}
