//! Who is in which room, and how much comes there: for operators, when they look.

use std::sync::Arc;

use crate::room::Room;

use super::Hub;
use super::room_cell::RoomCell;

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
        let count = |cell: &Arc<RoomCell>| RoomCount {
            room: cell.room.clone(),
            subscribers: cell.population(),
            events: cell.events(),
            ring_bytes: cell.ring().bytes(),
        };
        cells.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::cursor::OpenSet;
    use crate::hub::Subscriber;
    use crate::hub::fixtures::{self, publish};

    use super::*;

    /// A hub that keeps the two newest events of each room.
    fn hub() -> Arc<Hub> {
        fixtures::hub(2)
    }

    /// Name, subscribers, events and whether the ring has bytes, by name.
    fn census(hub: &Hub) -> Vec<(String, usize, u64, bool)> {
        let mut rooms: Vec<_> = hub
            .census()
            .into_iter()
            .map(|room| {
                let name = if room.room.is_all() {
                    "*"
                } else {
                    room.room.as_str()
                };
                (
                    name.to_owned(),
                    room.subscribers,
                    room.events,
                    room.ring_bytes > 0,
                )
            })
            .collect();
        rooms.sort();
        rooms
    }

    #[test]
    fn who_is_there_and_what_came_is_counted_also_of_what_the_ring_dropped() {
        let hub = hub();
        let [a, b] = ["a", "b"].map(Room::canonical);
        let one = Subscriber::new(hub.clone(), &[a.clone(), b]);
        let two = Subscriber::new(hub.clone(), &[a, Room::all()]);
        publish(&hub, "a", 1..=5);
        publish(&hub, "a", 6..=6);
        publish(&hub, "nobody is in it", 7..=8);
        let row = |name: &str, subscribers, events, holds| (name.to_owned(), subscribers, events, holds);
        assert_eq!(
            census(&hub),
            [row("*", 1, 8, true), row("a", 2, 6, true), row("b", 1, 0, false)]
        );
        drop(two);
        assert_eq!(
            census(&hub),
            [row("*", 0, 8, true), row("a", 1, 6, true), row("b", 1, 0, false)]
        );
        // Counts go on when the rings begin anew: a rate would otherwise break off.
        hub.restart(8, OpenSet::above(0));
        publish(&hub, "a", 1..=1);
        assert_eq!(census(&hub)[1], row("a", 1, 7, true));
        drop(one);
    }
}
