//! The log: its form, the id of each request, the access log, and what must never stand in it.

mod access;

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Relay, scene};

const PATH: &str = "/v1/rooms/a/events";

/// The log's lines, each of which must be JSON.
fn lines(relay: &Relay) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    relay.log().iter().map(parse).collect()
}

#[tokio::test]
async fn the_log_is_json_where_it_is_no_terminal_and_for_people_where_it_is_asked_for() {
    let (_db, relay) = scene(&[]).await;
    let lines = lines(&relay);
    let listening = lines.iter().find(|line| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.starts_with("listening on"))
    });
    let listening = listening.expect("the line that says so");
    assert_eq!(listening["level"], "INFO");
    assert!(listening["timestamp"].is_string() && listening["target"].is_string());
    let (_db, relay) = scene(&["--log-format", "human"]).await;
    let log = relay.log();
    assert!(
        log.iter()
            .any(|line| line.contains("INFO") && line.contains("listening on"))
    );
    assert!(!log.iter().any(|line| line.starts_with('{')), "{log:?}");
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let (_db, relay) = scene(&[]).await;
    let mut seen = HashSet::new();
    let mut check = |what: &str, id: Option<&str>| {
        let id = id.unwrap_or_else(|| panic!("{what} has no id")).to_owned();
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{what}: {id}"
        );
        assert!(seen.insert(id), "{what}: an id was used before");
    };
    for path in [
        PATH,
        PATH,
        "/v1/rooms/a/events?limit=x",
        "/v1/sources/none/events?room=a",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/rowcast.js",
        "/nowhere",
    ] {
        check(path, relay.client.get(path).await.header("x-request-id"));
    }
    let wrong = relay.client.request(Method::DELETE, PATH);
    check("DELETE", relay.client.send(wrong).await.header("x-request-id"));
    let stream = relay
        .client
        .request(Method::GET, PATH)
        .header("accept", "text/event-stream");
    let head = stream.send().await.expect("a stream");
    let id = head.headers()["x-request-id"].to_str().expect("text").to_owned();
    check("a stream", Some(&id));
}

#[tokio::test]
async fn a_connection_that_is_refused_is_told_with_an_id() {
    let (_db, relay) = scene(&["--max-connections", "1"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let refused = relay
        .client
        .with(crate::support::plain_http().build().expect("another client"));
    let answer = refused.get("/health/live").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("x-request-id").map(str::len), Some(16));
}

#[tokio::test]
async fn an_id_is_taken_from_a_trusted_proxy_alone_and_only_where_it_is_plain() {
    let (_db, trusting) = scene(&["--trusted-proxies", "127.0.0.0/8"]).await;
    let (_db, wary) = scene(&[]).await;
    let longest = "x".repeat(64);
    for (given, is_plain) in [
        ("7f9c-Ab_1.2", true),
        (&*longest, true),
        (&*format!("{longest}x"), false),
        ("", false),
        ("a b", false),
        ("a\"b", false),
        ("a=b", false),
    ] {
        for (relay, is_trusted) in [(&trusting, true), (&wary, false)] {
            let request = relay.client.request(Method::GET, "/health/live");
            let answer = relay.client.send(request.header("x-request-id", given)).await;
            let id = answer.header("x-request-id").expect("an id");
            assert_eq!(id == given, is_plain && is_trusted, "{given:?}: {id:?}");
        }
    }
}

#[tokio::test]
async fn the_lines_of_a_request_carry_its_id_and_say_nothing_of_the_row() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    let row = json!({"id": "a secret that is no number", "body": "a secret body"});
    let answer = relay.client.post("/v1/rooms/a-secret-room/events", &row).await;
    assert!(answer.status.is_client_error(), "{}", answer.body);
    relay.logs("was not inserted").await;
    let lines = lines(&relay);
    let line = lines
        .iter()
        .find(|line| line["message"] == "a published row was not inserted");
    let line = line.expect("the line about it");
    let id = answer.header("x-request-id").expect("an id");
    assert_eq!(line["span"]["request_id"], id, "{line}");
    assert!(line["sqlstate"].is_string(), "{line}");
    for line in relay.log() {
        assert!(!line.contains("secret"), "{line}");
    }
}
