//! Counters that can be read: the recorder's can't.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Key};

/// A counter that the relay itself reads, too. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The tallies of one recorder, each with the counter in which it is rendered.
#[derive(Default)]
pub(super) struct Tallies(Mutex<HashMap<Key, (Tally, Counter)>>);

impl Tallies {
    /// The tally of `key`: the same one, should it have been asked for before.
    pub(super) fn tally(&self, key: Key, counter: Counter) -> Tally {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tally, _) = tallies.entry(key).or_insert_with(|| (Tally::default(), counter));
        tally.clone()
    }

    /// Tells the recorder how far they are.
    pub(super) fn hand_over(&self) {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (tally, counter) in tallies.values() {
            counter.absolute(tally.total());
        }
    }
}
