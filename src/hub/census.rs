//! Who is in which room, and how much comes there: for operators, when they look.

use std::sync::Arc;

use crate::room::Room;

use super::{Hub, RoomCell};

/// One room as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCount {
    pub room: Room,
    pub subscribers: usize,
    /// That reads of the tail brought to it since the room is held: what is forgotten begins at 0 again.
    pub events: u64,
    /// Bytes of frames in its ring.
    pub ring_bytes: usize,
}

impl Hub {
    /// Every room that is held, in no order. Publishing waits while the rooms are listed (a reference is taken of each), not
    /// while they are counted: the counts of two rooms may be of two moments.
    pub fn census(&self) -> Vec<RoomCount> {
        let cells: Vec<Arc<RoomCell>> = self.lock().rooms.values().cloned().collect();
        cells.iter().map(|cell| cell.count()).collect()
    }
}

impl RoomCell {
    fn count(&self) -> RoomCount {
        let state = self.lock();
        RoomCount {
            room: self.room.clone(),
            subscribers: state.waiters.len(),
            events: state.events,
            ring_bytes: state.ring.bytes(),
        }
    }
}
