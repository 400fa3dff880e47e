//! Sets of ids as ranges, and their arithmetic: linear merge walks, one allocation each at most.
//!
//! The invariant of this file is the normal form of [`OpenSet`]: every function takes and gives it, so that equal
//! sets are equal values and no walk has to care for ranges that touch.

/// An inclusive range of ids, `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdRange {
    pub low: i64,
    pub high: i64,
}

impl IdRange {
    fn intersection(self, other: Self) -> Option<Self> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(Self { low, high })
    }
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
    pub fn above(high: i64) -> Self {
        Self {
            high: high.max(0),
            gaps: Vec::new(),
        }
    }

    /// `gaps` in any order, overlapping or adjacent; what lies above `high` is open anyway, ids below 1 do not exist.
    /// Brought into normal form.
    pub fn new(high: i64, gaps: impl IntoIterator<Item = IdRange>) -> Self {
        let above = Self::above(high);
        let ids = IdRange {
            low: 1,
            high: above.high,
        };
        let mut ranges: Vec<_> = gaps.into_iter().filter_map(|gap| gap.intersection(ids)).collect();
        ranges.sort_unstable();
        let mut builder = Builder {
            gaps: Vec::with_capacity(ranges.len()),
            last: None,
        };
        ranges.into_iter().for_each(|range| builder.push(range));
        above.ranges().for_each(|range| builder.push(range));
        builder.finish()
    }

    /// Trusts `gaps` to be in normal form below `high`: for the parser, which has checked it.
    pub(super) fn from_normal(high: i64, gaps: Vec<IdRange>) -> Self {
        Self { high, gaps }
    }

    /// The highest id that was seen, 0 if none.
    pub fn high(&self) -> i64 {
        self.high
    }

    /// The lowest open id.
    pub fn lowest(&self) -> i64 {
        self.gaps
            .first()
            .map_or(self.high.saturating_add(1), |gap| gap.low)
    }

    /// The gaps, ascending.
    pub fn gaps(&self) -> &[IdRange] {
        &self.gaps
    }

    /// All open ranges ascending, the last one up to `i64::MAX` (absent if that id itself was seen).
    pub fn ranges(&self) -> impl Iterator<Item = IdRange> + '_ {
        self.gaps.iter().copied().chain(self.above_high())
    }

    /// Is `id` open? By binary search.
    pub fn contains(&self, id: i64) -> bool {
        id > self.high
            || self
                .gaps
                .get(self.first_gap_to(id))
                .is_some_and(|gap| gap.low <= id)
    }

    /// The highest seen id at or below `id`, 0 if there is none.
    pub fn highest_closed(&self, id: i64) -> i64 {
        match self.gaps.get(self.first_gap_to(id)) {
            Some(gap) if gap.low <= id => gap.low - 1,
            _ => id.clamp(0, self.high),
        }
    }

    /// Is every id of `self` in `other`?
    pub fn is_subset(&self, other: &Self) -> bool {
        let mut outer = other.ranges().peekable();
        self.ranges().all(|range| {
            while outer.next_if(|candidate| candidate.high < range.low).is_some() {}
            // Ranges in normal form do not touch, so a range of `self` can't span two of `other`.
            outer
                .peek()
                .is_some_and(|candidate| candidate.low <= range.low && range.high <= candidate.high)
        })
    }

    /// The ids in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut builder = Builder::with_room_for(self, other);
        let (mut ours, mut theirs) = (self.ranges().peekable(), other.ranges().peekable());
        while let (Some(&our), Some(&their)) = (ours.peek(), theirs.peek()) {
            if let Some(common) = our.intersection(their) {
                builder.push(common);
            }
            if our.high <= their.high {
                ours.next();
            } else {
                theirs.next();
            }
        }
        builder.finish()
    }

    /// The ids in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut builder = Builder::with_room_for(self, other);
        let (mut ours, mut theirs) = (self.ranges().peekable(), other.ranges().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(our), Some(their)) if their.low < our.low => theirs.next(),
                (Some(_), _) => ours.next(),
                (None, _) => theirs.next(),
            };
            let Some(range) = next else {
                return builder.finish();
            };
            builder.push(range);
        }
    }

    /// The ids of `self` that are not in `other`, as ranges ascending, disjoint and not adjacent.
    pub fn difference(&self, other: &Self) -> Vec<IdRange> {
        let mut rest = Vec::new();
        let mut taken = other.ranges().peekable();
        for range in self.ranges() {
            while taken.next_if(|taken| taken.high < range.low).is_some() {}
            let mut low = range.low;
            loop {
                let Some(&next) = taken.peek().filter(|next| next.low <= range.high) else {
                    rest.push(IdRange {
                        low,
                        high: range.high,
                    });
                    break;
                };
                if low < next.low {
                    rest.push(IdRange {
                        low,
                        high: next.low - 1,
                    });
                }
                if next.high >= range.high {
                    break;
                }
                low = next.high + 1;
                taken.next();
            }
        }
        rest
    }

    /// A copy without one id: [`OpenSet::remove`] as an expression.
    #[cfg(test)]
    pub(crate) fn without(&self, id: i64) -> Self {
        let mut rest = self.clone();
        rest.remove(id);
        rest
    }

    /// Takes one id out. Was it open?
    pub fn remove(&mut self, id: i64) -> bool {
        if id > self.high {
            if id > self.high + 1 {
                self.gaps.push(IdRange {
                    low: self.high + 1,
                    high: id - 1,
                });
            }
            self.high = id;
            return true;
        }
        let at = self.first_gap_to(id);
        let Some(gap) = self.gaps.get_mut(at).filter(|gap| gap.low <= id) else {
            return false;
        };
        match (gap.low == id, gap.high == id) {
            (true, true) => drop(self.gaps.remove(at)),
            (true, false) => gap.low = id + 1,
            (false, true) => gap.high = id - 1,
            (false, false) => {
                let below = IdRange {
                    low: gap.low,
                    high: id - 1,
                };
                gap.low = id + 1;
                self.gaps.insert(at, below);
            }
        }
        true
    }

    /// Only what lies above `id`: `self ∩ (id, ∞)`.
    pub fn above_id(&self, id: i64) -> Self {
        if id >= self.high {
            return Self::above(id);
        }
        let mut gaps = self.gaps[self.gaps.partition_point(|gap| gap.high <= id)..].to_vec();
        if let Some(first) = gaps.first_mut() {
            first.low = first.low.max(id.saturating_add(1));
        }
        Self {
            high: self.high,
            gaps,
        }
    }

    /// `(high, ∞)`, if any id is left there.
    fn above_high(&self) -> Option<IdRange> {
        (self.high < i64::MAX).then(|| IdRange {
            low: self.high + 1,
            high: i64::MAX,
        })
    }

    /// The index of the first gap that ends at or above `id`.
    fn first_gap_to(&self, id: i64) -> usize {
        self.gaps.partition_point(|gap| gap.high < id)
    }
}

/// Puts ranges that come by ascending `low` into normal form.
struct Builder {
    gaps: Vec<IdRange>,
    /// The range under way: the next one may touch it.
    last: Option<IdRange>,
}

impl Builder {
    /// Room for as many gaps as an intersection or a union can have; none for two sets without gaps.
    fn with_room_for(one: &OpenSet, other: &OpenSet) -> Self {
        Self {
            gaps: Vec::with_capacity(one.gaps.len() + other.gaps.len()),
            last: None,
        }
    }

    fn push(&mut self, range: IdRange) {
        match &mut self.last {
            // Ids begin at 1, so `low - 1` can't underflow where `high + 1` could overflow.
            Some(last) if range.low - 1 <= last.high => last.high = last.high.max(range.high),
            last => self.gaps.extend(last.replace(range)),
        }
    }

    fn finish(mut self) -> OpenSet {
        match self.last {
            Some(last) if last.high == i64::MAX => OpenSet {
                high: last.low - 1,
                gaps: self.gaps,
            },
            last => {
                self.gaps.extend(last);
                OpenSet {
                    high: i64::MAX,
                    gaps: self.gaps,
                }
            }
        }
    }
}
