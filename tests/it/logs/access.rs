//! The access log: one line for each request, at its end, without what it asked for.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PATH, lines};
use crate::support::{Relay, eventually, scene};

/// The lines of the access log.
fn requests(relay: &Relay) -> Vec<Value> {
    let mut lines = lines(relay);
    lines.retain(|line| line["target"] == "rowcast::access");
    lines
}

/// The line of the request with this id, when it has come.
async fn line(relay: &Relay, id: &str) -> Value {
    let found = || {
        requests(relay)
            .into_iter()
            .find(|line| line["span"]["request_id"] == id)
    };
    eventually(async || found().is_some()).await;
    found().expect("it was there")
}

#[tokio::test]
async fn a_request_is_a_line_with_the_route_and_never_the_path() {
    let (_db, relay) = scene(&["--access-log"]).await;
    for (path, route, status, transport) in [
        (
            "/v1/rooms/a-secret/events",
            "/v1/rooms/{room}/events",
            200,
            "poll",
        ),
        ("/v1/events?room=a-secret", "/v1/events", 200, "poll"),
        (
            "/v1/rooms/a-secret/events?wait=1",
            "/v1/rooms/{room}/events",
            200,
            "long_poll",
        ),
        (
            "/v1/sources/a-secret/events?room=x",
            "/v1/sources/{source}/events",
            404,
            "-",
        ),
        ("/a-secret?ticket=a-secret", "-", 404, "-"),
        ("/health/live", "/health/live", 200, "-"),
    ] {
        // Not compressed: what is counted is what was sent.
        let request = relay.client.request(Method::GET, path);
        let request = request
            .header("accept", "application/json")
            .header("accept-encoding", "identity");
        let answer = relay.client.send(request).await;
        let line = line(&relay, answer.header("x-request-id").expect("an id")).await;
        let told = [
            &line["method"],
            &line["route"],
            &line["status"],
            &line["transport"],
            &line["client"],
        ];
        let wanted = [
            json!("GET"),
            json!(route),
            json!(status),
            json!(transport),
            json!("127.0.0.1"),
        ];
        assert_eq!(told.map(Value::clone), wanted, "{path}");
        assert_eq!(line["bytes"], answer.body.len(), "{path}");
        assert!(line["duration_ms"].is_u64(), "{line}");
    }
    for line in relay.log() {
        assert!(!line.contains("a-secret"), "{line}");
    }
}

#[tokio::test]
async fn a_stream_is_a_line_when_it_ends() {
    let (db, relay) = scene(&["--access-log"]).await;
    let request = relay
        .client
        .request(Method::GET, PATH)
        .header("accept", "text/event-stream");
    let mut response = request.send().await.expect("a stream");
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    db.say("a", "hello").await;
    let mut taken = 0;
    while taken < 100 {
        taken += response.chunk().await.expect("it goes on").expect("more").len();
    }
    assert_eq!(requests(&relay), [] as [Value; 0], "it is open");
    drop(response);
    let line = line(&relay, &id).await;
    assert_eq!(
        [&line["transport"], &line["status"]],
        [&json!("sse"), &json!(200)]
    );
    assert!(line["bytes"].as_u64() >= Some(100), "{line}");
}

#[tokio::test]
async fn the_client_is_who_the_trusted_proxy_says() {
    let (_db, relay) = scene(&["--access-log", "--trusted-proxies", "127.0.0.1"]).await;
    let request = relay.client.request(Method::GET, "/health/live");
    let answer = relay
        .client
        .send(request.header("x-forwarded-for", "192.0.2.7"))
        .await;
    let line = line(&relay, answer.header("x-request-id").expect("an id")).await;
    assert_eq!(line["client"], "192.0.2.7");
}

#[tokio::test]
async fn without_the_option_no_request_is_logged() {
    let (_db, relay) = scene(&[]).await;
    relay.client.get(PATH).await;
    relay.client.get("/nowhere").await;
    // A line that comes after theirs would have.
    relay.terminate();
    relay.logs("ending").await;
    assert_eq!(requests(&relay), [] as [Value; 0]);
}
