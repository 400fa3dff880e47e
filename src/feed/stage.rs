//! Where a feed is.

use futures_util::future::BoxFuture;

use crate::hub::Position;

use super::at::At;
use super::replay::{Failed, Listing, Page};

/// Nearly all feeds follow, so that what the others need is boxed.
pub(super) enum Stage {
    /// Takes a position, or takes one again.
    Join,
    /// Is the cursor ahead of the sequence and the table?
    Checking(BoxFuture<'static, Result<i64, Failed>>),
    /// Where do the newest begin?
    Locating(Box<Looking<Option<i64>>>),
    /// Which are the newest rows, where the table has an order that its journal has not?
    Listing(Box<Looking<Listing>>),
    Replaying(Box<Replaying>),
    /// Follows; `present` until ready was said.
    Following {
        present: Option<Position>,
    },
}

/// Asks for the newest.
pub(super) struct Looking<T> {
    pub(super) found: BoxFuture<'static, Result<T, Failed>>,
    /// What it found in the rings before it asked.
    pub(super) joined: At,
}

/// Sends what the tail had closed at `from`; it follows from there once the last page is sent.
pub(super) struct Replaying {
    pub(super) page: BoxFuture<'static, Result<Page, Failed>>,
    pub(super) from: Position,
    pub(super) present: Position,
}
