//! Many subscribers, and one that does not read: against the real relay, over plain sockets.

mod comers;
mod herd;
mod stalled;

use std::net::SocketAddr;

use futures_util::stream::{self, StreamExt};
use memchr::memmem;
use rowcast::demo::postgres::has_library;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{MESSAGES, Relay, TestDatabase, attach, database, run, within};

/// Descriptors that the tests of this file need, and the relays that they start.
const DESCRIPTORS: u64 = 8_192;

/// Connections that are made at a time: fewer than a listening socket lets wait.
const CONNECTING: usize = 200;

/// A database with the table `messages` attached, whose inserts ring.
async fn messages() -> TestDatabase {
    raise_descriptors();
    let db = database().await;
    run(&db, MESSAGES).await;
    attach(&db, "'messages', room => 'room'").await;
    db
}

/// Inserts `count` rows as one transaction and returns their ids.
async fn insert(db: &TestDatabase, room: &str, count: usize, body_bytes: usize) -> Vec<i64> {
    let statement = "insert into messages (room, body)
         select $1, repeat('x', $3) from generate_series(1, $2) returning id";
    let (count, body_bytes) = (count as i32, body_bytes as i32);
    let rows = db
        .query(statement, &[&room, &count, &body_bytes])
        .await
        .expect("insert rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// As many descriptors as the system lets this process, and its children, have; at most [`DESCRIPTORS`].
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum,
            },
        )
        .expect("raise the limit");
    }
}

/// A subscriber over HTTP/1.1 on a socket of its own: cheap enough for a thousand.
struct Subscriber {
    socket: TcpStream,
    /// What came and was not taken apart yet: chunks of the transfer coding.
    raw: Vec<u8>,
    /// The stream itself, up to the frame that is not complete.
    text: Vec<u8>,
    /// The cursor of the newest frame that had one.
    cursor: Option<String>,
}

/// A frame of an event stream.
struct Frame {
    event: Option<String>,
    /// The row's id, where it is a row's.
    row: Option<i64>,
}

impl Subscriber {
    /// Asks for a room's stream, from a cursor or from now on, and reads the answer's head.
    async fn connect(relay: &Relay, room: &str, cursor: Option<&str>) -> Self {
        let mut subscriber = Self::ask(relay, room, cursor).await;
        subscriber.take_head().await;
        subscriber
    }

    /// Only asks.
    async fn ask(relay: &Relay, room: &str, cursor: Option<&str>) -> Self {
        let address: SocketAddr = relay.url.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        // Little is on its way to one that does not read.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut socket = within(socket.connect(address))
            .await
            .expect("connect to the relay");
        let cursor = cursor.map_or_else(String::new, |cursor| format!("last-event-id: {cursor}\r\n"));
        let request = format!(
            "GET /v1/rooms/{room}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{cursor}\r\n"
        );
        socket
            .write_all(request.as_bytes())
            .await
            .expect("send a request");
        Self {
            socket,
            raw: Vec::new(),
            text: Vec::new(),
            cursor: None,
        }
    }

    async fn take_head(&mut self) {
        let head = self.take_until(b"\r\n\r\n").await;
        let head = String::from_utf8(head)
            .expect("a head in ASCII")
            .to_ascii_lowercase();
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("transfer-encoding: chunked"),
            "{head}"
        );
    }

    async fn read(&mut self) {
        let read = within(self.socket.read_buf(&mut self.raw))
            .await
            .expect("read from the relay");
        assert!(read > 0, "the relay closed the stream");
    }

    /// The bytes up to and with `end`, which are taken off.
    async fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = memmem::find(&self.raw, end) {
                return self.raw.drain(..at + end.len()).collect();
            }
            self.read().await;
        }
    }

    /// Takes one chunk (RFC 9112, section 7.1) over into the text.
    async fn take_chunk(&mut self) {
        let size = self.take_until(b"\r\n").await;
        let size = std::str::from_utf8(&size).unwrap().trim_end();
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        assert!(size > 0, "the stream is over");
        while self.raw.len() < size + 2 {
            self.read().await;
        }
        self.text.extend(self.raw.drain(..size));
        self.raw.drain(..2);
    }

    /// The next frame with an event.
    async fn frame(&mut self) -> Frame {
        loop {
            let Some(end) = memmem::find(&self.text, b"\n\n") else {
                self.take_chunk().await;
                continue;
            };
            let frame: Vec<u8> = self.text.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).expect("a stream in UTF-8");
            let field = |name: &str| {
                frame
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            if let Some(data) = field("data: ") {
                self.cursor = field("id: ").or(self.cursor.take());
                let data: Value = serde_json::from_str(&data).unwrap();
                return Frame {
                    event: field("event: "),
                    row: data["id"].as_i64(),
                };
            }
        }
    }

    /// The ids of the rows up to `ready`.
    async fn until_ready(&mut self) -> Vec<i64> {
        let mut ids = Vec::new();
        loop {
            match self.frame().await {
                Frame {
                    event: None,
                    row: Some(id),
                } => ids.push(id),
                Frame { event, .. } => {
                    assert_eq!(event.as_deref(), Some("ready"));
                    return ids;
                }
            }
        }
    }

    /// The ids of the next rows. One who fell behind is told between them that it has caught up.
    async fn rows(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let Frame { event, row } = self.frame().await;
            assert!(row.is_some() || event.as_deref() == Some("ready"), "{event:?}");
            ids.extend(row);
        }
        ids
    }
}

/// What `make` brings for each of `count`, a few hundred at a time.
async fn crowd<T, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Vec<T> {
    stream::iter(0..count)
        .map(make)
        .buffer_unordered(CONNECTING)
        .collect()
        .await
}

/// A field of a process's status in bytes: `VmRSS`, `VmHWM` (its peak).
fn memory(relay: &Relay, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid())).expect("its status");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("the field");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    1024 * kibibytes.parse::<u64>().expect("a number")
}

/// Makes `pg_stat_statements` available. Every PostgreSQL that the tests install has it.
async fn count_statements(db: &TestDatabase) {
    assert!(
        has_library(None, "pg_stat_statements").unwrap(),
        "PostgreSQL's contrib modules are not installed"
    );
    // Another role's statements are a superuser's to see.
    db.admin()
        .await
        .batch_execute("create extension if not exists pg_stat_statements; grant pg_read_all_stats to app")
        .await
        .expect("create the extension");
}

/// How many pages of replays this database was asked for so far.
async fn replays(db: &TestDatabase) -> i64 {
    let counted = "select coalesce(sum(calls), 0)::bigint
          from pg_stat_statements
         where query like '%header.kept_above, found.%budgeted%'
           and dbid = (select oid from pg_database where datname = current_database())";
    db.query_one(counted, &[])
        .await
        .expect("count the replays")
        .get(0)
}
