//! The hub of one source: its rooms with their newest events, publish and subscribe.
//!
//! The tail publishes one read at a time; subscribers pull. A subscriber is a delivery number plus a wake-up, never a
//! queue, so a slow one costs no memory and delays nobody. The hub does no I/O and cannot fail.
//!
//! Order that keeps a subscriber from missing an event: the publisher appends to the rings, then raises
//! [`Hub::published`], then announces to each room that has something new, which wakes who is in it; the subscriber leaves its
//! waker, then looks whether its rooms have changed.

mod census;
#[cfg(test)]
mod fixtures;
mod joins;
mod publish;
mod ring;
mod room_cell;
mod subscriber;
mod times;
mod walks;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::cursor::{Cursor, OpenSet};
use crate::room::Room;

pub use census::RoomCount;
pub use publish::Publication;
pub use ring::{Entry, Position, Ring, RingLimits, Segment};
pub use subscriber::{Joined, Piece, Pull, Subscriber};
pub use times::Times;

use room_cell::RoomCell;
use walks::Walks;

/// So many rooms' names are sent with every read; PostgreSQL compares each row's with them one by one.
const FEW_ROOMS: usize = 64;

/// How much a hub may hold.
#[derive(Clone, Copy, Debug)]
pub struct HubLimits {
    /// For each room.
    pub ring: RingLimits,
    /// Bytes of frames over all rooms; beyond it the oldest events of all go first.
    pub total_bytes: usize,
    /// How long a room without subscribers is kept, for those who come back.
    pub linger: Duration,
}

/// The rooms of one source that have subscribers, or had some a moment ago.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    /// The newest delivery number that every ring already shows.
    published: AtomicU64,
    walks: Walks,
    limits: HubLimits,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    rooms: HashMap<Room, Arc<RoomCell>>,
    /// Segments of all rooms, oldest first, for the bound over all of them. A segment that its own ring dropped
    /// earlier leaves an entry behind that drops nothing.
    oldest: VecDeque<(Arc<RoomCell>, u64)>,
    /// Bytes of frames in all rings.
    bytes: usize,
}

/// Where the tail stands, as subscribers see it.
#[derive(Clone, Debug)]
enum Phase {
    /// The tail has not read yet.
    Starting,
    Following {
        epoch: i64,
        present: Position,
    },
    /// The source was detached.
    Closed,
}

