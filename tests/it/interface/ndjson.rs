//! NDJSON: the head, the lines byte by byte, and the cursor lines that a program resumes from.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Relay, attach, database, run, scene};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn a_stream_of_lines_is_these_bytes() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    let mut lines = relay.client.lines(PATH).await;
    assert_eq!(
        lines.next_raw().await.unwrap(),
        format!("{{\"control\":\"ready\",\"cursor\":\"{epoch}.0\"}}\n")
    );
    db.say("a", "one\ntwo \"three\"").await;
    let row = r#"{"id":1,"room":"a","body":"one\ntwo \"three\""}"#;
    assert_eq!(
        lines.next_raw().await.unwrap(),
        format!("{{\"op\":\"insert\",\"id\":1,\"room\":\"a\",\"row\":{row}}}\n")
    );
    assert_eq!(
        lines.next_raw().await.unwrap(),
        format!("{{\"control\":\"cursor\",\"cursor\":\"{epoch}.1\"}}\n")
    );
}

#[tokio::test]
async fn the_head_forbids_buffering_and_compression() {
    let (_db, relay) = scene(&[]).await;
    let request = relay.client.request(Method::GET, PATH);
    let request = request
        .header("accept", "application/x-ndjson")
        .header("accept-encoding", "gzip, br, deflate");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("application/x-ndjson"));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("content-length"), None);
    assert!(header("vary").unwrap().to_lowercase().contains("accept"));
}

/// `Lines` fails at a line that is no JSON.
#[tokio::test]
async fn every_line_is_json_whatever_is_in_the_row() {
    let db = database().await;
    run(
        &db,
        "create table t (id bigint generated always as identity primary key, room text, body text, doc json)",
    )
    .await;
    attach(&db, "'t', room => 'room'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let room = "two\nlines\r\"\u{2028}";
    let path = "/v1/rooms/two%0Alines%0D%22%E2%80%A8/events";
    let rows: [(&str, &str, Value); 3] = [
        (
            "\u{1}\n\r\n\u{85}\u{2028}\u{2029}",
            "{\n\r\n\"a\":\r[1,\n2]\n}",
            json!({"a": [1, 2]}),
        ),
        ("\\\"{\"control\":\"end\"}\n", "\"control\"", json!("control")),
        ("", "null", Value::Null),
    ];
    let mut live = relay.client.lines(path).await;
    live.control("ready").await;
    for (body, doc, _) in &rows {
        let sql = "insert into t (room, body, doc) values ($1, $2, $3::text::json)";
        db.execute(sql, &[&room, body, doc]).await.unwrap();
    }
    let mut replayed = relay.client.lines(&format!("{path}?after=0")).await;
    for lines in [&mut live, &mut replayed] {
        for (body, _, doc) in &rows {
            let event = lines.next_row().await;
            assert_eq!(
                (&event["room"], &event["row"]["body"]),
                (&json!(room), &json!(body))
            );
            assert_eq!(event["row"]["doc"], *doc);
        }
    }
}

#[tokio::test]
async fn the_newest_come_first_then_ready_then_what_follows() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 3).await;
    let mut lines = relay.client.lines(&format!("{PATH}?last=2")).await;
    assert_eq!(lines.ids(2).await, [2, 3]);
    let behind = lines.next_line().await.unwrap();
    assert_eq!(
        behind,
        json!({"control": "cursor", "cursor": format!("{epoch}.3")})
    );
    assert_eq!(lines.control("ready").await, format!("{epoch}.3"));
    db.say("b", "for others").await;
    db.say("a", "four").await;
    assert_eq!(lines.ids(1).await, [5]);
}

