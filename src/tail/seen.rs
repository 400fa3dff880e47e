//! What a tail has seen, with the births and deaths of gaps: pure, no I/O. Its clock is passed in, and decides nothing.
//!
//! Two claims carry everything here. Both rest on the order of one read's steps (snapshot, then the sequence's last
//! value, then the next transaction id) and on every writer owning a transaction id before it draws a row's id.
//!
//! 1. *Birth.* An id up to `sequence_last` was drawn by a transaction below `next_xid`: it had drawn before the sequence
//!    was looked at, and had its own id before that. So a gap up to there may note `next_xid` as its **bound**. That
//!    speaks of what was drawn, not of what was read, so it holds in a read that was cut by its limit, too. What lies
//!    above the sequence is not drawn yet: its transaction may not have begun, so it gets no bound and stays open.
//! 2. *Death.* When a **later** read's snapshot has `xmin >= bound`, all those transactions were over before it was
//!    taken, so it showed whatever they committed; what it did not show in the gap was rolled back. This needs the read to
//!    have looked at the gap: one that was cut says nothing about ids above its last.
//!
//! Deaths come before births in [`Seen::absorb`], so no gap dies in the read that bound it.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use tokio::time::Instant;

use crate::cursor::{IdRange, OpenSet};

/// What one read reported beside its rows. Transaction ids are 64 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `pg_snapshot_xmin` of the read's snapshot: every transaction below it is over, and the read saw what it
    /// committed.
    pub xmin: u64,
    /// The next unassigned transaction id, read after `sequence_last` in the same statement.
    pub next_xid: u64,
    /// The id sequence's last value, 0 before its first.
    pub sequence_last: i64,
    /// The read stopped at its limit: nothing above this id was looked at.
    pub cut_at: Option<i64>,
    /// When the read was made, for [`Seen::ages`].
    pub at: Option<Instant>,
}

/// The ids a tail has seen or given up, as their complement; each gap knows when it may die.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The same gaps as below and their `high`, ready to be handed out.
    open: OpenSet,
    /// Ascending and disjoint; adjacent ones differ in their bound.
    gaps: Vec<Gap>,
    /// What [`Seen::note_table_xmin`] brought since the last read.
    table_xmin: Option<u64>,
}

/// Ids below the highest seen one that were not seen themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    ids: IdRange,
    /// Every transaction that drew one of `ids` is below this. `None`: some are not drawn yet, as far as is known.
    bound: Option<Bound>,
}

/// The next transaction id when a gap was bound, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    xid: u64,
    at: Option<Instant>,
}

impl Seen {
    /// Begins with what was seen before, by a saved position or at attach. Its gaps get their bounds at the first
    /// read.
    pub fn from_open(open: &OpenSet) -> Self {
        let gaps = open.gaps().iter().map(|&ids| Gap { ids, bound: None }).collect();
        Self {
            open: open.clone(),
            gaps,
            table_xmin: None,
        }
    }

    /// What is still to be seen.
    pub fn open(&self) -> OpenSet {
        self.open.clone()
    }

    /// Takes the ids of one read, ascending and all open, and the read's look. Calls `each` for every id with the open
    /// set as it stands after that delivery; then lets gaps die and be born.
    ///
    /// Linear in the gaps, once per read; an id costs a binary search, and without gaps nothing is allocated.
    pub fn absorb(&mut self, look: &Look, ids: &[i64], mut each: impl FnMut(i64, &OpenSet)) {
        for &id in ids {
            let high = self.open.high();
            let was_open = self.open.remove(id);
            // The id stands twice in a table whose ids are not unique: it was delivered.
            if !was_open {
                continue;
            }
            if id <= high {
                self.split_gap(id);
            } else if id > high + 1 {
                self.gaps.push(Gap {
                    ids: IdRange {
                        low: high + 1,
                        high: id - 1,
                    },
                    bound: None,
                });
            }
            each(id, &self.open);
        }
        self.bury(look);
        self.bind(look);
    }

