//! What clients put into requests neither becomes a line of an answer's head, nor a line of the log.

use serde_json::json;

use super::{connect_from, rest, send};
use crate::support::{Relay, scene};

/// What stands in the way, percent-encoded: line breaks, NUL, an escape sequence, a line separator, a right-to-left mark.
const SAID: &str = "x%0d%0aInjected:%201%0aINFO%20injected%00%1b%5b31mred%c2%9b1m%e2%80%a8%e2%80%ae";

/// Fails where the log has a line that a client wrote, or characters that steer a terminal.
fn assert_log_is_ours(relay: &Relay) {
    for line in relay.log() {
        let line = line.trim_end_matches('\r');
        assert!(
            !line.starts_with("INFO") && !line.starts_with("Injected") && !line.starts_with("injected"),
            "{line:?}"
        );
        let steers = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!line.contains(steers), "{line:?}");
    }
}

/// The head of the answer to raw bytes.
async fn head(relay: &Relay, request: &[u8]) -> String {
    let mut connection = connect_from(relay, 1).await;
    send(&mut connection, request).await;
    let answer = rest(&mut connection).await;
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.to_ascii_lowercase()
}

#[tokio::test]
async fn parameters_and_headers_with_line_breaks_reach_no_head_and_no_log() {
    for format in ["human", "json"] {
        let arguments = [
            "--allow-publish",
            "--log-format",
            format,
            "--log-level",
            "rowcast=trace",
        ];
        let (_db, relay) = scene(&arguments).await;
        for target in [
            format!("/v1/rooms/{SAID}/events"),
            format!("/v1/events?room={SAID}"),
            format!("/v1/events?room=a&after={SAID}"),
            format!("/v1/events?room=a&limit={SAID}"),
            format!("/v1/events?room=a&wait={SAID}"),
            format!("/v1/sources/{SAID}/rooms/a/events"),
            format!("/{SAID}"),
        ] {
            for accept in ["application/json", "text/event-stream"] {
                let request = format!(
                    "GET {target} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\norigin: {SAID}\r\nlast-event-id: \r\nconnection: close\r\n\r\n"
                );
                let head = head(&relay, request.as_bytes()).await;
                assert!(head.starts_with("http/1.1 4"), "{target}: {head}");
                assert!(!head.contains("inject"), "{target}: {head}");
            }
        }
        for line in [
            &b"last-event-id: 1\r2"[..],
            b"last-event-id: a\0b",
            b"last-event-id: \x1b[31m",
            b"x-forwarded-for: a\nInjected: 1",
            b"origin: http://a\rInjected: 1",
            b"accept: text/event-stream\x0bInjected",
            b"host: a\0",
        ] {
            let request = [
                &b"GET /v1/events?room=a HTTP/1.1\r\nconnection: close\r\n"[..],
                line,
                b"\r\n\r\n",
            ]
            .concat();
            let head = head(&relay, &request).await;
            assert!(!head.contains("inject"), "{line:?}: {head}");
        }
        assert_log_is_ours(&relay);
    }
}

#[tokio::test]
async fn a_row_that_is_refused_leaves_nothing_of_its_contents_in_the_log() {
    let arguments = ["--allow-publish", "--log-format", "human"];
    let (_db, relay) = scene(&arguments).await;
    let path = "/v1/rooms/a%0aINFO%20injected%1b%5b31m%e2%80%ae/events";
    // The database's words quote the value.
    let answer = relay
        .client
        .post(path, &json!({"id": "1\nINFO injected\u{1b}[31m", "body": "x"}))
        .await;
    assert_eq!(answer.code(), "invalid_row");
    relay.logs("a published row was not inserted").await;
    assert_log_is_ours(&relay);
    let log = relay.log().join("\n");
    assert!(!log.contains("injected"), "{log}");
}
