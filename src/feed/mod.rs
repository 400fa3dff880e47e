//! The feed of one subscriber: replay what it missed, say ready, then follow. Every transport renders this one stream.
//!
//! The rule of the seam: a feed takes, in one instant and before its first replay query, a position of the tail: a
//! delivery number n0 and the tail's open set O0. With C the subscriber's own open set, the replay is exactly the rows
//! with an id in C∖O0, and behind it come the deliveries after n0 whose id is in C∩O0. Nothing is lost at the seam and
//! nothing is repeated. Where the ring reaches back to a position that C lies within, C∖O0 is empty and nothing is read.

mod asked;
mod at;
mod batch;
mod machine;
mod open;
mod replay;
mod stage;
mod table;
mod turns;

use crate::cursor::Cursor;
use crate::metrics::Reset;
use crate::room::Room;

pub use batch::Batch;
pub use machine::Feed;
pub use replay::{Failed, Listing, Page, Replays, Request};
pub use table::Table;

/// Where a subscriber begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// After a cursor.
    After(Cursor),
    /// After a row's id: a weak cursor, all higher ids and the lower ones that are gaps now.
    AfterRow(i64),
}

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// One or more, each once.
    pub rooms: Vec<Room>,
    pub start: Start,
    /// With [`Start::Now`], or after a reset: first the newest so many events of all the rooms together.
    pub last: usize,
    /// Rows of one page of a replay.
    pub page_rows: usize,
}

/// What a feed brings.
#[derive(Debug)]
pub enum Step {
    Events(Batch),
    /// Caught up; the cursor is the subscriber's.
    Ready(Cursor),
    /// The subscriber's cursor can't be resumed; it goes on from this one.
    Reset {
        code: ResetCode,
        cursor: Cursor,
    },
}

/// Why a cursor can't be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCode {
    /// It has seen ids that neither the sequence nor the table has reached.
    CursorAhead,
    /// It is of another epoch: another source or database, a table recreated or truncated meanwhile.
    Epoch,
    /// The table was truncated, or its ids began anew, while the subscriber followed.
    Truncated,
    /// It is older than what the journal keeps.
    Expired,
}

impl ResetCode {
    /// The stable text of `code`.
    pub fn as_str(self) -> &'static str {
        Reset::from(self).label()
    }
}

impl From<ResetCode> for Reset {
    fn from(code: ResetCode) -> Self {
        match code {
            ResetCode::CursorAhead => Self::CursorAhead,
            ResetCode::Epoch => Self::Epoch,
            ResetCode::Truncated => Self::Truncated,
            ResetCode::Expired => Self::Expired,
        }
    }
}

/// Why a feed can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The database is away. The feed keeps its place: poll it again later.
    #[error("the database is away")]
    Unavailable,
    /// As many replays wait for their turn as may. Only those who come are told: one that was let in waits.
    #[error("too many replays wait")]
    Overloaded,
    /// The source was detached.
    #[error("the source is gone")]
    Gone,
}
