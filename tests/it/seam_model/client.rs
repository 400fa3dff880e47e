//! One client of the model: it takes what its feed brings, keeps the newest cursor as text, and hops between relays.

use std::task::{Context, Poll, Waker};

use rand::Rng;
use rand::rngs::StdRng;
use rowcast::cursor::{Cursor, IdRange, OpenSet, Resume};
use rowcast::feed::{Batch, Feed, FeedError, Start, Step};
use rowcast::room::Room;
use serde_json::Value;

use super::database::{Rows, follows};
use super::relay::Relay;
use super::{EPOCH, Flaw};

/// How a client begins that has no cursor yet.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    Now,
    Last(usize),
    AfterRow(i64),
    /// With a cursor that has seen nothing.
    Empty,
}

pub struct Client {
    rooms: Vec<Room>,
    begin: Begin,
    flaw: Flaw,
    /// What it would resume with.
    cursor: Option<String>,
    /// The tail's open set when the feed took its first position.
    joined: Option<OpenSet>,
    pub got: Vec<i64>,
    /// Pairs that came in an order that is neither the ids' nor the tail's.
    pub disordered: usize,
    connection: Option<Connection>,
}

struct Connection {
    relay: usize,
    feed: Feed,
    /// The feed will take a position at the next poll.
    joins: bool,
    /// The tail's open set when this client connected, and its own.
    tails: OpenSet,
    own: OpenSet,
    is_ready: bool,
    newest: Option<i64>,
}

impl Client {
    pub fn new(rooms: Vec<Room>, begin: Begin, flaw: Flaw) -> Self {
        Self {
            rooms,
            begin,
            flaw,
            cursor: None,
            joined: None,
            got: Vec::new(),
            disordered: 0,
            connection: None,
        }
    }

