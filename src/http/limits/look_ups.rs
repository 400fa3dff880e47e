//! Look-ups of tickets, which strangers can ask for: few at a time, so that what the first ones find is known before the
//! others are made, and most of the database's sessions are left to those who are admitted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::Key;

/// Look-ups at a time, of all addresses: half of the pool, as large as it is by default.
const IN_ALL: usize = 4;

/// Of one address. It has as many in the line of all, so that nobody waits there behind a crowd.
pub(super) const OF_ADDRESS: usize = 2;

/// How long one waits for a turn. Two at a time, 2,000 tickets behind one address are through within it where a look-up takes up
/// to 20 ms.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct LookUps {
    in_all: Semaphore,
    lines: Mutex<HashMap<Key, Line>>,
}

/// Those of one address who wait, or have their turn.
#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// A line in which nobody stands is forgotten.
    length: usize,
}

/// A place in the line of an address, given up by dropping it.
#[derive(Debug)]
struct Place<'a> {
    look_ups: &'a LookUps,
    address: Key,
    turns: Arc<Semaphore>,
}

/// A turn, which ends by dropping it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _in_all: SemaphorePermit<'a>,
    _of_address: OwnedSemaphorePermit,
    // Dropped last, as fields are in their order: a line is forgotten when its turns are back.
    _place: Place<'a>,
}

impl LookUps {
    pub(super) fn new() -> Self {
        Self {
            in_all: Semaphore::new(IN_ALL),
            lines: Mutex::default(),
        }
    }

    /// Waits for a turn of `address`, in the order of asking; `None` where that takes too long. A line that nobody waits in any
    /// more costs nothing.
    pub(super) async fn turn(&self, address: &Key) -> Option<Turn<'_>> {
        let place = self.stand(address.clone());
        let turns = async {
            // In this order: in the line of all stands only who is next in its own.
            let of_address = place.turns.clone().acquire_owned().await.ok()?;
            Some((of_address, self.in_all.acquire().await.ok()?))
        };
        let (of_address, in_all) = timeout(LONGEST_WAIT, turns).await.ok()??;
        Some(Turn {
            _in_all: in_all,
            _of_address: of_address,
            _place: place,
        })
    }

    fn stand(&self, address: Key) -> Place<'_> {
        let mut lines = self.lines.lock().expect("no holder of this lock panics");
        let line = lines.entry(address.clone()).or_insert_with(|| Line {
            turns: Arc::new(Semaphore::new(OF_ADDRESS)),
            length: 0,
        });
        line.length += 1;
        Place {
            look_ups: self,
            address,
            turns: line.turns.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> usize {
        self.lines.lock().expect("no holder of this lock panics").len()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.look_ups.lines.lock().expect("no holder of this lock panics");
        if let Some(line) = lines.get_mut(&self.address) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.address);
            }
        }
    }
}
