//! A subscriber's place in its rooms: join, pull, wait; leaves them when dropped.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::cursor::OpenSet;
use crate::room::Room;

use super::room_cell::RoomCell;
use super::{Hub, Phase, Position, Segment};

/// Membership in some rooms of one hub.
#[derive(Debug)]
pub struct Subscriber {
    hub: Arc<Hub>,
    places: Box<[Place]>,
    /// The one that was left at all places.
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Place {
    cell: Arc<RoomCell>,
    /// Where it stands in the room.
    key: usize,
}

/// What a subscriber finds in one instant.
#[derive(Clone, Debug)]
pub enum Joined {
    /// The tail has not read yet; wait and join again.
    NotStarted,
    /// The source was detached.
    Closed,
    At {
        epoch: i64,
        /// Where the tail stands.
        present: Position,
        /// An earlier position that all of the subscriber's rings reach, the same for all who come back for a while.
        anchor: Position,
    },
}

/// A run of entries of one segment.
#[derive(Clone, Debug)]
pub struct Piece {
    pub segment: Arc<Segment>,
    pub run: Range<usize>,
}

/// What stands in the rings behind a position.
#[derive(Debug)]
pub enum Pull {
    /// A ring does not reach back that far (any more): join again.
    Overtaken,
    /// Nothing.
    Nothing,
    /// These, in delivery order; the last one's number is the next position.
    Pieces { first: Piece, rest: Vec<Piece> },
}

/// Bytes of frames after which a pull stops: what one write is worth joining, and what one slow socket may pin.
const PULL_BYTES: usize = 256 * 1024;

impl Subscriber {
    /// Enters `rooms` (which differ), making those that nobody is in.
    pub fn new(hub: Arc<Hub>, rooms: &[Room]) -> Self {
        let mut state = hub.lock();
        let present = match &state.phase {
            Phase::Following { present, .. } => present.clone(),
            Phase::Starting | Phase::Closed => Position::unknown(),
        };
        let places = rooms
            .iter()
            .map(|room| {
                let cell = state
                    .rooms
                    .entry(room.clone())
                    .or_insert_with(|| Arc::new(RoomCell::new(room, &present)));
                Place {
                    cell: cell.clone(),
                    key: cell.enter(),
                }
            })
            .collect();
        drop(state);
        Self {
            hub,
            places,
            waker: None,
        }
    }

    /// The rooms it is in, as the hub names them: nobody else needs to keep them.
    pub fn rooms(&self) -> Arc<[Room]> {
        self.places.iter().map(|place| place.cell.room.clone()).collect()
    }

    /// Where the tail stands, with an anchor that fits, in one instant.
    pub fn join(&self) -> Joined {
        let state = self.hub.lock();
        match &state.phase {
            Phase::Starting => Joined::NotStarted,
            Phase::Closed => Joined::Closed,
            Phase::Following { epoch, present } => {
                let anchors = self.places.iter().map(|place| place.cell.ring().anchor().clone());
                let anchor = anchors
                    .max_by_key(|anchor| anchor.number)
                    .unwrap_or_else(|| present.clone());
                Joined::At {
                    epoch: *epoch,
                    present: present.clone(),
                    anchor,
                }
            }
        }
    }

    /// The latest position within the rings at which all of `open` was still open to the tail, not before `anchor`: one
    /// who has seen the rest can follow from there without a replay.
    pub fn latest_position(&self, open: &OpenSet, anchor: &Position) -> Option<Position> {
        let latest = self
            .places
            .iter()
            .filter_map(|place| place.cell.ring().latest(|tails| open.is_subset(tails)));
        latest
            .max_by_key(|position| position.number)
            .filter(|position| position.number >= anchor.number)
    }

    /// The events after delivery `after` that are published, about [`PULL_BYTES`] at most.
    pub fn pull(&self, after: u64) -> Pull {
        let up_to = self.hub.published();
        match &self.places[..] {
            [place] => place.pull(after, up_to),
            places => pull_merged(places, after, up_to),
        }
    }

    /// Ready when one of the rings has changed since delivery `after`: an event, a restart, the close. Otherwise the task is
    /// woken when it does. Takes no lock but the first time.
    pub fn poll_news(&mut self, cx: &mut Context<'_>, after: u64) -> Poll<()> {
        if !self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            for place in &self.places {
                place.cell.leave_waker(place.key, cx.waker());
            }
            self.waker = Some(cx.waker().clone());
        }
        match self.places.iter().any(|place| place.cell.has_changed(after)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for place in &self.places {
            place.cell.leave(place.key);
        }
    }
}

impl Place {
    fn pull(&self, after: u64, up_to: u64) -> Pull {
        let ring = self.cell.ring();
        if !ring.reaches(after) {
            return Pull::Overtaken;
        }
        let mut runs = ring.between(after, up_to);
        let Some(first) = runs.next().map(Piece::from_run) else {
            return Pull::Nothing;
        };
        let alone = |first| Pull::Pieces {
            first,
            rest: Vec::new(),
        };
        // A read that is being published stands in the ring, and is not to be seen before it is published everywhere.
        let is_shared = ring.newest() <= up_to && self.cell.is_crowded();
        if first.last_number() == ring.newest() {
            return alone(first);
        }
        if let Some(joined) = is_shared.then(|| self.cell.joins.find(after)).flatten() {
            return alone(joined);
        }
        let mut bytes = first.bytes();
        let rest: Vec<Piece> = runs
            .map(Piece::from_run)
            .take_while(|piece| {
                bytes += piece.bytes();
                bytes <= PULL_BYTES
            })
            .collect();
        match is_shared && !rest.is_empty() {
            true => alone(self.cell.joins.join(after, std::iter::once(&first).chain(&rest))),
            false => Pull::Pieces { first, rest },
        }
    }
}

/// Several rooms: their entries one by one, by delivery number.
fn pull_merged(places: &[Place], after: u64, up_to: u64) -> Pull {
    let mut pieces = Vec::new();
    for place in places {
        let ring = place.cell.ring();
        if !ring.reaches(after) {
            return Pull::Overtaken;
        }
        for (segment, run) in ring.between(after, up_to) {
            pieces.extend(run.map(|at| Piece {
                segment: segment.clone(),
                run: at..at + 1,
            }));
        }
    }
    pieces.sort_unstable_by_key(Piece::first_number);
    let mut bytes = 0;
    let enough = pieces.iter().position(|piece| {
        bytes += piece.bytes();
        bytes > PULL_BYTES
    });
    pieces.truncate(enough.unwrap_or(pieces.len()).max(1));
    let mut pieces = pieces.into_iter();
    match pieces.next() {
        Some(first) => Pull::Pieces {
            first,
            rest: pieces.collect(),
        },
        None => Pull::Nothing,
    }
}

impl Piece {
    fn from_run((segment, run): (&Arc<Segment>, Range<usize>)) -> Self {
        Self {
            segment: segment.clone(),
            run,
        }
    }

    /// All of a segment.
    pub(super) fn whole(segment: Arc<Segment>) -> Self {
        let run = 0..segment.entries.len();
        Self { segment, run }
    }

    fn last_number(&self) -> u64 {
        self.segment.entries[self.run.end - 1].number
    }

    fn first_number(&self) -> u64 {
        self.segment.entries[self.run.start].number
    }

    fn bytes(&self) -> usize {
        self.segment.frames(self.run.clone()).len()
    }
}

impl Position {
    /// Before the tail's first read: nothing is known, and [`Hub::restart`] replaces it.
    fn unknown() -> Self {
        Self {
            number: 0,
            open: Arc::new(OpenSet::above(0)),
        }
    }
}
