//! What a crowd missed, joined once for all who missed the same.
//!
//! While a room is walked more rows come than walks begin, so that those who are reached have missed the events of several
//! reads, and hundreds of them the same ones. They are sent one write of shared bytes, like those of a single read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;

use super::{Piece, Segment, Times};

/// So many are kept: where one group of a walk ends and the next begins, for each of some workers.
const KEPT: usize = 4;

/// The joins of one room, until its next event.
#[derive(Debug, Default)]
pub(super) struct Joins(Mutex<VecDeque<Join>>);

/// The events behind a delivery.
#[derive(Debug)]
struct Join {
    after: u64,
    segment: Arc<Segment>,
}

impl Joins {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Join>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// The events behind delivery `after`, of which `pieces` are what the ring holds, as one.
    pub(super) fn join<'a>(&self, after: u64, pieces: impl Iterator<Item = &'a Piece>) -> Piece {
        let mut joins = self.lock();
        let segment = Arc::new(Segment::joined(pieces));
        joins.truncate(KEPT - 1);
        joins.push_front(Join {
            after,
            segment: segment.clone(),
        });
        Piece::whole(segment)
    }

    /// The same if somebody asked for it before.
    pub(super) fn find(&self, after: u64) -> Option<Piece> {
        let joins = self.lock();
        let found = joins.iter().find(|join| join.after == after)?;
        Some(Piece::whole(found.segment.clone()))
    }

    /// The ring changes.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }
}

impl Segment {
    /// The runs of some segments in one buffer. It has the times that nobody has taken from them yet.
    fn joined<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let (mut bytes, mut entries, mut times) = (BytesMut::new(), Vec::new(), Vec::new());
        for Piece { segment, run } in pieces {
            let (from, to) = (segment.start_of(run.start), bytes.len());
            bytes.extend_from_slice(&segment.frames(run.clone()));
            entries.extend(
                segment.entries[run.clone()]
                    .iter()
                    .map(|entry| entry.moved(from, to)),
            );
            times.extend_from_slice(segment.times.take());
        }
        Self {
            entries,
            bytes: bytes.freeze(),
            times: Times::new(times),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::cursor::OpenSet;
    use crate::hub::fixtures::{enter, hub, publish};
    use crate::hub::{Hub, Pull, Subscriber};

    use super::*;

    fn crowd(hub: &Arc<Hub>, size: usize) -> Vec<Subscriber> {
        (0..size).map(|_| enter(hub, "a")).collect()
    }

    /// The frames behind a delivery, and in how many pieces they come.
    fn pull(subscriber: &Subscriber, after: u64) -> (Bytes, usize) {
        let Pull::Pieces { first, rest } = subscriber.pull(after) else {
            panic!("there is something behind {after}");
        };
        let pieces = std::iter::once(&first).chain(&rest);
        for Piece { segment, run } in pieces.clone() {
            for entry in &segment.entries[run.clone()] {
                let json = String::from_utf8_lossy(&segment.bytes[entry.json.clone()]);
                assert!(json.contains(&format!("\"n\":{}", entry.id)), "{json}");
                assert_eq!(entry.number, entry.id as u64 + 1);
                assert_eq!(*entry.open_after, OpenSet::above(entry.id));
            }
        }
        let frames = pieces.map(|piece| piece.segment.frames(piece.run.clone()));
        let frames: Vec<Bytes> = frames.collect();
        match &frames[..] {
            [frame] => (frame.clone(), 1),
            several => (several.concat().into(), several.len()),
        }
    }

    #[test]
    fn a_crowd_that_missed_several_reads_shares_their_bytes() {
        let (few, many) = (hub(3), hub(3));
        let (one, crowd) = (crowd(&few, 1), crowd(&many, 100));
        for id in 1..=3 {
            publish(&few, "a", id..=id);
            publish(&many, "a", id..=id);
        }
        let (expected, pieces) = pull(&one[0], 1);
        assert_eq!(pieces, 3);
        let (frames, pieces) = pull(&crowd[0], 1);
        assert_eq!((&frames, pieces), (&expected, 1));
        let (again, _) = pull(&crowd[99], 1);
        assert_eq!(again.as_ptr(), frames.as_ptr(), "the same bytes");
        let (behind, _) = pull(&crowd[1], 2);
        assert_eq!(behind, pull(&one[0], 2).0, "another place, other bytes");
    }

    #[test]
    fn the_times_of_what_is_joined_are_taken_once() {
        let hub = hub(3);
        let crowd = crowd(&hub, 100);
        (1..=2).for_each(|id| publish(&hub, "a", id..=id));
        let times = |subscriber: &Subscriber| match subscriber.pull(1) {
            Pull::Pieces { first, .. } => first.segment.times.take().to_vec(),
            Pull::Overtaken | Pull::Nothing => panic!("there are two"),
        };
        assert_eq!(times(&crowd[0]), [1, 2]);
        assert!(times(&crowd[1]).is_empty());
    }

    #[test]
    fn the_next_event_is_no_part_of_what_was_joined_before_it() {
        let hub = hub(3);
        let crowd = crowd(&hub, 100);
        (1..=2).for_each(|id| publish(&hub, "a", id..=id));
        let (before, _) = pull(&crowd[0], 1);
        publish(&hub, "a", 3..=3);
        let (after, _) = pull(&crowd[1], 1);
        assert!(after.starts_with(&before) && after.len() > before.len());
        publish(&hub, "a", 4..=4);
        assert!(
            matches!(crowd[2].pull(1), Pull::Overtaken),
            "the ring holds three"
        );
    }
}
