//! Which representation a client gets: `Accept`, `Accept-Encoding`, `Vary`, HTTP/1.1 and HTTP/2.

use reqwest::{Method, Version};

use crate::support::{Answer, Stream, plain_http, scene};

const PATH: &str = "/v1/rooms/a/events";

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

/// An `Accept`, and the type of the answer; `None`: 406.
const ACCEPTED: &[(Option<&str>, Option<&str>)] = &[
    (None, Some(JSON)),
    (Some("*/*"), Some(JSON)),
    (Some("application/json"), Some(JSON)),
    (Some("application/*"), Some(JSON)),
    (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Some(JSON)),
    (Some("application/json, text/event-stream;q=0.9"), Some(JSON)),
    (Some("text/event-stream;q=0"), None),
    (Some("text/event-stream;q=0, */*"), Some(JSON)),
    (Some("text/event-stream"), Some(STREAM)),
    (Some("text/event-stream, application/json"), Some(STREAM)),
    (
        Some("application/json;q=0.5, text/event-stream;q=0.5"),
        Some(STREAM),
    ),
    (
        Some("application/json;q=0.4, text/event-stream;q=0.5"),
        Some(STREAM),
    ),
    (Some("TEXT/Event-Stream"), Some(STREAM)),
    (Some("text/event-stream, */*;q=0.1"), Some(STREAM)),
    (Some("application/x-ndjson"), Some(LINES)),
    (Some("application/x-ndjson, application/json"), Some(LINES)),
    (Some("text/event-stream;q=0.9, application/x-ndjson"), Some(LINES)),
    (Some("application/x-ndjson, text/event-stream"), Some(STREAM)),
    (Some("application/x-ndjson;q=0.5, */*"), Some(JSON)),
    (Some("application/x-ndjson;q=0"), None),
    (Some("text/html"), None),
    (Some("text/plain, image/png"), None),
    (Some("application/json;q=0"), None),
];

#[tokio::test]
async fn accept_decides_between_the_streams_and_json() {
    let (_db, relay) = scene(&[]).await;
    for &(accept, expected) in ACCEPTED {
        let mut request = relay.client.request(Method::GET, PATH);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let vary: Vec<_> = response
            .headers()
            .get_all("vary")
            .iter()
            .map(|vary| vary.to_str().unwrap().to_lowercase())
            .collect();
        assert!(
            vary.join(",").split(',').any(|name| name.trim() == "accept"),
            "{accept:?}: {vary:?}"
        );
        match expected {
            Some(expected) => assert_eq!(
                (response.status().as_u16(), kind.as_str()),
                (200, expected),
                "{accept:?}"
            ),
            None => {
                assert_eq!(
                    (response.status().as_u16(), kind.as_str()),
                    (406, "application/problem+json"),
                    "{accept:?}"
                );
                let problem: serde_json::Value = response.json().await.unwrap();
                assert_eq!(problem["code"], "not_acceptable");
            }
        }
    }
}

#[tokio::test]
async fn json_is_compressed_where_asked() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 100).await;
    let plain = plain_http().no_gzip().build().unwrap();
    let plain = relay.client.with(plain);
    let request = plain.request(Method::GET, PATH).header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    assert!(
        bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < 3000,
        "{} bytes",
        bytes.len()
    );
    let answer: Answer = plain.send(plain.request(Method::GET, PATH)).await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.ids().len(), 100);
    assert_eq!(relay.client.get(PATH).await.ids().len(), 100);
}

#[tokio::test]
async fn http_2_works_with_prior_knowledge() {
    let (db, relay) = scene(&["--allow-publish"]).await;
    let http2 = plain_http().http2_prior_knowledge().build().unwrap();
    let client = relay.client.with(http2);
    let response = client
        .request(Method::GET, PATH)
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let mut stream = Stream::of(response).await;
    stream.ready().await;
    // Many streams over one connection.
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut other = client.stream(PATH).await;
        other.ready().await;
        others.push(other);
    }
    let id = db.say("a", "").await;
    assert_eq!(stream.ids(1).await, [id]);
    for mut other in others {
        assert_eq!(other.ids(1).await, [id]);
    }
    assert_eq!(client.get(PATH).await.ids(), [id]);
    assert_eq!(
        client.post(PATH, &serde_json::json!({"body": "x"})).await.status,
        201
    );
    assert_eq!(client.get("/nowhere").await.code(), "not_found");
}

#[tokio::test]
async fn http_1_is_the_default() {
    let (_db, relay) = scene(&[]).await;
    let response = relay.client.request(Method::GET, PATH).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
}
