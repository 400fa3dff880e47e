//! Token buckets, one for each key: so many a second, and as many at once after a second of silence.
//!
//! The generic cell rate algorithm (ITU-T I.371, the virtual scheduling form): of a bucket only the instant is kept at
//! which it will be full again. One that is full is the same as none, so it is forgotten: memory follows what came within
//! the last second or two.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Buckets up to which nothing is swept.
const FEW: usize = 1024;

/// The time in which an empty bucket fills.
const FILLS_IN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// The time that one token takes to come back.
    per_token: Duration,
    kept: Mutex<Kept<K>>,
}

#[derive(Debug)]
struct Kept<K> {
    full_at: HashMap<K, Instant>,
    /// The number of buckets at which the full ones are swept out: twice what the last sweep left, so that sweeping
    /// costs each request a constant.
    sweep_at: usize,
}

impl<K: Eq + Hash> Buckets<K> {
    /// `per_second` tokens come back in a second, and that many are in a full bucket.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_token: FILLS_IN / per_second.get(),
            kept: Mutex::new(Kept {
                full_at: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// Takes a token; false where there is none. What is refused costs no token.
    pub(super) fn take(&self, key: K, now: Instant) -> bool {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if kept.full_at.len() >= kept.sweep_at {
            kept.full_at.retain(|_, full_at| *full_at > now);
            kept.sweep_at = FEW.max(2 * kept.full_at.len());
            let room = kept.sweep_at;
            kept.full_at.shrink_to(room);
        }
        let full_at = kept.full_at.entry(key).or_insert(now);
        let next = (*full_at).max(now) + self.per_token;
        let taken = next <= now + FILLS_IN;
        if taken {
            *full_at = next;
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept
            .lock()
            .expect("no holder of this lock panics")
            .full_at
            .len()
    }
}