    /// Are there gaps that outlived the last read and could die (they are not above the sequence)?
    pub fn lingers(&self) -> bool {
        self.gaps.iter().any(|gap| gap.bound.is_some())
    }

    /// How many gaps there are that could die, and since when the oldest of them. Linear in the gaps.
    pub fn ages(&self) -> (usize, Option<Instant>) {
        let bounds = self.gaps.iter().filter_map(|gap| gap.bound);
        (bounds.clone().count(), bounds.filter_map(|bound| bound.at).min())
    }

    /// Takes the table's own xmin (`u64::MAX`: nobody writes the table), looked up in a statement of its own after
    /// the last read. It counts in the next [`Seen::absorb`], for gaps born before this call.
    ///
    /// A look that began before the last read, or within it, loses rows: whoever ended between the read's snapshot and
    /// the look would count as over without having been seen.
    pub fn note_table_xmin(&mut self, table_xmin: u64) {
        self.table_xmin = Some(table_xmin);
    }

    /// Takes `id` out of the gap it stands in; what is left keeps its bound.
    fn split_gap(&mut self, id: i64) {
        let at = self.gaps.partition_point(|gap| gap.ids.high < id);
        let Gap { ids, bound } = self.gaps[at];
        let below = Gap {
            ids: IdRange { high: id - 1, ..ids },
            bound,
        };
        let above = Gap {
            ids: IdRange { low: id + 1, ..ids },
            bound,
        };
        match (ids.low < id, id < ids.high) {
            (false, false) => drop(self.gaps.remove(at)),
            (true, false) => self.gaps[at] = below,
            (false, true) => self.gaps[at] = above,
            (true, true) => {
                self.gaps[at] = above;
                self.gaps.insert(at, below);
            }
        }
    }

    /// Lets the gaps die whose transactions are over. All bounds come from earlier reads here, and so from before a noted
    /// table's xmin.
    fn bury(&mut self, look: &Look) {
        let over_below = look.xmin.max(self.table_xmin.take().unwrap_or(0));
        let looked_up_to = look.cut_at.unwrap_or(i64::MAX);
        let before = self.gaps.len();
        self.gaps.retain(|gap| {
            let is_over = gap.bound.is_some_and(|bound| bound.xid <= over_below);
            !is_over || gap.ids.high > looked_up_to
        });
        if self.gaps.len() < before {
            self.open = OpenSet::new(self.open.high(), self.gaps.iter().map(|gap| gap.ids));
        }
    }

    /// Gives a bound to what has none and was drawn by now: ids up to the sequence's last value.
    fn bind(&mut self, look: &Look) {
        let last = look.sequence_last;
        let is_due = |gap: &Gap| gap.bound.is_none() && gap.ids.low <= last;
        if !self.gaps.iter().any(is_due) {
            return;
        }
        // At most one gap reaches beyond the sequence from below and becomes two.
        let mut bound_now = Vec::with_capacity(self.gaps.len() + 1);
        for gap in self.gaps.drain(..) {
            if !is_due(&gap) {
                bound_now.push(gap);
                continue;
            }
            let drawn = IdRange {
                low: gap.ids.low,
                high: gap.ids.high.min(last),
            };
            push_joining(
                &mut bound_now,
                Gap {
                    ids: drawn,
                    bound: Some(Bound {
                        xid: look.next_xid,
                        at: look.at,
                    }),
                },
            );
            if gap.ids.high > last {
                bound_now.push(Gap {
                    ids: IdRange {
                        low: last + 1,
                        high: gap.ids.high,
                    },
                    bound: None,
                });
            }
        }
        self.gaps = bound_now;
    }
}

/// Adds a gap above all others, to the last one where they touch and have the same bound.
fn push_joining(gaps: &mut Vec<Gap>, gap: Gap) {
    match gaps.last_mut() {
        Some(last) if last.bound == gap.bound && last.ids.high + 1 == gap.ids.low => {
            last.ids.high = gap.ids.high
        }
        _ => gaps.push(gap),
    }
}
