//! One room of a hub: its ring, and who is in it.
//!
//! Two locks, so that the publisher, who wakes thousands, does not hold those up whom it has woken; and a number beside them, so
//! that one who is up to date finds out without a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::room::Room;

use super::joins::Joins;
use super::walks::{FEW, Turn, rest_after};
use super::{Position, Ring};

#[derive(Debug)]
pub(super) struct RoomCell {
    pub room: Room,
    ring: RwLock<Ring>,
    /// The delivery number of the newest change of the ring: an event's, or that of a restart. Raised when the ring shows it.
    newest: AtomicU64,
    /// Appended since the room is held, for the census.
    events: AtomicU64,
    /// What is in the ring, for those who missed more than one read.
    pub joins: Joins,
    /// Whether there were more than [`FEW`] when something was announced last.
    is_crowded: AtomicBool,
    members: Mutex<Members>,
}

#[derive(Debug)]
struct Members {
    /// One place for each subscriber; its waker, once it has waited.
    wakers: Slab<Option<Waker>>,
    /// When a sweep first saw the room without subscribers.
    empty_since: Option<Instant>,
    walk: Option<Walk>,
}

/// A crowd that is being woken, or rests from it.
#[derive(Debug)]
struct Walk {
    began: Instant,
    /// The first place that it has not reached; `None`: it rests.
    next: Option<usize>,
    /// Something was announced since it began: those who were reached before are to be woken again.
    again: bool,
}

impl Walk {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            next: Some(0),
            again: false,
        }
    }
}

impl Members {
    /// Wakes those who wait in the next places, [`FEW`] at most, and says at which place it stopped; `None`: at the end.
    fn wake_from(&self, first: usize) -> Option<usize> {
        let mut woken = 0;
        for place in first..self.wakers.capacity() {
            if let Some(Some(waker)) = self.wakers.get(place) {
                if woken == FEW {
                    return Some(place);
                }
                waker.wake_by_ref();
                woken += 1;
            }
        }
        None
    }
}

impl RoomCell {
    /// A room that nobody is in, complete from `present` on.
    pub(super) fn new(room: &Room, present: &Position) -> Self {
        let members = Members {
            wakers: Slab::new(),
            empty_since: None,
            walk: None,
        };
        Self {
            room: room.clone(),
            ring: RwLock::new(Ring::new(present.clone())),
            newest: AtomicU64::new(present.number),
            events: AtomicU64::new(0),
            joins: Joins::default(),
            is_crowded: AtomicBool::new(false),
            members: Mutex::new(members),
        }
    }

    pub(super) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().expect("no holder of a ring panics")
    }

    /// To change it; [`RoomCell::announce`] what was changed.
    pub(super) fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        let ring = self.ring.write().expect("no holder of a ring panics");
        self.joins.forget();
        ring
    }

    /// Whether many missed what one has missed.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().expect("no holder of a room's members panics")
    }

    /// Says that the ring shows delivery `number`, and wakes all who wait; true if they are too many for that, and
    /// [`RoomCell::wake_few`] is to be called from now on until it says that all are told. Their wakers stay where they are, so
    /// that one who has taken its events waits again without leaving it anew. A number that comes late, after a higher one,
    /// takes nothing back: a source is closed by who detached it while its tail may still announce a read.
    pub(super) fn announce(&self, number: u64) -> bool {
        self.newest.fetch_max(number, Ordering::Release);
        let mut members = self.members();
        self.is_crowded
            .store(members.wakers.len() > FEW, Ordering::Relaxed);
        if let Some(walk) = &mut members.walk {
            walk.again = true;
            return false;
        }
        if members.wakers.len() > FEW {
            members.walk = Some(Walk::new(Instant::now()));
            return true;
        }
        let more = members.wake_from(0);
        debug_assert_eq!(more, None);
        false
    }

    /// Goes on with waking the crowd, and says when to call it again.
    pub(super) fn wake_few(&self, now: Instant) -> Turn {
        let mut members = self.members();
        let Some(mut walk) = members.walk.take() else {
            return Turn::Over;
        };
        let Some(first) = walk.next else {
            // It has rested.
            members.walk = walk.again.then(|| Walk::new(now));
            return if walk.again { Turn::Again } else { Turn::Over };
        };
        walk.next = members.wake_from(first);
        let turn = match walk.next {
            Some(_) => Turn::Again,
            None => match rest_after(now - walk.began) {
                Some(rest) => Turn::RestUntil(now + rest),
                None if walk.again => {
                    walk = Walk::new(now);
                    Turn::Again
                }
                None => return Turn::Over,
            },
        };
        members.walk = Some(walk);
        turn
    }

    /// Whether the ring has changed since delivery `number`.
    pub(super) fn has_changed(&self, number: u64) -> bool {
        self.newest.load(Ordering::Acquire) > number
    }

    /// Counts events that are appended.
    pub(super) fn count(&self, events: usize) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// How many were counted.
    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Gives a new subscriber its place.
    pub(super) fn enter(&self) -> usize {
        self.members().wakers.insert(None)
    }

    /// Whom to wake at that place. After this, [`RoomCell::has_changed`] is to be asked (again): what is announced later finds
    /// the waker.
    pub(super) fn leave_waker(&self, place: usize, waker: &Waker) {
        self.members().wakers[place] = Some(waker.clone());
    }

    /// Gives a place back.
    pub(super) fn leave(&self, place: usize) {
        let mut members = self.members();
        members.wakers.remove(place);
        if members.wakers.is_empty() {
            // A crowd that left must not leave its table of places behind.
            members.wakers.shrink_to_fit();
        }
    }

    /// How many subscribers are in it.
    pub(super) fn population(&self) -> usize {
        self.members().wakers.len()
    }

    /// Whether it has been without subscribers for as long as `linger`, as far as earlier calls of this have seen.
    pub(super) fn is_deserted(&self, now: Instant, linger: Duration) -> bool {
        let mut members = self.members();
        if !members.wakers.is_empty() {
            members.empty_since = None;
            return false;
        }
        let since = *members.empty_since.get_or_insert(now);
        now.duration_since(since) >= linger
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::cursor::OpenSet;

    use super::*;

    #[test]
    fn an_announcement_that_comes_late_takes_nothing_back() {
        let present = Position {
            number: 1,
            open: Arc::new(OpenSet::above(0)),
        };
        let cell = RoomCell::new(&Room::canonical("a"), &present);
        // The tail published 2 and has not said so yet when the source is closed, which is 3.
        cell.announce(3);
        cell.announce(2);
        assert!(cell.has_changed(2), "whoever has seen 2 learns of the close");
        assert!(!cell.has_changed(3));
    }
}
