//! Failures that come by the thousand, told in the log a line at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

/// Between two lines of one kind. A line more often than that tells nobody anything new.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Counts by kind, and says when it is time to tell one. Pure.
pub(super) struct Tally<K> {
    kinds: HashMap<K, Count>,
}

#[derive(Default)]
struct Count {
    untold: usize,
    told_at: Option<Instant>,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            kinds: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    /// It came `times` more often.
    pub(super) fn count(&mut self, kind: K, times: usize) {
        self.kinds.entry(kind).or_default().untold += times;
    }

    /// The kinds to tell now, each with how often it came since it was told last: the first time at once, then after
    /// [`BETWEEN_LINES`] at the earliest. What was told then and did not come since is forgotten.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(K, usize)> {
        let is_due = |count: &Count| count.told_at.is_none_or(|at| now >= at + BETWEEN_LINES);
        self.kinds.retain(|_, count| count.untold > 0 || !is_due(count));
        let due = self.kinds.iter_mut().filter(|(_, count)| is_due(count));
        due.map(|(kind, count)| {
            count.told_at = Some(now);
            (kind.clone(), std::mem::take(&mut count.untold))
        })
        .collect()
    }
}

/// What could not be found out, and what that means for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Consequence {
    /// Of one who comes.
    NotAdmitted,
    /// Of one who reads: the database could not answer.
    GoesOn,
    /// Of one who reads: the question itself fails.
    Ended,
}

/// The failures of a process.
#[derive(Default)]
pub(super) struct Failures {
    /// By the source's name and the reason in words, of which there are few: they hold no data.
    tally: Mutex<Tally<(Consequence, String, String)>>,
}

impl Failures {
    /// Notes a failure of a source (or of none: an empty name) that came to so many, and tells what is to be told.
    pub(super) fn note(&self, consequence: Consequence, source: &str, reason: String, times: usize) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count((consequence, source.to_owned(), reason), times);
        drop(tally);
        self.tell();
    }

    /// Tells what came since the last line, also when nothing comes any longer. Never returns.
    pub(super) async fn tell_forever(&self) {
        let mut turns = interval(BETWEEN_LINES);
        loop {
            turns.tick().await;
            self.tell();
        }
    }

    fn tell(&self) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let due = tally.due(Instant::now());
        drop(tally);
        for ((consequence, source, reason), times) in due {
            match consequence {
                Consequence::NotAdmitted => {
                    tracing::warn!(
                        source,
                        reason,
                        times,
                        "who may read can't be found out: nobody is admitted"
                    );
                }
                Consequence::GoesOn => tracing::warn!(
                    source,
                    reason,
                    times,
                    "who may still read can't be asked: subscribers go on until it can"
                ),
                Consequence::Ended => {
                    tracing::warn!(
                        source,
                        reason,
                        times,
                        "who may still read: the question fails, and its subscribers end"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_at_once_and_then_at_intervals_with_how_often_it_came() {
        let mut tally = Tally::default();
        let start = Instant::now();
        tally.count("away", 3);
        assert_eq!(tally.due(start), [("away", 3)]);
        for milliseconds in 1..5_000 {
            tally.count("away", 2);
            assert_eq!(tally.due(start + Duration::from_millis(milliseconds)), []);
        }
        let later = start + BETWEEN_LINES;
        assert_eq!(
            tally.due(later),
            [("away", 9_998)],
            "none is lost, also when no more come"
        );
        assert_eq!(tally.due(later + BETWEEN_LINES), [], "there is nothing to tell");
        tally.count("away", 1);
        assert_eq!(tally.due(later + BETWEEN_LINES), [("away", 1)]);
    }

    #[test]
    fn one_kind_keeps_no_other_from_being_told() {
        let mut tally = Tally::default();
        let start = Instant::now();
        tally.count("away", 1);
        tally.due(start);
        tally.count("slow", 1);
        tally.count("away", 1);
        assert_eq!(tally.due(start), [("slow", 1)]);
    }

    #[test]
    fn what_does_not_come_any_longer_is_forgotten() {
        let mut tally = Tally::default();
        let start = Instant::now();
        for kind in 0..1_000 {
            tally.count(kind, 1);
        }
        tally.due(start);
        tally.due(start + BETWEEN_LINES);
        assert!(tally.kinds.is_empty());
    }
}
