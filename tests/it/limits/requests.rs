//! What one request may be: its rooms, its head, its body; and how many of them there may be.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{PATH, connect_from, hits, refusal, rest, send};
use crate::support::{Client, eventually, scene};

/// A request for events, as each transport makes it.
fn request(client: &Client, transport: &str) -> reqwest::RequestBuilder {
    let (accept, query) = match transport {
        "SSE" => ("text/event-stream", "last=1"),
        "NDJSON" => ("application/x-ndjson", "last=1"),
        "long poll" => ("application/json", "last=1&wait=30"),
        _ => ("application/json", "last=1"),
    };
    let path = format!("{PATH}?{query}");
    client.request(Method::GET, &path).header("accept", accept)
}

const TRANSPORTS: [&str; 4] = ["SSE", "NDJSON", "long poll", "poll"];

#[tokio::test]
async fn requests_beyond_the_rate_are_refused_over_every_transport_and_come_back() {
    let (db, relay) = scene(&["--max-requests-per-second", "1", "--allow-publish"]).await;
    db.say("a", "one").await;
    for transport in TRANSPORTS {
        // However slow this machine is: among so many at once there are some within one second.
        let crowd = (0..50).map(|_| request(&relay.client, transport).send());
        let answers = join_all(crowd).await.into_iter().map(Result::unwrap);
        let told = answers.into_iter().find(|answer| answer.status() == 429);
        let told = told.unwrap_or_else(|| panic!("none is refused: {transport}"));
        assert_eq!(told.headers()["retry-after"], "1");
        assert_eq!(
            told.json::<serde_json::Value>().await.unwrap()["code"],
            "rate_limited"
        );
        eventually(async || request(&relay.client, transport).send().await.unwrap().status() == 200).await;
    }
    let crowd = (0..50).map(|_| relay.client.post(PATH, &json!({"body": "x"})));
    let answers = join_all(crowd).await;
    let told = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("POST counts, too");
    assert_eq!(refusal(told), (429, "rate_limited".to_owned(), "1"));
    assert!(hits(&relay.client, "requests_per_second").await >= 5);
}

#[tokio::test]
async fn subscriptions_beyond_their_number_are_refused_until_one_ends() {
    let (db, relay) = scene(&["--max-subscriptions-per-subject", "1"]).await;
    db.say("a", "one").await;
    for transport in &TRANSPORTS[..2] {
        let held = request(&relay.client, transport).send().await.unwrap();
        assert_eq!(held.status(), 200);
        for refused in &TRANSPORTS[..3] {
            let answer = relay.client.send(request(&relay.client, refused)).await;
            assert_eq!(
                refusal(&answer),
                (429, "too_many_connections".to_owned(), "5"),
                "{refused}"
            );
        }
        assert_eq!(relay.client.get(PATH).await.status, 200, "a plain poll is none");
        drop(held);
        eventually(async || request(&relay.client, "SSE").send().await.unwrap().status() == 200).await;
        // That one is dropped, too, and noticed as such.
        eventually(async || relay.client.get(&format!("{PATH}?wait=1&last=1")).await.status == 200).await;
    }
    assert!(hits(&relay.client, "subscriptions_per_subject").await >= 6);
}

#[tokio::test]
async fn rooms_beyond_their_number_are_refused_over_every_transport() {
    let (_db, relay) = scene(&["--max-rooms", "2"]).await;
    for accept in ["text/event-stream", "application/x-ndjson", "application/json"] {
        for wait in ["", "&wait=1"] {
            let path = format!("/v1/events?room=a&room=b&room=c{wait}");
            let request = relay.client.request(Method::GET, &path).header("accept", accept);
            let answer = relay.client.send(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "invalid_parameter")
            );
        }
    }
    assert_eq!(relay.client.get("/v1/events?room=a&room=b").await.status, 200);
    assert_eq!(hits(&relay.client, "rooms").await, 6);
}

#[tokio::test]
async fn heads_have_a_size_and_a_time() {
    let (_db, relay) = scene(&["--max-head-bytes", "8KiB", "--head-timeout", "1s"]).await;
    let mut connection = connect_from(&relay, 1).await;
    let large = "x".repeat(9_000);
    send(
        &mut connection,
        format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\nx-large: {large}\r\n\r\n"),
    )
    .await;
    let answer = rest(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
        let mut connection = connect_from(&relay, 1).await;
        send(&mut connection, begun).await;
        rest(&mut connection).await;
    }
    // So has each further one of a connection. Who sends none any more is no offender, so that this is not counted.
    for begun in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut connection = connect_from(&relay, 1).await;
        let first = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
        send(&mut connection, format!("{first}{begun}")).await;
        let answer = rest(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(hits(&relay.client, "head_bytes").await, 1);
    assert_eq!(hits(&relay.client, "head_timeout").await, 3);
}

#[tokio::test]
async fn bodies_have_a_size_and_a_time() {
    let arguments = [
        "--allow-publish",
        "--max-body-bytes",
        "100",
        "--body-timeout",
        "1s",
    ];
    let (db, relay) = scene(&arguments).await;
    let answer = relay.client.post(PATH, &json!({"body": "x".repeat(100)})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "body_too_large")
    );
    let mut connection = connect_from(&relay, 1).await;
    let head = "content-type: application/json\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{";
    send(
        &mut connection,
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{head}"),
    )
    .await;
    let answer = rest(&mut connection).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"request_timeout\""),
        "{answer}"
    );
    assert_eq!(hits(&relay.client, "body_bytes").await, 1);
    assert_eq!(hits(&relay.client, "body_timeout").await, 1);
    let rows = db.query_one("select count(*) from messages", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn rooms_that_only_look_alike_are_different_rooms() {
    let (db, relay) = scene(&[]).await;
    // Case, composed and decomposed, an invisible character, a look-alike, spaces, encodings.
    let rooms = [
        "cafe\u{301}",
        "caf\u{e9}",
        "CAF\u{c9}",
        "caf\u{e9}\u{200b}",
        "c\u{430}f\u{e9}",
        " caf\u{e9}",
        "caf%C3%A9",
        "caf\u{e9}/",
    ];
    for room in rooms {
        db.say(room, room).await;
    }
    for room in rooms {
        let encoded: String = room.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/v1/rooms/{encoded}/events?last=100"),
            format!("/v1/events?room={encoded}&last=100"),
        ] {
            let streamed = relay.client.stream(&path).await.next_row().await;
            assert_eq!(streamed["row"]["body"], room);
            let line = relay.client.lines(&path).await.next_line().await;
            assert_eq!(line.expect("a row")["row"]["body"], room);
            let answer = relay.client.get(&path).await;
            assert_eq!(answer.ids().len(), 1, "{room:?}: {}", answer.body);
        }
    }
    // Percent-encoding is a spelling; a slash more is another path.
    for spelling in ["caf%C3%A9", "%63af%c3%a9", "c%61f\u{e9}"] {
        let answer = relay.client.get(&format!("/v1/rooms/{spelling}/events")).await;
        assert_eq!(answer.events()[0]["row"]["body"], "caf\u{e9}", "{spelling}");
    }
    for path in [
        "/v1/rooms/caf%C3%A9/events/",
        "/v1/rooms/caf%C3%A9//events",
        "/v1/rooms/caf%C3%A9/",
        "//v1/rooms/caf%C3%A9/events",
        "/V1/rooms/caf%C3%A9/events",
        "/v1/events/?room=a",
    ] {
        let answer = relay.client.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
}
