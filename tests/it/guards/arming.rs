//! A tail sleeps only while every row that it has not seen will ring.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use super::{EVENTS, INSERT, bell_flag, enters, inserting, log_by_now, run, with_messages};
use crate::support::{Relay, eventually};

/// What a relay is told so that it arms as soon as it can, and storms at nothing here.
const ARM: [&str; 4] = ["--quiet-after", "50ms", "--busy-bells-per-second", "10000"];

/// Fails when `Mode::on_noted` arms at once, or `on_read` arms whatever the snapshot's xmin is.
#[tokio::test]
async fn no_tail_sleeps_while_a_writer_is_open_who_read_the_flag_as_0() {
    let db = with_messages().await;
    run(&db, "select setval('rowcast.bell_messages', 0)").await;
    let silent = inserting(&db.app_url).await;
    let relay = Relay::serve(&db.relay_url, &ARM).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    relay.logs("\"to\":\"arming\"").await;
    assert_eq!(bell_flag(&db).await, "1");
    // Each answer comes of a read that began after the question: the mode had its chances.
    for _ in 0..5 {
        relay.client.get(EVENTS).await.events();
    }
    let log = log_by_now(&db, &relay).await;
    assert!(
        !log.iter().any(|line| enters(line, "armed")),
        "it sleeps:\n{}",
        log.join("\n")
    );
    // Those who begin now ring.
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [2]);
    run(&silent, "commit").await;
    assert_eq!(stream.ids(1).await, [1]);
    eventually(async || relay.log().iter().any(|line| enters(line, "armed"))).await;
}

/// A writer begins just before the flag is 1: the relay's `setval` is held on its way, between it and PostgreSQL.
///
/// Fails when the bound is noted before or within the statement that sets the flag.
#[tokio::test]
async fn the_bound_of_arming_is_noted_after_the_flag_is_set() {
    let db = with_messages().await;
    run(&db, "select setval('rowcast.bell_messages', 0)").await;
    let gate = Gate::before(&db.relay_url, "::pg_catalog.regclass, 1)").await;
    let relay = Relay::serve(&gate.url, &ARM).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    gate.somebody_waits().await;
    let silent = inserting(&db.app_url).await;
    gate.open();
    relay.logs("\"to\":\"arming\"").await;
    for _ in 0..5 {
        relay.client.get(EVENTS).await.events();
    }
    let log = log_by_now(&db, &relay).await;
    assert!(
        !log.iter().any(|line| enters(line, "armed")),
        "it sleeps:\n{}",
        log.join("\n")
    );
    run(&silent, "commit").await;
    assert_eq!(stream.ids(1).await, [1]);
}

/// A relay that set the flag to 0 and died before it said so.
///
/// Fails when `Mode::on_read` does not look at the flag while armed.
#[tokio::test]
async fn a_busy_that_nobody_heard_is_found_by_the_backstop() {
    let db = with_messages().await;
    let relay = Relay::serve(&db.relay_url, &ARM).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    relay.logs("\"to\":\"armed\"").await;
    run(&db, "select setval('rowcast.bell_messages', 0)").await;
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [1]);
    relay.logs("\"from\":\"armed\",\"to\":\"polling\"").await;
    eventually(async || bell_flag(&db).await == "1").await;
}

/// A `busy` that comes while the relay's own `setval(1)` is on its way cancels the arming: whoever said it polls, and set
/// the flag before or after.
///
/// Fails when `Mode::on_busy` leaves `Raising` alone.
#[tokio::test]
async fn a_busy_heard_while_the_flag_is_being_set_cancels_the_arming() {
    let db = with_messages().await;
    let gate = Gate::before(&db.relay_url, "::pg_catalog.regclass, 1)").await;
    let relay = Relay::serve(
        &gate.url,
        &[&ARM[..], &["--listen-database-url", &db.relay_url]].concat(),
    )
    .await;
    gate.somebody_waits().await;
    run(
        &db,
        "select pg_notify('rowcast', 'busy:messages'); select pg_notify('rowcast', 'sources:')",
    )
    .await;
    // Heard in the order of commits: with the registry's change behind it, the `busy` is heard as well.
    log_by_now(&db, &relay).await;
    gate.open();
    relay.logs("\"from\":\"raising\"").await;
    let first = relay
        .log()
        .iter()
        .find(|line| line.contains("\"from\":\"raising\""))
        .cloned();
    assert!(
        first.as_ref().is_some_and(|line| enters(line, "polling")),
        "{first:?}"
    );
}

/// A way to the database that lets nothing pass which contains `word`, nor what comes after it, until it is opened.
struct Gate {
    /// The database through the gate.
    url: String,
    opened: watch::Sender<bool>,
    waiting: Arc<watch::Sender<u32>>,
}

impl Gate {
    async fn before(database_url: &str, word: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut url = Url::parse(database_url).expect("a URL");
        let server = (
            url.host_str().expect("a host").to_owned(),
            url.port().expect("a port"),
        );
        url.set_port(Some(listener.local_addr().expect("an address").port()))
            .expect("a URL with a port");
        let gate = Self {
            url: url.into(),
            opened: watch::Sender::new(false),
            waiting: Arc::default(),
        };
        let (opened, waiting) = (gate.opened.subscribe(), gate.waiting.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("connect");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let held = Held {
                    word: word.as_bytes(),
                    opened: opened.clone(),
                    waiting: waiting.clone(),
                };
                tokio::spawn(forward(from_client, to_server, Some(held)));
                tokio::spawn(forward(from_server, to_client, None));
            }
        });
        gate
    }

    async fn somebody_waits(&self) {
        let mut waiting = self.waiting.subscribe();
        let _ = crate::support::within(waiting.wait_for(|count| *count > 0)).await;
    }

    fn open(&self) {
        self.opened.send_replace(true);
    }
}

/// What holds one connection.
struct Held {
    word: &'static [u8],
    opened: watch::Receiver<bool>,
    waiting: Arc<watch::Sender<u32>>,
}

/// Copies until either end is closed. A driver sends a statement in one piece, far smaller than the buffer.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: Option<Held>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let piece = &buffer[..length];
        if let Some(held) = &mut held
            && piece.windows(held.word.len()).any(|window| window == held.word)
        {
            held.waiting.send_modify(|count| *count += 1);
            let _ = held.opened.wait_for(|opened| *opened).await;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}
