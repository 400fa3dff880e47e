//! Token buckets, one for each key: so many a second, and what came back over a while of silence at once.
//!
//! The generic cell rate algorithm (ITU-T I.371, the virtual scheduling form): of a bucket only the instant is kept at
//! which it will be full again. One that is full is the same as none, so it is forgotten: memory follows what came within
//! the time in which a bucket fills, or twice that.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Buckets up to which nothing is swept.
const FEW: usize = 1024;

/// What a bucket can owe ([`Buckets::spend`]): the tokens of this time.
const LONGEST_DEBT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// The time that one token takes to come back.
    per_token: Duration,
    /// The time in which an empty bucket fills.
    fills_in: Duration,
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
    /// `per_second` tokens come back in a second, and those of the time `fills_in` are in a full bucket.
    pub(super) fn new(per_second: NonZeroU32, fills_in: Duration) -> Self {
        Self {
            per_token: Duration::from_secs(1) / per_second.get(),
            fills_in,
            kept: Mutex::new(Kept {
                full_at: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// Takes a token; false where there is none. What is refused costs no token.
    pub(super) fn take(&self, key: K, now: Instant) -> bool {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        let full_at = kept.of(key, now);
        let next = (*full_at).max(now) + self.per_token;
        let taken = next <= now + self.fills_in;
        if taken {
            *full_at = next;
        }
        taken
    }

    /// Gives back a token that was [taken](Buckets::take).
    pub(super) fn give_back(&self, key: &K) {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        // One that is forgotten is full.
        if let Some(full_at) = kept.full_at.get_mut(key) {
            *full_at = full_at.checked_sub(self.per_token).unwrap_or(*full_at);
        }
    }

    /// Whether there is a token, which is left where it is.
    pub(super) fn has(&self, key: &K, now: Instant) -> bool {
        let kept = self.kept.lock().expect("no holder of this lock panics");
        let full_at = kept.full_at.get(key).map_or(now, |full_at| (*full_at).max(now));
        full_at + self.per_token <= now + self.fills_in
    }

    /// Takes a token that was there when [`Buckets::has`] was asked. Others may have taken it since: then it is owed, up to a
    /// second's worth, so that many who ask at once get little more than one after the other.
    pub(super) fn spend(&self, key: K, now: Instant) {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        let full_at = kept.of(key, now);
        *full_at = ((*full_at).max(now) + self.per_token).min(now + self.fills_in + LONGEST_DEBT);
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

impl<K: Eq + Hash> Kept<K> {
    /// The bucket of `key`, after a sweep where one is due.
    fn of(&mut self, key: K, now: Instant) -> &mut Instant {
        if self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = FEW.max(2 * self.full_at.len());
            self.full_at.shrink_to(self.sweep_at);
        }
        self.full_at.entry(key).or_insert(now)
    }
}
