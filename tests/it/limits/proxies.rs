//! Whose word counts for where a request comes from. Seen at the limit of subscriptions, which is an address's here.

use super::{SUBSCRIBE, connect_from, send, until};
use crate::support::{Relay, scene};

/// The status of a subscription from 127.0.0.`host` with these headers; the stream stays open with the connection.
async fn subscribe(relay: &Relay, host: u8, headers: &str) -> (u16, tokio::net::TcpStream) {
    let mut connection = connect_from(relay, host).await;
    let head = SUBSCRIBE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
    send(&mut connection, head).await;
    let answer = until(&mut connection, "\r\n\r\n").await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("no answer: {answer}")),
        connection,
    )
}

#[tokio::test]
async fn only_trusted_proxies_say_where_a_request_comes_from() {
    let arguments = [
        "--max-subscriptions-per-subject",
        "1",
        "--trusted-proxies",
        "127.0.0.9,10.0.0.0/8",
    ];
    let (_db, relay) = scene(&arguments).await;
    let mut held = Vec::new();
    for (host, headers, expected) in [
        // Through the proxy each client is its own.
        (9, "x-forwarded-for: 192.0.2.1\r\n", 200),
        (9, "x-forwarded-for: 192.0.2.1\r\n", 429),
        (9, "x-forwarded-for: 192.0.2.2\r\n", 200),
        (9, "forwarded: for=192.0.2.3;proto=https\r\n", 200),
        (9, "forwarded: for=\"192.0.2.3:4711\"\r\n", 429),
        // A second proxy before it.
        (9, "x-forwarded-for: 192.0.2.4, 10.1.1.1\r\n", 200),
        (9, "x-forwarded-for: 192.0.2.4\r\n", 429),
        // What a client put there itself.
        (9, "x-forwarded-for: 198.51.100.1, 192.0.2.1\r\n", 429),
        (
            9,
            "x-forwarded-for: 198.51.100.1\r\nx-forwarded-for: 192.0.2.1\r\n",
            429,
        ),
        // Two headers that disagree, and garbage, are the proxy itself.
        (
            9,
            "x-forwarded-for: 192.0.2.5\r\nforwarded: for=198.51.100.1\r\n",
            200,
        ),
        (9, "x-forwarded-for: garbage\r\n", 429),
        (9, "", 429),
        // Whoever is no proxy speaks for itself alone.
        (8, "x-forwarded-for: 192.0.2.6\r\n", 200),
        (8, "x-forwarded-for: 192.0.2.7\r\n", 429),
        (8, "forwarded: for=192.0.2.8\r\n", 429),
        // One /64 is one client.
        (9, "x-forwarded-for: 2001:db8::1\r\n", 200),
        (9, "x-forwarded-for: 2001:db8::ffff:2\r\n", 429),
        (9, "x-forwarded-for: 2001:db8:0:1::1\r\n", 200),
    ] {
        let (status, connection) = subscribe(&relay, host, headers).await;
        assert_eq!(status, expected, "{host}: {headers}");
        held.push(connection);
    }
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_those_of_many() {
    let arguments = [
        "--max-connections-per-address",
        "1",
        "--trusted-proxies",
        "127.0.0.9",
    ];
    let (_db, relay) = scene(&arguments).await;
    let mut held = Vec::new();
    for (host, expected) in [(9, 200), (9, 200), (8, 200), (8, 429)] {
        let (status, connection) = subscribe(&relay, host, "").await;
        assert_eq!(status, expected, "{host}");
        held.push(connection);
    }
}
