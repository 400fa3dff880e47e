//! One subscriber, the same over every transport: what a test says of one is said of all four.

use std::collections::VecDeque;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Client, Lines, Stream, eventually, within};

/// How a subscriber gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    EventStream,
    Ndjson,
    LongPoll,
    Poll,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::EventStream, Self::Ndjson, Self::LongPoll, Self::Poll];
}

/// A subscriber that keeps its cursor.
pub struct Subscriber {
    client: Client,
    transport: Transport,
    path: String,
    stream: Option<Stream>,
    lines: Option<Lines>,
    cursor: String,
    unread: VecDeque<Value>,
}

impl Subscriber {
    /// Subscribes from now on. `path` may have a query.
    pub async fn new(client: &Client, transport: Transport, path: &str) -> Self {
        let cursor = client.get(&with_query(path, "limit=1")).await.cursor();
        Self::resume(client, transport, path, &cursor).await
    }

    /// Subscribes after a cursor.
    pub async fn resume(client: &Client, transport: Transport, path: &str, cursor: &str) -> Self {
        let (mut stream, mut lines) = (None, None);
        match transport {
            Transport::EventStream => stream = Some(client.resume(path, cursor).await),
            Transport::Ndjson => {
                let path = with_query(path, &format!("after={cursor}"));
                lines = Some(client.lines(&path).await);
            }
            Transport::LongPoll | Transport::Poll => {}
        }
        Self {
            client: client.clone(),
            transport,
            path: path.to_owned(),
            stream,
            lines,
            cursor: cursor.to_owned(),
            unread: VecDeque::new(),
        }
    }

    /// The next event. Fails at a reset.
    pub async fn next(&mut self) -> Value {
        if let Some(stream) = &mut self.stream {
            loop {
                let frame = stream.next_event().await;
                match frame.event.as_deref() {
                    None => return frame.json(),
                    Some("ready") => {}
                    Some(other) => panic!("{other}: {frame:?}"),
                }
            }
        }
        if self.lines.is_some() {
            return self.next_of_lines().await;
        }
        let mut unread = std::mem::take(&mut self.unread);
        eventually(async || {
            if unread.is_empty() {
                let wait = if self.transport == Transport::LongPoll {
                    "&wait=20"
                } else {
                    ""
                };
                let path = with_query(&self.path, &format!("after={}{wait}", self.cursor));
                let answer = self.client.get(&path).await;
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
                self.cursor = answer.cursor();
                unread.extend(answer.events());
            }
            !unread.is_empty()
        })
        .await;
        let event = unread.pop_front().expect("the loop above ended with one");
        self.unread = unread;
        event
    }

    /// As a program reads lines: it takes events up to the cursor behind them, and keeps that. Fails at a reset.
    async fn next_of_lines(&mut self) -> Value {
        let lines = self.lines.as_mut().expect("this transport has lines");
        let (unread, cursor) = (&mut self.unread, &mut self.cursor);
        let mut untaken = false;
        within(async {
            while untaken || unread.is_empty() {
                let line = lines.next_line().await.expect("the stream goes on");
                match line["control"].as_str() {
                    None => {
                        unread.push_back(line);
                        untaken = true;
                    }
                    Some("cursor" | "ready") => {
                        *cursor = line["cursor"].as_str().expect("a cursor").to_owned();
                        untaken = false;
                    }
                    Some(_) => panic!("{line}"),
                }
            }
        })
        .await;
        self.unread.pop_front().expect("the loop above ended with one")
    }

    /// The ids of the next `count` events.
    pub async fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            ids.push(self.next().await["id"].as_i64().expect("an integer id"));
        }
        ids
    }

    /// Where to resume from after what [`Subscriber::next`] has returned.
    ///
    /// # Panics
    /// Where a poll or a stream of lines brought events that were not taken yet.
    pub fn cursor(&self) -> String {
        assert!(
            self.unread.is_empty(),
            "the cursor is behind {} unread events",
            self.unread.len()
        );
        match &self.stream {
            Some(stream) => stream
                .last_event_id
                .clone()
                .unwrap_or_else(|| self.cursor.clone()),
            None => self.cursor.clone(),
        }
    }
}

/// `path` with one more parameter.
pub fn with_query(path: &str, parameter: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{parameter}")
}
