//! Bad input: whatever a client sends, the answer is a problem with a status and a code, and nothing breaks.

mod connections;
mod cursors;
mod parameters;
mod publish;
mod rooms;

use reqwest::Method;

use crate::support::{Answer, Client, Relay};

/// The status and code of a problem, after a check that it is one, whole.
fn problem(answer: &Answer) -> (u16, String) {
    let code = answer.code();
    let problem = answer.json();
    let status = answer.status.as_u16();
    assert_eq!(problem["status"], status, "{problem}");
    for text in ["type", "title", "detail"] {
        assert!(
            problem[text].as_str().is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "{code}"
    );
    for leak in [
        "SQL", "sqlstate", "relation", "pg_", "syntax", "violates", "ERROR",
    ] {
        assert!(
            !answer.body.contains(leak),
            "the database's own words: {}",
            answer.body
        );
    }
    (status, code)
}

/// What a GET gets as JSON and as a stream of either format: each time the same problem.
async fn refused(client: &Client, path: &str) -> (u16, String) {
    let as_json = problem(&client.get(path).await);
    for format in ["text/event-stream", "application/x-ndjson"] {
        let stream = client.request(Method::GET, path).header("accept", format);
        assert_eq!(
            problem(&client.send(stream).await),
            as_json,
            "as {format}: {path}"
        );
    }
    as_json
}

/// The relay still works.
async fn is_well(relay: &mut Relay) {
    assert!(relay.is_running());
    assert_eq!(relay.client.get("/health/ready").await.status, 200);
    assert_eq!(relay.client.get("/v1/rooms/a/events").await.status, 200);
    for line in relay.log() {
        assert!(!line.contains("panicked"), "{line}");
    }
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