impl Hub {
    /// A hub whose tail has not read yet.
    pub fn new(limits: HubLimits) -> Arc<Self> {
        let state = State {
            phase: Phase::Starting,
            rooms: HashMap::new(),
            oldest: VecDeque::new(),
            bytes: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            published: AtomicU64::new(0),
            walks: Walks::default(),
            limits,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the hub's lock panics")
    }

    fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// The rooms that have a subscriber or had one a moment ago: a read needs the contents of their rows alone. `None`: of
    /// all, since somebody follows all rooms, or they are more than [`FEW_ROOMS`].
    pub fn wanted_rooms(&self) -> Option<Vec<Room>> {
        let rooms = &self.lock().rooms;
        let is_few = rooms.len() <= FEW_ROOMS && !rooms.contains_key(Room::ALL);
        is_few.then(|| rooms.keys().cloned().collect())
    }

    /// Starts, or starts over in another epoch: every subscriber that is there finds that its position is not
    /// reached any more, joins again and learns of the epoch. `open` is what the tail has not seen. A hub that is closed stays
    /// closed: its tail may be in the middle of a read when its source is detached.
    pub fn restart(&self, epoch: i64, open: OpenSet) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Closed) {
            return;
        }
        let number = self.published() + 1;
        let present = Position {
            number,
            open: Arc::new(open),
        };
        for cell in state.rooms.values() {
            *cell.ring_mut() = Ring::new(present.clone());
        }
        state.phase = Phase::Following { epoch, present };
        state.oldest.clear();
        state.bytes = 0;
        self.raise_and_wake(state, number);
    }

    /// Whether the tail has got as far as one who has this cursor: it stands in the same epoch, and has seen ids as high.
    pub fn has_reached(&self, cursor: &Cursor) -> bool {
        match &self.lock().phase {
            Phase::Following { epoch, present } => {
                *epoch == cursor.epoch && present.open.high() >= cursor.open.high()
            }
            Phase::Starting | Phase::Closed => false,
        }
    }

    /// Drops the events in all rings, because rows are rendered otherwise from now on. Subscribers read from the table
    /// what they have not taken yet. For the tail only: it stands still meanwhile.
    pub fn forget_events(&self) {
        let phase = self.lock().phase.clone();
        if let Phase::Following { epoch, present } = phase {
            self.restart(epoch, OpenSet::clone(&present.open));
        }
    }

    /// The source is gone: every subscriber is told.
    pub fn close(&self) {
        let mut state = self.lock();
        let number = self.published() + 1;
        for cell in state.rooms.values() {
            *cell.ring_mut() = Ring::new(Position {
                number,
                open: Arc::new(OpenSet::above(0)),
            });
        }
        state.phase = Phase::Closed;
        self.raise_and_wake(state, number);
        self.walks.close();
    }

    fn raise_and_wake(&self, state: MutexGuard<'_, State>, number: u64) {
        let cells: Vec<_> = state.rooms.values().cloned().collect();
        self.published.store(number, Ordering::Release);
        drop(state);
        cells.iter().for_each(|cell| self.announce(cell, number));
    }

    /// Forgets rooms that have been without subscribers for longer than they linger, and returns how many. Call about
    /// once a second.
    pub fn sweep(&self, now: Instant) -> usize {
        let mut state = self.lock();
        let before = state.rooms.len();
        let mut freed = 0;
        state.rooms.retain(|_, cell| {
            let keep = !cell.is_deserted(now, self.limits.linger);
            if !keep {
                freed += cell.ring().bytes();
            }
            keep
        });
        state.bytes -= freed;
        let forgotten = before - state.rooms.len();
        if forgotten > 0 {
            let State { rooms, oldest, .. } = &mut *state;
            oldest.retain(|(cell, _)| rooms.contains_key(&cell.room));
            rooms.shrink_to(before / 2);
        }
        forgotten
    }

    /// Bytes of frames in all rings.
    pub fn ring_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Rooms held.
    pub fn room_count(&self) -> usize {
        self.lock().rooms.len()
    }

    /// Rooms held, and subscriptions to them.
    pub fn population(&self) -> (usize, usize) {
        let state = self.lock();
        (
            state.rooms.len(),
            state.rooms.values().map(|cell| cell.population()).sum(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rooms_that_are_wanted_are_named_while_they_are_few() {
        let hub = fixtures::hub(1);
        assert_eq!(hub.wanted_rooms(), Some(vec![]));
        let all = Subscriber::new(hub.clone(), &[Room::all()]);
        assert_eq!(hub.wanted_rooms(), None);
        drop(all);
        hub.sweep(Instant::now());
        let rooms: Vec<String> = (0..=FEW_ROOMS).map(|room| room.to_string()).collect();
        let mut subscribers: Vec<_> = rooms.iter().map(|room| fixtures::enter(&hub, room)).collect();
        assert_eq!(hub.wanted_rooms(), None);
        subscribers.truncate(FEW_ROOMS);
        hub.sweep(Instant::now());
        let wanted = hub.wanted_rooms().unwrap_or_default();
        assert_eq!(wanted.len(), FEW_ROOMS);
        assert!(!wanted.contains(&Room::canonical(&rooms[FEW_ROOMS])));
    }

    #[test]
    fn a_hub_that_is_closed_stays_closed() {
        let hub = fixtures::hub(1);
        let subscriber = fixtures::enter(&hub, "a");
        hub.close();
        hub.restart(8, OpenSet::above(0));
        assert!(matches!(subscriber.join(), Joined::Closed));
    }
}
