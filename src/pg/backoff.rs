//! Pauses between attempts to reach a database that is away: growing, bounded, jittered.

use std::time::Duration;

/// The first pause's upper bound, and the last's. With full jitter the mean is half of it, and a crowd of relays that
/// lost the same database does not come back in step (Brooker, "Exponential Backoff And Jitter", 2015).
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential back-off with full jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: FIRST }
    }
}

impl Backoff {
    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.bound.mul_f64(rand::random_range(0.0..1.0));
        self.bound = (self.bound * 2).min(LONGEST);
        pause
    }

    /// The last attempt went well.
    pub fn reset(&mut self) {
        self.bound = FIRST;
    }
}
