//! Below the requests: heads that are slow, too large, or none at all.

use std::time::Duration;

use tokio::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::is_well;
use crate::support::{Relay, scene, within};

async fn connection(relay: &Relay) -> TcpStream {
    TcpStream::connect(relay.url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Sends bytes and reads until the relay closes the connection (a reset counts).
async fn closing_answer(relay: &Relay, bytes: &[u8]) -> String {
    let mut connection = connection(relay).await;
    let _ = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(connection.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_slow_head_is_cut_off_after_ten_seconds() {
    let (_db, mut relay) = scene(&[]).await;
    let beginnings = [
        "",
        "GET /v1/rooms/a/ev",
        "GET /v1/rooms/a/events HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
    ];
    let cut_off = beginnings.map(async |beginning| {
        let began = Instant::now();
        closing_answer(&relay, beginning.as_bytes()).await;
        began.elapsed()
    });
    for took in futures_util::future::join_all(cut_off).await {
        assert!(
            (Duration::from_secs(5)..Duration::from_secs(20)).contains(&took),
            "{took:?}"
        );
    }
    is_well(&mut relay).await;
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_http_are_answered_and_closed() {
    let (_db, mut relay) = scene(&[]).await;
    let header = format!(
        "GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let target = format!(
        "GET /v1/rooms/{}/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "x".repeat(20_000)
    );
    let many: String = (0..500).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET /health/live HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    for bytes in [header, target, many] {
        let answer = closing_answer(&relay, bytes.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"HELO there\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = closing_answer(&relay, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    is_well(&mut relay).await;
}

#[tokio::test]
async fn a_head_of_almost_sixteen_kibibytes_is_fine() {
    let (_db, relay) = scene(&[]).await;
    let request = relay
        .client
        .request(reqwest::Method::GET, "/v1/rooms/a/events")
        .header("cookie", "x".repeat(15_000));
    assert_eq!(relay.client.send(request).await.status, 200);
}
