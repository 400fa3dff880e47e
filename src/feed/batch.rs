//! Events on their way to one subscriber, as the transports take them: SSE frames, JSON texts, or lines of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::cursor::{Cursor, CursorText, OpenSet};
use crate::event::{self, OwnEvent};
use crate::hub::{Piece, Segment};

/// One or more events, oldest first.
#[derive(Debug)]
pub struct Batch {
    epoch: i64,
    /// Read for those who had missed them.
    replayed: bool,
    events: Events,
}

#[derive(Debug)]
enum Events {
    /// Shared with all who are at the same position: nothing is copied.
    Shared { first: Piece, rest: Vec<Piece> },
    /// The subscriber's positions are its own: shared JSON, frames of its own.
    Own(Vec<OwnEvent>),
    /// Rows as they stand in the table, as the JSON of events without a position.
    Listed { events: Arc<[Bytes]>, run: Range<usize> },
}

impl Batch {
    /// Of a subscriber in step with what made the pieces: the tail, or an equal replay.
    pub(super) fn shared(epoch: i64, first: Piece, rest: Vec<Piece>) -> Self {
        Self {
            epoch,
            replayed: false,
            events: Events::Shared { first, rest },
        }
    }

    /// The same, as read for those who had missed it.
    pub(super) fn replayed(self) -> Self {
        Self {
            replayed: true,
            ..self
        }
    }

    /// Whether it was read for those who had missed it.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// Of a subscriber with positions of its own.
    pub(super) fn own(epoch: i64, events: Vec<OwnEvent>) -> Self {
        Self {
            epoch,
            replayed: false,
            events: Events::Own(events),
        }
    }

    /// Rows as they stand in the table, not of the journal that is followed.
    pub fn listed(epoch: i64, events: Arc<[Bytes]>) -> Self {
        let run = 0..events.len();
        Self {
            epoch,
            replayed: true,
            events: Events::Listed { events, run },
        }
    }

    /// The last `count` events of some segments, and whether earlier ones were left out.
    pub fn newest(epoch: i64, segments: VecDeque<Arc<Segment>>, count: usize) -> (Option<Self>, bool) {
        let total: usize = segments.iter().map(|segment| segment.entries.len()).sum();
        let mut skip = total.saturating_sub(count);
        let left_out = skip > 0;
        let mut pieces = segments.into_iter().filter_map(|segment| {
            let start = skip.min(segment.entries.len());
            skip -= start;
            let run = start..segment.entries.len();
            (!run.is_empty()).then_some(Piece { segment, run })
        });
        let first = pieces.next();
        let rest = pieces.collect();
        let newest = first.map(|first| Self::shared(epoch, first, rest).replayed());
        (newest, left_out)
    }

    /// How many events.
    pub fn len(&self) -> usize {
        match &self.events {
            Events::Shared { first, rest } => {
                first.run.len() + rest.iter().map(|piece| piece.run.len()).sum::<usize>()
            }
            Events::Own(events) => events.len(),
            Events::Listed { run, .. } => run.len(),
        }
    }

    /// Whether there is no event (only after [`Batch::truncate`] to none).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The SSE frames of all events, joined. In the usual case, one read's events for a subscriber in step, this is a
    /// slice of the ring's bytes: no copy, no allocation. Rows that were listed have no `id:` line, so that a client that
    /// is cut off among them begins again.
    pub fn frames(&self) -> Bytes {
        match &self.events {
            Events::Shared { first, rest } if rest.is_empty() => first.segment.frames(first.run.clone()),
            Events::Shared { first, rest } => {
                let mut joined = BytesMut::new();
                for piece in std::iter::once(first).chain(rest) {
                    joined.extend_from_slice(&piece.segment.frames(piece.run.clone()));
                }
                joined.freeze()
            }
            Events::Own(events) => {
                let mut joined = BytesMut::new();
                for own in events {
                    let position = CursorText {
                        epoch: self.epoch,
                        open: &own.open_after,
                    };
                    event::write_frame(&mut joined, position, |out| out.extend_from_slice(&own.json));
                }
                joined.freeze()
            }
            Events::Listed { events, run } => {
                let mut joined = BytesMut::new();
                for json in &events[run.clone()] {
                    event::write_unplaced_frame(&mut joined, json);
                }
                joined.freeze()
            }
        }
    }

    /// Writes each event's JSON text as a line of its own.
    pub fn write_lines(&self, out: &mut BytesMut) {
        out.reserve(self.events().map(|event| event.len() + 1).sum());
        for event in self.events() {
            out.extend_from_slice(event);
            out.extend_from_slice(b"\n");
        }
    }

    /// The times of rows that nobody was handed yet, in microseconds since 1970: whoever asks is to hand them over now.
    /// Empty where the positions are the subscriber's own (it resumed among them), and of replays.
    pub fn take_times(&self) -> impl Iterator<Item = &[i64]> {
        let (first, rest) = match &self.events {
            Events::Shared { first, rest } => (Some(first), &rest[..]),
            Events::Own(_) | Events::Listed { .. } => (None, &[][..]),
        };
        let times = first
            .into_iter()
            .chain(rest)
            .map(|piece| piece.segment.times.take());
        times.filter(|times| !times.is_empty())
    }

    /// Each event's JSON text.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let (first, rest, own, listed) = match &self.events {
            Events::Shared { first, rest } => (Some(first), &rest[..], &[][..], &[][..]),
            Events::Own(events) => (None, &[][..], &events[..], &[][..]),
            Events::Listed { events, run } => (None, &[][..], &[][..], &events[run.clone()]),
        };
        let shared = first.into_iter().chain(rest).flat_map(|piece| {
            piece.segment.entries[piece.run.clone()]
                .iter()
                .map(|entry| &piece.segment.bytes[entry.json.clone()])
        });
        let own = own.iter().map(|event| &event.json[..]);
        shared.chain(own).chain(listed.iter().map(|json| &json[..]))
    }

    /// Keeps the first `count` events.
    pub fn truncate(&mut self, count: usize) {
        match &mut self.events {
            Events::Own(events) => events.truncate(count),
            Events::Listed { run, .. } => run.end = run.end.min(run.start + count),
            Events::Shared { first, rest } => {
                let mut left = count;
                for piece in std::iter::once(first).chain(rest.iter_mut()) {
                    let keep = piece.run.len().min(left);
                    piece.run.end = piece.run.start + keep;
                    left -= keep;
                }
                rest.retain(|piece| !piece.run.is_empty());
            }
        }
    }

    /// The subscriber's position after the last event; `None` if there is no event, or none with a position.
    pub fn cursor(&self) -> Option<Cursor> {
        self.open_after().map(|open| Cursor {
            epoch: self.epoch,
            open: open.clone(),
        })
    }

    fn open_after(&self) -> Option<&OpenSet> {
        match &self.events {
            Events::Own(events) => events.last().map(|event| &event.open_after),
            Events::Listed { .. } => None,
            Events::Shared { first, rest } => {
                let last = rest.last().unwrap_or(first);
                last.segment.entries[last.run.clone()]
                    .last()
                    .map(|entry| &*entry.open_after)
            }
        }
    }
}
