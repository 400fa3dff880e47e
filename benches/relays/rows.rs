//! What has been written so far, shared by the writer's thread and the client's.

use std::sync::atomic::{AtomicU64, Ordering};

/// Moments that are kept, of all rooms together at least.
const MOMENTS: usize = 1 << 17;

/// The rows of all rooms: numbers, and when their INSERT returned.
pub struct Rows {
    /// By room: the number of its last row; 0 without any.
    last: Vec<AtomicU64>,
    /// By room, then by the number's lowest bits: nanoseconds of CLOCK_MONOTONIC.
    returned: Vec<AtomicU64>,
    /// Of one room; a power of two.
    slots: usize,
}

impl Rows {
    pub fn new(rooms: usize) -> Self {
        let slots = (MOMENTS / rooms.max(1)).next_power_of_two().clamp(16, MOMENTS);
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            last: zeros(rooms),
            returned: zeros(rooms * slots),
            slots,
        }
    }

    pub fn rooms(&self) -> usize {
        self.last.len()
    }

    /// The number of the room's last row.
    pub fn last(&self, room: usize) -> u64 {
        self.last[room].load(Ordering::Acquire)
    }

    /// Notes that a row's INSERT returned at `moment`.
    pub fn wrote(&self, room: usize, sequence: u64, moment: u64) {
        self.returned[self.slot(room, sequence)].store(moment, Ordering::Release);
        self.last[room].store(sequence, Ordering::Release);
    }

    /// When the INSERT of the row that was about to be written at `written` returned; `None`: it hasn't yet, the row was
    /// delivered before.
    pub fn returned(&self, room: usize, sequence: u64, written: u64) -> Option<u64> {
        let moment = self.returned[self.slot(room, sequence)].load(Ordering::Acquire);
        // A row before it has left an older moment in its place.
        (moment >= written).then_some(moment)
    }

    fn slot(&self, room: usize, sequence: u64) -> usize {
        room * self.slots + (sequence as usize & (self.slots - 1))
    }
}

/// A room's name, as rows and requests have it.
pub fn room_name(room: usize) -> String {
    format!("room-{room}")
}

/// Rows at a pace.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Rows a second, of all rooms together, which take turns.
    pub rate: f64,
    pub seconds: f64,
    /// Bytes of a row's body.
    pub size: usize,
    /// Rows of one INSERT.
    pub rows_per_statement: usize,
}

impl Load {
    /// Statements a second that one session may be asked for: a quarter of what it could do.
    const STATEMENTS: f64 = 1000.0;
    /// Bytes of a row's body that is no matter of the scenario.
    pub const SIZE: usize = 200;

    /// Rows of the usual size; more than one in a statement above a thousand a second.
    pub fn new(rate: f64, seconds: f64) -> Self {
        Self {
            rate,
            seconds,
            size: Self::SIZE,
            rows_per_statement: (rate / Self::STATEMENTS).ceil().max(1.0) as usize,
        }
    }

    /// One row for each room, as fast as it goes.
    pub fn once(rooms: usize) -> Self {
        Self {
            rate: 1e6,
            seconds: rooms as f64 / 1e6,
            size: Self::SIZE,
            rows_per_statement: rooms.clamp(1, 200),
        }
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        (self.rate * self.seconds).round().max(1.0) as u64
    }

    /// The same with another size of rows.
    pub fn of_size(self, size: usize) -> Self {
        Self { size, ..self }
    }
}
