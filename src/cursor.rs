//! What a subscriber has seen: the cursor, its set arithmetic and its text form.
//!
//! Ids come from a sequence when a row is inserted, rows become visible when their transaction commits; so "how far"
//! can't be said with one number. A cursor is the set of ids that were seen, kept as its complement, the [`OpenSet`].
//! Only this file knows a cursor's text.

/// An inclusive range of ids, `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdRange {
    pub low: i64,
    pub high: i64,
}

/// The ids not seen yet: some gaps at or below `high`, and every id above it.
///
/// Always in normal form: gaps ascending, disjoint, not adjacent to one another, `1 <= low`, and `high` itself is
/// seen (a gap that would touch `high` lowers it instead). Equal sets are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenSet {
    high: i64,
    gaps: Vec<IdRange>,
}

impl OpenSet {
    /// Everything above `high`, no gaps. `high` below 0 counts as 0.
    pub fn above(_high: i64) -> Self {
        todo!()
    }
    /// `gaps` in any order, overlapping or adjacent; what lies above `high` is open anyway. Brought into normal form.
    pub fn new(_high: i64, _gaps: impl IntoIterator<Item = IdRange>) -> Self {
        todo!()
    }
    /// The highest id that was seen, 0 if none.
    pub fn high(&self) -> i64 {
        self.high
    }
    /// The gaps, ascending.
    pub fn gaps(&self) -> &[IdRange] {
        &self.gaps
    }
    /// All open ranges ascending, the last one up to `i64::MAX`.
    pub fn ranges(&self) -> impl Iterator<Item = IdRange> + '_ {
        self.gaps.iter().copied()
    }
    pub fn contains(&self, _id: i64) -> bool {
        todo!()
    }
    pub fn is_subset(&self, _other: &Self) -> bool {
        todo!()
    }
    pub fn intersection(&self, _other: &Self) -> Self {
        todo!()
    }
    pub fn union(&self, _other: &Self) -> Self {
        todo!()
    }
    /// The ids of `self` that are not in `other`, ascending.
    pub fn difference(&self, _other: &Self) -> Vec<IdRange> {
        todo!()
    }
    /// `self` without one id.
    pub fn without(&self, _id: i64) -> Self {
        todo!()
    }
    /// Only what lies above `id`: `self ∩ (id, ∞)`.
    pub fn above_id(&self, _id: i64) -> Self {
        todo!()
    }
}

/// A source's epoch and what was seen in it. Text: `EPOCH.HIGH` or `EPOCH.HIGH~GAPS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub epoch: i64,
    pub open: OpenSet,
}

/// What a client may hand in as a place to resume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// A cursor as this relay (or another of the same database) gave it out.
    Cursor(Cursor),
    /// A bare integer, zero or more: a row's id, a weak cursor.
    RowId(i64),
}
