//! A room's ring: its newest events, bounded, in delivery order. Pure: no lock, no clock, no I/O.
//!
//! A ring knows from which delivery number on it is complete, so an empty ring never claims that someone is caught up.
//! It holds one [`Segment`] per read of the tail: the frames of a segment lie side by side in one buffer, so that all
//! that a subscriber missed of it is a slice, written in one write.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::OpenSet;

use super::Times;

/// A delivery number and the tail's open set right after that delivery: a place from which to follow.
#[derive(Clone, Debug)]
pub struct Position {
    /// How many rows the tail had delivered, of all rooms.
    pub number: u64,
    pub open: Arc<OpenSet>,
}

/// One event in a segment.
#[derive(Debug)]
pub struct Entry {
    /// The delivery number.
    pub number: u64,
    pub id: i64,
    /// The event's JSON text in the segment's bytes.
    pub json: Range<usize>,
    /// Where the event's frame ends in the segment's bytes; it begins where the one before ends.
    pub frame_end: usize,
    /// The tail's open set after this delivery.
    pub open_after: Arc<OpenSet>,
}

impl Entry {
    /// The same in other bytes, where what stood at `from` stands at `to`.
    pub(super) fn moved(&self, from: usize, to: usize) -> Self {
        Self {
            number: self.number,
            id: self.id,
            json: self.json.start - from + to..self.json.end - from + to,
            frame_end: self.frame_end - from + to,
            open_after: self.open_after.clone(),
        }
    }
}

/// The events that one read brought to one room. Never empty.
#[derive(Debug)]
pub struct Segment {
    pub entries: Vec<Entry>,
    /// The SSE frames of the entries, joined; their ids are the tail's positions.
    pub bytes: Bytes,
    /// Of rows that somebody waited for, where their source has a time.
    pub times: Times,
}

impl Segment {
    /// The delivery number of its newest event.
    pub fn last_number(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.number)
    }

    /// Where the frame of an entry begins in the bytes, or the last one ends.
    pub(super) fn start_of(&self, entry: usize) -> usize {
        match entry {
            0 => 0,
            _ => self.entries[entry - 1].frame_end,
        }
    }

    /// The frames of a run of entries: a slice, not a copy.
    pub fn frames(&self, run: Range<usize>) -> Bytes {
        self.bytes.slice(self.start_of(run.start)..self.start_of(run.end))
    }
}

/// How much one ring may hold.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    pub events: usize,
    /// Bytes of frames.
    pub bytes: usize,
}

/// The newest events of one room.
#[derive(Debug)]
pub struct Ring {
    segments: VecDeque<Arc<Segment>>,
    /// Every event of the room with a higher delivery number stands here.
    complete_from: u64,
    /// A position the ring reaches, renewed only when it would be overtaken: all who come back take the same one,
    /// so that their replays are equal and can be read once.
    anchor: Position,
    events: usize,
    bytes: usize,
}

impl Ring {
    /// An empty ring, complete from `position` on.
    pub fn new(position: Position) -> Self {
        Self {
            segments: VecDeque::new(),
            complete_from: position.number,
            anchor: position,
            events: 0,
            bytes: 0,
        }
    }

    /// Whether every event after delivery `number` stands here.
    pub fn reaches(&self, number: u64) -> bool {
        number >= self.complete_from
    }

    /// The delivery number of the newest event, or from which on there is none.
    pub fn newest(&self) -> u64 {
        self.segments
            .back()
            .map_or(self.complete_from, |newest| newest.last_number())
    }

    /// Whether the segment that ended at delivery `last_number` was not dropped yet.
    pub fn holds(&self, last_number: u64) -> bool {
        last_number > self.complete_from
    }

    /// The position for those who come back: always reached, moved as rarely as can be.
    pub fn anchor(&self) -> &Position {
        &self.anchor
    }