/// A program that loses its connection behind every cursor line: it gets each row once, also those that commit late.
#[tokio::test]
async fn resuming_from_a_cursor_line_loses_and_repeats_nothing() {
    let (db, relay) = scene(&["--ring-events", "5"]).await;
    let mut other = db.connect().await;
    let mut cursor = relay.client.get(PATH).await.cursor();
    let mut got = Vec::new();
    for round in 0..15 {
        let late = other.transaction().await.unwrap();
        late.batch_execute("insert into messages (room) values ('a'), ('b'), ('a')")
            .await
            .unwrap();
        db.say_many("a", 1 + round % 3).await;
        got.extend(read_to(&relay, &mut cursor, 1 + round as usize % 3).await);
        late.commit().await.unwrap();
        got.extend(read_to(&relay, &mut cursor, 2).await);
    }
    let sql = "select id from messages where room = 'a' order by id";
    let rows = db.query(sql, &[]).await.unwrap();
    let all: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    got.sort_unstable();
    assert_eq!(got, all);
    let mut lines = relay.client.lines(&format!("{PATH}?after={cursor}")).await;
    lines.control("ready").await;
}

/// The ids of the next `count` events, over a new stream for each batch that comes, resumed from the last cursor line.
async fn read_to(relay: &Relay, cursor: &mut String, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let mut lines = relay.client.lines(&format!("{PATH}?after={cursor}")).await;
        let before = ids.len();
        loop {
            let line = lines.next_line().await.expect("the stream goes on");
            match line["control"].as_str() {
                None => ids.push(line["id"].as_i64().unwrap()),
                Some("cursor") if ids.len() > before => break,
                Some("ready") => {}
                Some(_) => panic!("{line}"),
            }
        }
        *cursor = lines.cursor.take().expect("a line had one");
    }
    assert_eq!(ids.len(), count, "{ids:?}");
    ids
}

#[tokio::test]
async fn a_quiet_stream_of_lines_has_heartbeats() {
    let (db, relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut lines = relay.client.lines(PATH).await;
    lines.control("ready").await;
    for _ in 0..2 {
        assert_eq!(lines.next_raw().await.unwrap(), "{\"control\":\"heartbeat\"}\n");
    }
    db.say("a", "one").await;
    assert_eq!(lines.ids(1).await, [1]);
}

#[tokio::test]
async fn a_reset_is_a_line_with_a_code_and_the_stream_goes_on() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 3).await;
    let mut lines = relay
        .client
        .lines(&format!("{PATH}?after={}.1&last=1", epoch + 1))
        .await;
    let reset = json!({"control": "reset", "code": "epoch", "cursor": format!("{epoch}.3")});
    assert_eq!(lines.next_line().await, Some(reset));
    assert_eq!(lines.ids(1).await, [3]);
    run(&db, "truncate messages").await;
    while lines.next_line().await.expect("the stream goes on")["code"] != "truncated" {}
    assert!(
        lines
            .cursor
            .take()
            .unwrap()
            .starts_with(&format!("{}.", epoch + 1))
    );
    db.say("a", "new").await;
    while lines.next_line().await.expect("the stream goes on")["id"] != 4 {}
}

#[tokio::test]
async fn a_drain_ends_it_with_a_line_that_says_so() {
    let (_db, mut relay) = scene(&["--grace-period", "1s"]).await;
    let mut lines = relay.client.lines(PATH).await;
    lines.control("ready").await;
    relay.terminate();
    let end = json!({"control": "end", "code": "shutting_down"});
    assert_eq!(lines.next_line().await, Some(end));
    assert_eq!(lines.next_raw().await, None);
    assert_eq!(relay.exit_status().await.code(), Some(0));
}

#[tokio::test]
async fn a_source_that_is_detached_ends_it_with_a_line_that_says_so() {
    let (db, relay) = scene(&[]).await;
    let mut lines = relay.client.lines(PATH).await;
    lines.control("ready").await;
    run(&db, "select rowcast.detach('messages')").await;
    let end = json!({"control": "end", "code": "unknown_source"});
    assert_eq!(lines.next_line().await, Some(end));
    assert_eq!(lines.next_raw().await, None);
}
