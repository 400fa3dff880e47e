//! Server-Sent Events: the head, the frames byte by byte, their order, heartbeats.

use std::time::Duration;

use reqwest::Method;

use crate::support::{run, scene};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn the_head_of_a_stream_forbids_buffering_and_compression() {
    let (_db, relay) = scene(&[]).await;
    let request = relay.client.request(Method::GET, PATH);
    let request = request
        .header("accept", "text/event-stream")
        .header("accept-encoding", "gzip, br, deflate");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("content-length"), None);
    assert!(header("vary").unwrap().to_lowercase().contains("accept"));
}

#[tokio::test]
async fn a_stream_is_these_bytes() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    let mut stream = relay.client.stream(PATH).await;
    let opening = stream.next_raw().await.unwrap();
    let retry: u64 = opening
        .strip_prefix("retry: ")
        .and_then(|text| text.strip_suffix("\n\n"))
        .unwrap()
        .parse()
        .unwrap();
    assert!((1000..=3000).contains(&retry), "{retry}");
    assert_eq!(
        stream.next_raw().await.unwrap(),
        format!("event: ready\nid: {epoch}.0\ndata: {{\"cursor\":\"{epoch}.0\"}}\n\n")
    );
    db.say("a", "one\ntwo \"three\"").await;
    let row = r#"{"id":1,"room":"a","body":"one\ntwo \"three\""}"#;
    assert_eq!(
        stream.next_raw().await.unwrap(),
        format!("id: {epoch}.1\ndata: {{\"op\":\"insert\",\"id\":1,\"room\":\"a\",\"row\":{row}}}\n\n")
    );
}

#[tokio::test]
async fn the_operator_chooses_the_retry() {
    let (_db, relay) = scene(&["--retry", "5s"]).await;
    let mut stream = relay.client.stream(PATH).await;
    assert_eq!(stream.next_raw().await.unwrap(), "retry: 5000\n\n");
}

#[tokio::test]
async fn what_was_missed_comes_first_then_ready_then_what_follows() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 3).await;
    let mut stream = relay.client.stream(&format!("{PATH}?after={epoch}.1")).await;
    assert_eq!(stream.ids(2).await, [2, 3]);
    assert_eq!(stream.ready().await, format!("{epoch}.3"));
    db.say("b", "for others").await;
    db.say("a", "four").await;
    assert_eq!(stream.ids(1).await, [5]);
    assert_eq!(stream.last_event_id, Some(format!("{epoch}.5")));
}

#[tokio::test]
async fn a_stream_without_a_cursor_begins_now() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    // A plain poll shows them, so the relay has read them.
    assert_eq!(relay.client.get(PATH).await.ids(), [1, 2, 3]);
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    db.say("a", "four").await;
    assert_eq!(stream.ids(1).await, [4]);
}

#[tokio::test]
async fn a_quiet_stream_has_heartbeats() {
    let (db, relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let block = stream.next_raw().await.unwrap();
        assert!(block.starts_with(':') && block.ends_with("\n\n"), "{block:?}");
        assert_eq!(block.lines().count(), 2, "{block:?}");
    }
    assert!(
        began.elapsed() >= Duration::from_millis(150),
        "{:?}",
        began.elapsed()
    );
    db.say("a", "one").await;
    assert_eq!(stream.ids(1).await, [1]);
}

#[tokio::test]
async fn events_of_one_transaction_come_in_the_order_of_their_ids() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(
        &db,
        "begin; insert into messages (room) values ('a'), ('b'), ('a'); insert into messages (room) values ('a'); commit",
    )
    .await;
    assert_eq!(stream.ids(3).await, [1, 3, 4]);
}

#[tokio::test]
async fn a_row_that_commits_late_comes_late_and_leaves_a_gap_in_the_cursor() {
    let (mut db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    let other = db.connect().await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let late = db.client.transaction().await.unwrap();
    late.batch_execute("insert into messages (room) values ('a'), ('a')")
        .await
        .unwrap();
    run(&other, "insert into messages (room) values ('a')").await;
    assert_eq!(stream.ids(1).await, [3]);
    let cursor = stream.last_event_id.clone().unwrap();
    assert_eq!(cursor, format!("{epoch}.3~1-2"));
    late.commit().await.unwrap();
    assert_eq!(stream.ids(2).await, [1, 2]);
    assert_eq!(stream.last_event_id, Some(format!("{epoch}.3")));
    let mut resumed = relay.client.resume(PATH, &cursor).await;
    assert_eq!(resumed.ids(2).await, [1, 2]);
    assert_eq!(resumed.ready().await, format!("{epoch}.3"));
}

#[tokio::test]
async fn head_has_the_head_of_get_and_does_not_wait() {
    let (_db, relay) = scene(&[]).await;
    for accept in ["text/event-stream", "application/x-ndjson", "application/json"] {
        let request = relay
            .client
            .request(Method::HEAD, &format!("{PATH}?wait=60"))
            .header("accept", accept);
        let answer = relay.client.send(request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(accept));
        assert_eq!(answer.body, "");
    }
}
