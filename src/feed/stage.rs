//! Where a feed is.

use futures_util::future::BoxFuture;

use crate::hub::Position;

use super::at::At;
use super::replay::{Failed, Listing, Page};

pub(super) enum Stage {
    /// Takes a position, or takes one again.
    Join,
    /// Is the cursor ahead of the sequence and the table?
    Checking(BoxFuture<'static, Result<i64, Failed>>),
    /// Where do the newest begin?
    Locating {
        joined: At,
        found: BoxFuture<'static, Result<Option<i64>, Failed>>,
    },
    /// Which are the newest rows, where the table has an order that its journal has not?
    Listing {
        joined: At,
        found: BoxFuture<'static, Result<Listing, Failed>>,
    },
    /// Sends what the tail had closed at `from`; it follows from there once the last page is sent.
    Replaying {
        page: BoxFuture<'static, Result<Page, Failed>>,
        from: Position,
        present: Position,
    },
    /// Follows; `present` until ready was said.
    Following { present: Option<Position> },
}
