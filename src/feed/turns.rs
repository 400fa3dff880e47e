//! Turns to read: so many at a time, and a bound on those who wait for one.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns of one source's replays.
pub(super) struct Turns {
    permits: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// One that waits; it may give up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    /// `at_once` at a time; once `most_waiting` wait, there is no room for more.
    pub(super) fn new(at_once: usize, most_waiting: usize) -> Self {
        Self {
            permits: Semaphore::new(at_once),
            waiting: AtomicUsize::new(0),
            most_waiting,
        }
    }

    /// Whether one more may queue. It is for those who come to ask: [`Turns::take`] does not.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.most_waiting
    }

    /// Waits for a turn, which ends with what is returned.
    pub(super) async fn take(&self) -> SemaphorePermit<'_> {
        if let Ok(permit) = self.permits.try_acquire() {
            return permit;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _left = Waiting(&self.waiting);
        self.permits
            .acquire()
            .await
            .expect("this semaphore is never closed")
    }
}
