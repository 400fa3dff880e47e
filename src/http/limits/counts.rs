//! How much each key holds at a time, up to a bound. A key that holds nothing is forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

/// Keys for which memory is kept, however few there are.
const FEW: usize = 1024;

#[derive(Debug)]
pub(super) struct Counts<K: Eq + Hash> {
    most: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// One that is held; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Held<K: Eq + Hash> {
    key: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// At most `most` of each key.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// One more; `None` where the key has as many as it may.
    pub(super) fn hold(&self, key: K) -> Option<Held<K>> {
        let mut held = self.held.lock().expect("no holder of this lock panics");
        let count = held.entry(key.clone()).or_insert(0);
        // A bound is 1 or more, so what is refused left no new key behind.
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Held {
            key,
            held: self.held.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.lock().expect("no holder of this lock panics").len()
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().expect("no holder of this lock panics");
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
                let room = FEW.max(2 * held.len());
                if held.capacity() > 4 * room {
                    held.shrink_to(room);
                }
            }
        }
    }
}
