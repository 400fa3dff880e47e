//! Where a feed finds the tail when it joins.

use crate::cursor::{Cursor, OpenSet};
use crate::hub::{Joined, Position};

/// A place in the tail's deliveries, taken in one instant.
#[derive(Clone)]
pub(super) struct At {
    pub(super) epoch: i64,
    /// Where the tail stands.
    pub(super) present: Position,
    /// An earlier one, the same for all who come back for a while.
    pub(super) anchor: Position,
}

impl At {
    /// `None` where the tail has no place to follow from: it has not started, or the source is gone.
    pub(super) fn of(joined: Joined) -> Option<Self> {
        match joined {
            Joined::At {
                epoch,
                present,
                anchor,
            } => Some(Self {
                epoch,
                present,
                anchor,
            }),
            Joined::NotStarted | Joined::Closed => None,
        }
    }

    /// Of one who has seen what the tail has.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            open: OpenSet::clone(&self.present.open),
        }
    }
}