    /// Bytes of frames held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends the events of one read; their delivery numbers are above all earlier ones. Returns the bytes that were
    /// dropped to keep within `limits`; the newest segment always stays.
    pub fn push(&mut self, segment: Segment, limits: RingLimits) -> usize {
        self.events += segment.entries.len();
        self.bytes += segment.bytes.len();
        self.segments.push_back(Arc::new(segment));
        let before = self.bytes;
        while self.segments.len() > 1 && (self.events > limits.events || self.bytes > limits.bytes) {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops the oldest segment and returns its bytes, 0 if there is none.
    pub fn drop_oldest(&mut self) -> usize {
        let Some(oldest) = self.segments.pop_front() else {
            return 0;
        };
        self.events -= oldest.entries.len();
        self.bytes -= oldest.bytes.len();
        self.complete_from = oldest.last_number();
        if self.anchor.number < self.complete_from {
            self.move_anchor(&oldest);
        }
        oldest.bytes.len()
    }

    /// To the middle of what is held: as far as can be from being overtaken again, and from the present.
    fn move_anchor(&mut self, dropped: &Segment) {
        let middle = match self.segments.len() {
            0 | 1 => dropped,
            held => &self.segments[held / 2 - 1],
        };
        if let Some(entry) = middle.entries.last() {
            self.anchor = Position {
                number: entry.number,
                open: entry.open_after.clone(),
            };
        }
    }

    /// The latest position of the ring that `fits`, a test that holds up to some delivery and for none after it;
    /// `None` if it fits at none.
    pub fn latest(&self, fits: impl Fn(&OpenSet) -> bool) -> Option<Position> {
        let is_fit = |entry: &Entry| fits(&entry.open_after);
        let after = self
            .segments
            .partition_point(|segment| segment.entries.first().is_some_and(is_fit));
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let entry = &segment.entries[segment.entries.partition_point(is_fit).checked_sub(1)?];
        Some(Position {
            number: entry.number,
            open: entry.open_after.clone(),
        })
    }

    /// The runs of entries with delivery numbers in `(after, up_to]`, oldest first.
    pub fn between(&self, after: u64, up_to: u64) -> impl Iterator<Item = (&Arc<Segment>, Range<usize>)> {
        let first = self
            .segments
            .partition_point(|segment| segment.last_number() <= after);
        self.segments.range(first..).map_while(move |segment| {
            let start = segment.entries.partition_point(|entry| entry.number <= after);
            let end = segment.entries.partition_point(|entry| entry.number <= up_to);
            (start < end).then_some((segment, start..end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(number: u64) -> Position {
        Position {
            number,
            open: Arc::new(OpenSet::above(number as i64)),
        }
    }

    fn segment(numbers: Range<u64>) -> Segment {
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        for number in numbers {
            let json = bytes.len()..bytes.len() + 1;
            bytes.extend_from_slice(b"x\n");
            let open_after = Arc::new(OpenSet::above(number as i64));
            entries.push(Entry {
                number,
                id: number as i64,
                json,
                frame_end: bytes.len(),
                open_after,
            });
        }
        Segment {
            entries,
            bytes: bytes.into(),
            times: Times::default(),
        }
    }

    fn numbers(ring: &Ring, after: u64, up_to: u64) -> Vec<u64> {
        ring.between(after, up_to)
            .flat_map(|(s, run)| s.entries[run].iter().map(|e| e.number))
            .collect()
    }

    #[test]
    fn an_empty_ring_is_complete_only_from_where_it_began() {
        let ring = Ring::new(position(10));
        assert!(ring.reaches(10) && ring.reaches(11));
        assert!(!ring.reaches(9));
    }

    #[test]
    fn a_ring_gives_exactly_the_events_between_two_deliveries() {
        let limits = RingLimits {
            events: 100,
            bytes: 1000,
        };
        let mut ring = Ring::new(position(0));
        for start in [1, 4, 7] {
            ring.push(segment(start..start + 3), limits);
        }
        for after in 0..=10 {
            for up_to in after..=10 {
                let expected: Vec<u64> = (after + 1..=up_to.min(9)).collect();
                assert_eq!(numbers(&ring, after, up_to), expected, "({after}, {up_to}]");
            }
        }
    }

    #[test]
    fn what_was_dropped_is_no_longer_reached_and_the_anchor_always_is() {
        let limits = RingLimits {
            events: 10,
            bytes: 1000,
        };
        let mut ring = Ring::new(position(0));
        for start in 0..50 {
            let dropped = ring.push(segment(start * 2 + 1..start * 2 + 3), limits);
            assert!(ring.reaches(ring.anchor().number));
            assert!(!numbers(&ring, ring.complete_from, u64::MAX).is_empty());
            assert_eq!(dropped > 0, start >= 5);
        }
        assert_eq!(
            numbers(&ring, ring.complete_from, u64::MAX),
            (91..=100).collect::<Vec<_>>()
        );
        assert!(!ring.reaches(89) && ring.reaches(90));
    }

    #[test]
    fn the_anchor_moves_only_when_it_is_overtaken() {
        let limits = RingLimits {
            events: 8,
            bytes: 1000,
        };
        let mut ring = Ring::new(position(0));
        let mut anchors = Vec::new();
        for number in 1..=40 {
            ring.push(segment(number..number + 1), limits);
            anchors.push(ring.anchor().number);
        }
        anchors.dedup();
        assert!(anchors.len() <= 12, "{anchors:?}");
    }

    #[test]
    fn the_latest_position_that_fits_is_found() {
        let mut ring = Ring::new(position(0));
        for numbers in [1..4, 4..5, 5..8, 9..12] {
            ring.push(
                segment(numbers),
                RingLimits {
                    events: 100,
                    bytes: 1000,
                },
            );
        }
        for seen in 1..=11 {
            let found = ring.latest(|open| open.high() <= seen).unwrap();
            assert_eq!(found.open.high(), if seen == 8 { 7 } else { seen });
        }
        assert!(ring.latest(|open| open.high() < 1).is_none());
    }

    #[test]
    fn joined_frames_are_a_slice_of_the_segment() {
        let segment = segment(1..5);
        assert_eq!(&segment.frames(0..4)[..], b"x\nx\nx\nx\n");
        assert_eq!(&segment.frames(1..3)[..], b"x\nx\n");
        assert!(segment.frames(0..0).is_empty());
    }
}
