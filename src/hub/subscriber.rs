//! A subscriber's place in its rooms: join, pull, wait; leaves them when dropped.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cursor::OpenSet;
use crate::room::Room;

use super::{Hub, Phase, Position, Ring, RoomCell, RoomState, Segment};

/// Membership in some rooms of one hub.
#[derive(Debug)]
pub struct Subscriber {
    hub: Arc<Hub>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    cell: Arc<RoomCell>,
    /// Key among the room's waiters.
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
                    .or_insert_with(|| RoomCell::new(room, &present));
                Place {
                    cell: cell.clone(),
                    key: cell.lock().waiters.insert(None),
                }
            })
            .collect();
        drop(state);
        Self { hub, places }
    }

    /// Where the tail stands, with an anchor that fits, in one instant.
    pub fn join(&self) -> Joined {
        let state = self.hub.lock();
        match &state.phase {
            Phase::Starting => Joined::NotStarted,
            Phase::Closed => Joined::Closed,
            Phase::Following { epoch, present } => {
                let anchors = self
                    .places
                    .iter()
                    .map(|place| place.cell.lock().ring.anchor().clone());
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
            .filter_map(|place| place.cell.lock().ring.latest(|tails| open.is_subset(tails)));
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

    /// Ready when something happened since delivery `after`: an event in one of the rooms, a restart, the close.
    /// Otherwise the task is woken when it does.
    pub fn poll_news(&self, cx: &mut Context<'_>, after: u64) -> Poll<()> {
        for place in &self.places {
            let mut room = place.cell.lock();
            let waker = &mut room.waiters[place.key];
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            // After the waker is in place: a number raised before the publisher came for our waker is seen here, one
            // raised later finds the waker.
            let up_to = self.hub.published();
            if !room.ring.reaches(after) || room.ring.between(after, up_to).next().is_some() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for place in &self.places {
            let mut room = place.cell.lock();
            room.waiters.remove(place.key);
            if room.waiters.is_empty() {
                // A crowd that left must not leave its table of places behind.
                room.waiters.shrink_to_fit();
            }
        }
    }
}

impl Place {
    fn pull(&self, after: u64, up_to: u64) -> Pull {
        let room = self.cell.lock();
        if !room.ring.reaches(after) {
            return Pull::Overtaken;
        }
        let mut runs = room.ring.between(after, up_to).map(Piece::from_run);
        let Some(first) = runs.next() else {
            return Pull::Nothing;
        };
        let mut bytes = first.bytes();
        let rest = runs
            .take_while(|piece| {
                bytes += piece.bytes();
                bytes <= PULL_BYTES
            })
            .collect();
        Pull::Pieces { first, rest }
    }
}

/// Several rooms: their entries one by one, by delivery number.
fn pull_merged(places: &[Place], after: u64, up_to: u64) -> Pull {
    let mut pieces = Vec::new();
    for place in places {
        let room = place.cell.lock();
        if !room.ring.reaches(after) {
            return Pull::Overtaken;
        }
        for (segment, run) in room.ring.between(after, up_to) {
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

impl RoomCell {
    fn new(room: &Room, present: &Position) -> Arc<Self> {
        let ring = Ring::new(present.clone());
        let state = RoomState {
            ring,
            waiters: slab::Slab::new(),
            events: 0,
            empty_since: None,
        };
        Arc::new(Self {
            room: room.clone(),
            state: std::sync::Mutex::new(state),
        })
    }
}