    /// The index of the relay it is connected to.
    pub fn relay(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.relay)
    }

    /// Leaves without a word. A long poll would have ended with a cursor: so does this, `with_cursor`.
    pub fn disconnect(&mut self, with_cursor: bool) {
        if let Some(Connection { feed, .. }) = self.connection.take()
            && with_cursor
            && let Some(cursor) = feed.cursor()
        {
            self.cursor = Some(cursor.to_string());
        }
    }

    pub fn connect(&mut self, index: usize, relay: &Relay) {
        self.disconnect(false);
        let tails = relay.open().unwrap_or_else(|| OpenSet::above(0));
        let (start, last) = match &self.cursor {
            Some(text) => (self.resume(text, &tails), 0),
            None => match self.begin {
                Begin::Now => (Start::Now, 0),
                Begin::Last(count) => (Start::Now, count),
                Begin::AfterRow(id) => (Start::AfterRow(id), 0),
                Begin::Empty => (
                    Start::After(Cursor {
                        epoch: EPOCH,
                        open: OpenSet::above(0),
                    }),
                    0,
                ),
            },
        };
        let own = match &start {
            Start::After(cursor) => cursor.open.clone(),
            Start::Now | Start::AfterRow(_) => tails.clone(),
        };
        let feed = relay.subscribe(&self.rooms, start, last);
        self.connection = Some(Connection {
            relay: index,
            feed,
            joins: true,
            tails,
            own,
            is_ready: false,
            newest: None,
        });
    }

    fn resume(&self, text: &str, tails: &OpenSet) -> Start {
        let Ok(Resume::Cursor(mut cursor)) = Resume::parse(text) else {
            panic!("no cursor: {text}")
        };
        assert_eq!(cursor.to_string(), text);
        if self.flaw == Flaw::NoFilterWhileFollowing {
            cursor.open = cursor.open.union(tails);
        }
        Start::After(cursor)
    }

    /// Asks the feed once and takes what it brings, or part of it before it leaves. Was there anything?
    pub fn poll(&mut self, relays: &[Relay], rng: &mut StdRng, may_leave: bool) -> bool {
        let Some(mut connection) = self.connection.take() else {
            return false;
        };
        let relay = &relays[connection.relay];
        self.note_join(&mut connection, relay);
        let polled = connection.feed.poll_step(&mut Context::from_waker(Waker::noop()));
        let mut stays = true;
        let is_progress = polled.is_ready();
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(Step::Ready(cursor))) => {
                connection.is_ready = true;
                self.cursor = Some(cursor.to_string());
            }
            Poll::Ready(Ok(Step::Events(batch))) => {
                let count = batch.len();
                let taken = if may_leave && rng.random_bool(0.1) {
                    rng.random_range(0..=count)
                } else {
                    count
                };
                stays = taken == count;
                self.take(&mut connection, relay, batch, taken);
            }
            Poll::Ready(Ok(Step::Reset { code, .. })) => panic!("reset: {code:?}"),
            Poll::Ready(Err(FeedError::Unavailable | FeedError::Overloaded)) => connection.joins = true,
            Poll::Ready(Err(FeedError::Gone)) => panic!("gone"),
        }
        if stays {
            self.connection = Some(connection);
        }
        is_progress
    }

    /// Keeps the tail's open set at the moment when a client without a cursor begins.
    fn note_join(&mut self, connection: &mut Connection, relay: &Relay) {
        let Some(open) = relay.open() else { return };
        let begins = self.cursor.is_none() && connection.feed.cursor().is_none();
        // The newest are located between two polls, everything else within one.
        if begins && (connection.joins || !matches!(self.begin, Begin::Last(_))) {
            self.joined = Some(open);
            connection.joins = false;
        }
    }

    /// Takes the first `count` events of a batch, as a stream would or as a poll would.
    fn take(&mut self, connection: &mut Connection, relay: &Relay, mut batch: Batch, count: usize) {
        let frames = String::from_utf8(batch.frames().to_vec()).unwrap();
        let frames: Vec<(&str, i64)> = frames.split_terminator("\n\n").map(parse).collect();
        let json: Vec<i64> = batch.events().map(id_of).collect();
        assert_eq!(json, frames.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        for &(cursor, id) in &frames[..count] {
            self.check_order(connection, relay, id);
            self.got.push(id);
            self.cursor = Some(cursor.to_owned());
            if self.flaw == Flaw::ReplayCursorFromTheTail && !connection.is_ready {
                let open = OpenSet::new(
                    connection.own.high().max(id),
                    connection.tails.gaps().iter().copied(),
                );
                self.cursor = Some(Cursor { epoch: EPOCH, open }.to_string());
            }
        }
        batch.truncate(count);
        if self.flaw == Flaw::None && count > 0 {
            assert_eq!(
                batch.cursor().map(|cursor| cursor.to_string()),
                self.cursor,
                "a poll's and a stream's cursor"
            );
        }
    }

    fn check_order(&mut self, connection: &mut Connection, relay: &Relay, id: i64) {
        if let Some(before) = connection.newest.replace(id) {
            let follows = relay.order.get(&before) < relay.order.get(&id);
            self.disordered += usize::from(!(follows || before < id));
        }
    }

    /// The rows that it must have got in the end.
    pub fn expected(&self, committed: &Rows) -> Vec<i64> {
        let Some(joined) = &self.joined else {
            return Vec::new();
        };
        let of_rooms = committed
            .iter()
            .filter(|(_, room)| follows(&self.rooms, room))
            .map(|(&id, _)| id);
        let newest_closed = |count: usize| {
            of_rooms
                .clone()
                .rev()
                .filter(|&id| !joined.contains(id))
                .nth(count - 1)
        };
        let open = match self.begin {
            Begin::Now => joined.clone(),
            Begin::Empty => OpenSet::above(0),
            Begin::AfterRow(id) => {
                let below = |gap: &IdRange| IdRange {
                    low: gap.low,
                    high: gap.high.min(id),
                };
                OpenSet::new(id, joined.gaps().iter().filter(|gap| gap.low <= id).map(below))
            }
            Begin::Last(count) => joined.union(&OpenSet::above(newest_closed(count).unwrap_or(1) - 1)),
        };
        of_rooms.clone().filter(|&id| open.contains(id)).collect()
    }
}

/// The cursor and the row's id of an SSE frame.
fn parse(frame: &str) -> (&str, i64) {
    let (cursor, json) = frame
        .strip_prefix("id: ")
        .and_then(|rest| rest.split_once("\ndata: "))
        .expect("a frame of an event");
    assert!(
        !json.contains("truncated"),
        "not read, and sent nevertheless: {json}"
    );
    (cursor, id_of(json.as_bytes()))
}

fn id_of(json: &[u8]) -> i64 {
    serde_json::from_slice::<Value>(json).unwrap()["id"]
        .as_i64()
        .unwrap()
}
