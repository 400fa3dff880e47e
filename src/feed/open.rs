//! What one subscriber has not seen, in step with the tail or not.

use std::sync::Arc;

use crate::cursor::{IdRange, OpenSet};
use crate::event::OwnEvent;
use crate::hub::Piece;

use super::Batch;

/// What the subscriber has not seen.
pub(super) enum Open {
    /// The same as the tail at the same delivery: the shared frames carry its position.
    InStep(Arc<OpenSet>),
    Own(OpenSet),
}

impl Open {
    pub(super) fn new(open: OpenSet, tails: &Arc<OpenSet>) -> Self {
        if open == **tails {
            Self::InStep(tails.clone())
        } else {
            Self::Own(open)
        }
    }

    pub(super) fn set(&self) -> &OpenSet {
        match self {
            Self::InStep(open) => open,
            Self::Own(open) => open,
        }
    }
}

impl Open {
    /// Takes deliveries, the tail's next; `None` if the subscriber had seen all of them.
    pub(super) fn take(&mut self, epoch: i64, first: Piece, rest: Vec<Piece>) -> Option<Batch> {
        let last = rest.last().unwrap_or(&first);
        let open_after = last.segment.entries[last.run.end - 1].open_after.clone();
        match self {
            Self::InStep(open) => {
                *open = open_after;
                Some(Batch::shared(epoch, first, rest))
            }
            Self::Own(open) => {
                let own: Vec<OwnEvent> = std::iter::once(&first)
                    .chain(&rest)
                    .flat_map(|piece| unseen(open, piece))
                    .collect();
                if *open == *open_after {
                    *self = Self::InStep(open_after);
                }
                (!own.is_empty()).then(|| Batch::own(epoch, own))
            }
        }
    }
}

/// The events of `piece` that are in `open`, which shrinks with each delivery, seen or not.
fn unseen(open: &mut OpenSet, piece: &Piece) -> Vec<OwnEvent> {
    let mut own = Vec::new();
    for entry in &piece.segment.entries[piece.run.clone()] {
        let is_new = open.contains(entry.id);
        *open = open.intersection(&entry.open_after);
        if is_new {
            let json = piece.segment.bytes.slice(entry.json.clone());
            own.push(OwnEvent {
                json,
                open_after: open.clone(),
            });
        }
    }
    own
}

/// A weak cursor: all ids above `id`, and the gaps that the tail has now at or below it.
pub(super) fn after_row(id: i64, tails: &OpenSet) -> OpenSet {
    let gaps = tails.gaps().iter().filter(|gap| gap.low <= id);
    OpenSet::new(
        id,
        gaps.map(|gap| IdRange {
            low: gap.low,
            high: gap.high.min(id),
        }),
    )
}
