//! Bounds on clients, from outside: what is refused and how, whose address counts, and that those within the bounds are
//! served meanwhile.

mod attacks;
mod browsers;
mod connections;
mod injection;
mod proxies;
mod requests;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Answer, Relay, within};

const PATH: &str = "/v1/rooms/a/events";

/// A request that opens a stream.
const SUBSCRIBE: &str =
    "GET /v1/rooms/a/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";

/// A connection from 127.0.0.`host`, as from a machine of its own.
async fn connect_from(relay: &Relay, host: u8) -> TcpStream {
    let address: SocketAddr = relay
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((Ipv4Addr::new(127, 0, 0, host), 0).into())
        .expect("bind to a loopback address");
    within(socket.connect(address))
        .await
        .expect("connect to the relay")
}

/// A client whose connections come from 127.0.0.`host`.
fn client_from(relay: &Relay, host: u8) -> crate::support::Client {
    let http = reqwest::Client::builder()
        .no_proxy()
        .local_address(std::net::IpAddr::from([127, 0, 0, host]))
        .build()
        .expect("a client");
    relay.client.with(http)
}

/// Sends bytes.
async fn send(connection: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    // One that was closed meanwhile shows in what can be read.
    let _ = connection.write_all(bytes.as_ref()).await;
}

/// What comes until the relay closes the connection; a reset is an end, too.
async fn rest(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = within(connection.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What comes until it contains `end`, or the relay closes the connection.
async fn until(connection: &mut TcpStream, end: &str) -> String {
    let mut bytes: Vec<u8> = Vec::new();
    // Up to here no `end` begins: what comes is looked at once, however much it is.
    let mut searched = 0;
    while find(&bytes[searched..], end.as_bytes()).is_none() {
        searched = (bytes.len() + 1).saturating_sub(end.len());
        match within(connection.read_buf(&mut bytes)).await {
            Ok(1..) => {}
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where some bytes begin in others.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What `GET /metrics` says of a limit.
async fn hits(client: &crate::support::Client, limit: &str) -> u64 {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    count(&answer.body, limit)
}

fn count(metrics: &str, limit: &str) -> u64 {
    let line = format!("rowcast_limit_hits_total{{limit=\"{limit}\"}} ");
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
    found
        .unwrap_or_else(|| panic!("no {line:?} in {metrics}"))
        .trim()
        .parse()
        .expect("a number")
}

/// Status, code and `Retry-After` of a refusal.
fn refusal(answer: &Answer) -> (u16, String, &str) {
    let retry_after = answer.header("retry-after").expect("Retry-After");
    (answer.status.as_u16(), answer.code(), retry_after)
}
