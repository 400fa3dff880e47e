//! Many that mean no good beside one that does.

use futures_util::stream::{self, StreamExt};
use tokio::net::TcpStream;

use super::{PATH, SUBSCRIBE, client_from, connect_from, hits, send, until};
use crate::support::{Relay, scene};

/// Connections that one address makes.
const FLOOD: usize = 10_000;
/// How many of them it may have.
const HELD: usize = 100;
/// How many it makes at a time.
const AT_ONCE: usize = 200;

/// A subscription of the flood, where it was admitted.
async fn intrude(relay: &Relay) -> Option<TcpStream> {
    let mut connection = connect_from(relay, 66).await;
    send(&mut connection, SUBSCRIBE).await;
    let head = until(&mut connection, "\r\n\r\n").await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 200 ") || head.starts_with("HTTP/1.1 429 "),
        "{head}"
    );
    head.starts_with("HTTP/1.1 200 ").then_some(connection)
}

#[tokio::test]
async fn ten_thousand_connections_of_one_address_leave_the_others_served() {
    let most = HELD.to_string();
    let (db, relay) = scene(&["--max-connections-per-address", &most]).await;
    let legitimate = client_from(&relay, 2);
    let mut stream = legitimate.stream(PATH).await;
    stream.ready().await;
    let flood = stream::iter(0..FLOOD)
        .map(|_| intrude(&relay))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |held| held)
        .collect::<Vec<_>>();
    let mut flood = std::pin::pin!(flood);
    // Rows are committed and received, and newcomers answered, as long as it lasts.
    let mut rows = 0;
    let held = loop {
        let served = async {
            let id = db.say("a", "meanwhile").await;
            assert_eq!(stream.next_row().await["id"], id);
            assert_eq!(client_from(&relay, 3).get(PATH).await.status, 200);
        };
        let mut served = std::pin::pin!(served);
        tokio::select! {
            biased;
            () = &mut served => rows += 1,
            held = &mut flood => {
                served.await;
                break held;
            }
        }
    };
    println!("{rows} rows during the flood");
    assert_eq!(held.len(), HELD);
    assert_eq!(
        hits(&legitimate, "connections_per_address").await,
        (FLOOD - HELD) as u64
    );
    let id = db.say("a", "afterwards").await;
    assert_eq!(stream.next_row().await["id"], id);
}

#[tokio::test]
async fn slow_heads_slow_bodies_and_slow_readers_delay_nobody() {
    const EACH: usize = 100;
    const ROWS: i64 = 500;
    let (db, relay) = scene(&["--allow-publish"]).await;
    let legitimate = client_from(&relay, 2);
    let mut stream = legitimate.stream(PATH).await;
    stream.ready().await;
    let post = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    let mut slow = Vec::new();
    for number in 0..3 * EACH {
        let mut connection = connect_from(&relay, 66).await;
        let bytes = match number % 3 {
            0 => "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_owned(),
            1 => format!("{post}content-length: 1000\r\n\r\n{{"),
            // Reads nothing of what it asks for.
            _ => SUBSCRIBE.to_owned(),
        };
        send(&mut connection, bytes).await;
        slow.push(connection);
    }
    // This one has begun, and gets every row.
    until(&mut slow[2], "event: ready").await;
    for number in 0..ROWS {
        let body = "x".repeat(10_000);
        let id = db.say("a", &body).await;
        assert_eq!(stream.next_row().await["id"], id, "row {number}");
    }
    assert_eq!(legitimate.get(PATH).await.status, 200);
    // A slow reader that reads at last has lost nothing.
    let mut reader = slow.swap_remove(2);
    let all = until(&mut reader, &format!("\"id\":{ROWS},")).await;
    assert_eq!(all.matches("\"op\":\"insert\"").count() as i64, ROWS);
}
