//! What a subscriber received, and how: what counts is what a client could use, a whole frame of a stream, a whole answer
//! of a poll.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::journal::Picture;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Sse,
    Ndjson,
    LongPoll,
    Poll,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::Sse, Self::Ndjson, Self::LongPoll, Self::Poll];

    /// The media type to ask for.
    pub fn accepts(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::LongPoll | Self::Poll => "application/json",
        }
    }
}

/// The room that stands for all of a source.
pub const ALL_ROOMS: &str = "*";

/// What one subscriber received, and how.
#[derive(Clone)]
pub struct Received {
    pub transport: Transport,
    /// The source, as paths begin.
    pub path: String,
    pub rooms: Vec<&'static str>,
    /// The position after all that was received; `None` before the first answer.
    pub cursor: Option<String>,
    /// Each event's id, and the index of the session that brought it.
    pub ids: HashMap<i64, usize>,
    /// Ids that came again: id, first session, second session.
    pub repeated: Vec<(i64, usize, usize)>,
    /// What must not happen at all: resets, rows of other rooms, unknown answers.
    pub strange: Vec<String>,
    pub sessions: Vec<Session>,
    pub tally: Comings,
    /// Of a journal: what it knows of its rooms.
    pub picture: Option<Picture>,
    /// Resets are no defect: it fetches afresh and goes on.
    pub may_be_reset: bool,
    /// The codes of those that it got.
    pub resets: Vec<String>,
    /// Ids that it fetched after a reset: they may come once more.
    pub listed: HashSet<i64>,
    /// When the newest event was taken.
    pub last_at: Option<Instant>,
    /// The longest time between two events.
    pub longest_pause: Duration,
}

/// One stream, or one poll.
#[derive(Clone)]
pub struct Session {
    pub relay: usize,
    pub resumed_from: Option<String>,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(on relay {} after {:?})", self.relay, self.resumed_from)
    }
}

/// How sessions began and ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comings {
    /// Resumed on another relay than the one before.
    pub changes_of_relay: u64,
    /// Ended by the subscriber, in the middle of whatever came.
    pub left: u64,
    /// Ended by the other side.
    pub cut: u64,
    /// No answer at all, or 503.
    pub refused: u64,
    /// Told that its cursor is older than what the journal keeps.
    pub expired: u64,
}

impl Received {
    /// Takes one event in the current session.
    pub fn take(&mut self, event: &Value) {
        let Some(room) = event["room"].as_str() else {
            return self.strange.push(format!("an event without a room: {event}"));
        };
        if !self.rooms.contains(&room) && self.rooms != [ALL_ROOMS] {
            self.strange.push(format!("an event of another room: {event}"));
        }
        match &mut self.picture {
            Some(picture) => self.strange.extend(picture.take(room, event)),
            None if event["row"]["id"] != event["id"] || event["op"] != "insert" => {
                self.strange.push(format!("not an inserted row: {event}"));
            }
            None => {}
        }
        let now = Instant::now();
        let before = self.last_at.replace(now).unwrap_or(now);
        self.longest_pause = self.longest_pause.max(now - before);
        // Rows that are listed as they stand are no entries of the journal.
        let Some(id) = event["id"].as_i64() else { return };
        if self.listed.remove(&id) {
            return;
        }
        let session = self.sessions.len() - 1;
        match self.ids.get(&id) {
            Some(&first) => self.repeated.push((id, first, session)),
            None => drop(self.ids.insert(id, session)),
        }
    }
}
