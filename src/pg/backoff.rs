//! Pauses between attempts to connect.

use std::time::Duration;

/// The first attempt's longest pause, and the longest of all.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential back-off with full jitter: each pause is random between 0 and a bound that doubles from 100 ms to 5 s, so
/// that the connections of many relays do not come back in step ("Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015). No pause is shorter than 10 ms.
#[derive(Clone, Debug)]
pub struct Backoff {
    bound: Duration,
}

impl Backoff {
    /// Begins with the shortest pauses.
    pub fn new() -> Self {
        Self { bound: FIRST }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.bound.mul_f64(rand::random::<f64>()).max(FIRST / 10);
        self.bound = (self.bound * 2).min(LONGEST);
        pause
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.bound = FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_no_further() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..1_000).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] <= FIRST);
        assert!(pauses.iter().all(|pause| (FIRST / 10..=LONGEST).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause > LONGEST / 2));
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST);
    }
}
