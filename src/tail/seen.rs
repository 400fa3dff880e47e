//! What a tail has seen, with the births and deaths of gaps: pure, no clock, no I/O.

use crate::cursor::OpenSet;

/// What one read reported beside its rows. Transaction ids are 64 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `pg_snapshot_xmin` of the read's snapshot: every transaction below it is over, and the read saw what it committed.
    pub xmin: u64,
    /// The next unassigned transaction id, read after `sequence_last` in the same statement.
    pub next_xid: u64,
    /// The id sequence's last value, 0 before its first.
    pub sequence_last: i64,
    /// The read stopped at its limit: nothing above this id was looked at.
    pub cut_at: Option<i64>,
}

/// The ids a tail has seen or given up, as their complement; each gap knows when it may die.
#[derive(Clone, Debug)]
pub struct Seen {/* high, gaps with bound and birth */}

impl Seen {
    pub fn from_open(_open: &OpenSet) -> Self {
        todo!()
    }
    pub fn open(&self) -> OpenSet {
        todo!()
    }
    /// Takes the ids of one read, ascending and all open, and the read's look. Calls `each` for every id with the open set as it stands
    /// after that delivery; then lets gaps be born and die.
    pub fn absorb(&mut self, _look: &Look, _ids: &[i64], _each: impl FnMut(i64, &OpenSet)) {
        todo!()
    }
    /// Gaps that outlived the last read and could die (they are not above the sequence)?
    pub fn lingers(&self) -> bool {
        todo!()
    }
    /// Takes the table's own xmin (`u64::MAX`: nobody writes the table), looked up in a statement of its own after
    /// the last read. It counts in the next [`Seen::absorb`], for gaps born before this call.
    pub fn note_table_xmin(&mut self, _table_xmin: u64) {
        todo!()
    }
}
