//! How fast totals grow, over the last seconds.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Looks that are remembered: with one a second, a rate is that of the last five.
const LOOKS: usize = 6;

/// After a longer pause between two looks, what was before says nothing of now.
const LATEST: Duration = Duration::from_secs(10);

/// The totals that were seen at the last looks, by what they count.
#[derive(Debug)]
pub(super) struct Rates<K> {
    /// When the look of each number was, at its remainder.
    at: [Instant; LOOKS],
    /// Of the present look; the first is 1.
    look: u64,
    seen: HashMap<K, Seen>,
}

/// The looks at which one total was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: u64,
    last: u64,
    totals: [u64; LOOKS],
}

impl<K: Hash + Eq> Rates<K> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: [now; LOOKS],
            look: 0,
            seen: HashMap::new(),
        }
    }

    /// Begins a look. Totals that the last one did not show are forgotten.
    pub(super) fn begin(&mut self, now: Instant) {
        if now.duration_since(self.at[place(self.look)]) > LATEST {
            self.seen.clear();
        }
        let last = self.look;
        self.seen.retain(|_, seen| seen.last == last);
        self.look += 1;
        self.at[place(self.look)] = now;
    }

    /// How fast the total of `key` grows, in a second; `None` at the first look that shows it, and where it began anew.
    pub(super) fn of<Q>(&mut self, key: &Q, total: u64) -> Option<f64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let look = self.look;
        let Some(seen) = self.seen.get_mut(key) else {
            self.seen.insert(key.to_owned(), Seen::new(look, total));
            return None;
        };
        if total < seen.totals[place(seen.last)] {
            *seen = Seen::new(look, total);
            return None;
        }
        seen.last = look;
        seen.totals[place(look)] = total;
        let base = seen.first.max(look.saturating_sub(LOOKS as u64 - 1));
        let seconds = self.at[place(look)]
            .duration_since(self.at[place(base)])
            .as_secs_f64();
        let grown = total - seen.totals[place(base)];
        (seconds > 0.0).then(|| grown as f64 / seconds)
    }
}

impl Seen {
    fn new(look: u64, total: u64) -> Self {
        Self {
            first: look,
            last: look,
            totals: [total; LOOKS],
        }
    }
}

fn place(look: u64) -> usize {
    (look % LOOKS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The rates of a total that is `totals` at looks a second apart.
    fn rates(totals: &[u64]) -> Vec<Option<f64>> {
        let start = Instant::now();
        let mut rates = Rates::<String>::new(start);
        let look = |(at, total): (u32, &u64)| {
            rates.begin(start + SECOND * at);
            rates.of("x", *total)
        };
        (0..).zip(totals).map(look).collect()
    }

    #[test]
    fn a_rate_takes_two_looks_and_is_that_of_the_last_five_seconds() {
        assert_eq!(
            rates(&[100, 110, 110, 110, 110, 110, 110, 115]),
            [
                None,
                Some(10.0),
                Some(5.0),
                Some(10.0 / 3.0),
                Some(2.5),
                Some(2.0),
                Some(0.0),
                Some(1.0)
            ]
        );
    }

    #[test]
    fn a_total_that_began_anew_has_no_rate_yet() {
        assert_eq!(rates(&[100, 110, 5, 7]), [None, Some(10.0), None, Some(2.0)]);
    }

    #[test]
    fn what_a_look_does_not_show_and_what_was_long_ago_is_forgotten() {
        let start = Instant::now();
        let mut rates = Rates::<String>::new(start);
        rates.begin(start);
        assert_eq!((rates.of("x", 1), rates.of("y", 1)), (None, None));
        rates.begin(start + SECOND);
        assert_eq!(rates.of("x", 2), Some(1.0));
        rates.begin(start + SECOND * 2);
        assert_eq!((rates.of("x", 3), rates.of("y", 3)), (Some(1.0), None));
        assert_eq!(rates.seen.len(), 2);
        rates.begin(start + SECOND * 2 + LATEST + SECOND);
        assert_eq!(rates.of("x", 1000), None);
    }
}
