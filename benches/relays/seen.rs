//! Whether one connection gets each row of its room once, in order.

use std::ops::AddAssign;

/// What was delivered, and what was wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub deliveries: u64,
    /// Rows that a connection did not get although it got a later one, or the run is over.
    pub lost: u64,
    pub repeated: u64,
    /// Rows that came after a later one.
    pub reordered: u64,
    /// Marks with something in their middle. Never to be seen: the client would not understand the server.
    pub garbled: u64,
    /// Streams that the server has closed.
    pub closed: u64,
    /// Bytes read, heads and framing included.
    pub bytes: u64,
}

impl Counts {
    /// Was every row delivered once and in order?
    pub fn is_clean(&self) -> bool {
        self.lost + self.repeated + self.reordered + self.garbled + self.closed == 0
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.garbled += other.garbled;
        self.closed += other.closed;
        self.bytes += other.bytes;
    }
}

/// What one connection has seen of its room, over reconnects.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The number of the row that should come next; 0 before the first.
    next: u64,
    /// Numbers that were passed by, as first and last.
    missing: Vec<(u64, u64)>,
}

impl Seen {
    /// Has it got any row?
    pub fn has_begun(&self) -> bool {
        self.next > 0
    }

    /// Has it got the row of this number, or a later one?
    pub fn has_reached(&self, sequence: u64) -> bool {
        self.next > sequence
    }

    /// Takes one delivery. The first one says where it begins.
    pub fn take(&mut self, sequence: u64, counts: &mut Counts) {
        counts.deliveries += 1;
        if sequence == self.next || self.next == 0 {
            self.next = sequence + 1;
        } else if sequence > self.next {
            self.pass_by(sequence - 1, counts);
            self.next = sequence + 1;
        } else if self.find(sequence) {
            counts.reordered += 1;
            counts.lost = counts.lost.saturating_sub(1);
        } else {
            counts.repeated += 1;
        }
    }

    /// The run is over, and `last` was the last row: what has not come is lost.
    pub fn end(&mut self, last: u64, counts: &mut Counts) {
        if self.has_begun() && !self.has_reached(last) {
            self.pass_by(last, counts);
            self.next = last + 1;
        }
    }

    fn pass_by(&mut self, last: u64, counts: &mut Counts) {
        counts.lost += last + 1 - self.next;
        self.missing.push((self.next, last));
    }

    /// Takes a number out of those that are missing; was it one?
    fn find(&mut self, sequence: u64) -> bool {
        let Some(at) = self
            .missing
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&sequence))
        else {
            return false;
        };
        let (first, last) = self.missing.swap_remove(at);
        if first < sequence {
            self.missing.push((first, sequence - 1));
        }
        if sequence < last {
            self.missing.push((sequence + 1, last));
        }
        true
    }
}
