//! When the rows of a segment were written, for whoever hands them to a client first.

use std::sync::atomic::{AtomicBool, Ordering};

/// The times of a segment's rows, in microseconds since 1970. They are taken once, however many share the segment.
#[derive(Debug, Default)]
pub struct Times {
    micros: Vec<i64>,
    taken: AtomicBool,
}

impl Times {
    /// Times to be taken; none of them is no allocation.
    pub fn new(micros: Vec<i64>) -> Self {
        Self {
            micros,
            taken: AtomicBool::new(false),
        }
    }

    /// All of them at the first call, none at any later one.
    pub fn take(&self) -> &[i64] {
        // The load alone is what nearly all calls cost: it takes the cache line from nobody.
        let is_first = !self.micros.is_empty()
            && !self.taken.load(Ordering::Relaxed)
            && !self.taken.swap(true, Ordering::Relaxed);
        match is_first {
            true => &self.micros,
            false => &[],
        }
    }
}
