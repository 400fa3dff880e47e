//! How often a tail reads, and what counts as a storm and as quiet. The clock is passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::mode::Pace;

/// A read while arming, if no bell comes: the rows of those who read the flag as 0 before it was 1 come this late at most.
const ARMING_INTERVAL: Duration = Duration::from_millis(20);

/// A read while armed, even without a bell.
const BACKSTOP_INTERVAL: Duration = Duration::from_secs(1);

/// The longest pause of a tail that only polls, when nothing comes.
const POLL_ONLY_IDLE_INTERVAL: Duration = Duration::from_millis(100);

/// The span over which a storm is measured.
const STORM_SPAN: Duration = Duration::from_millis(500);

/// Reads begin no closer together than this many times what one takes, so that polling takes about a quarter of a backend's
/// time.
const READ_DURATIONS_APART: u32 = 4;

/// What a read takes is the least that one of so many has taken: one that waited for a processor or a lock cost the database
/// nothing meanwhile, and a pause of four times as long would make everybody wait for it.
const LAST_READS: usize = 8;

/// After each read there is a pause of this part of it at least: it may have been work after all.
const PAUSE_PART: u32 = 2;

/// Quiet is this part of a storm's rate, in hundredths. A hundred rows a second still ring, since polling would bring them later;
/// and a steady load at a storm's rate does not toggle the flag: of 200 bells expected in a second so few never come by chance.
const QUIET_PERCENT: u64 = 60;

/// What the operator can set.
#[derive(Clone, Copy, Debug)]
pub struct PaceOptions {
    /// Between two reads under load.
    pub poll_interval: Duration,
    /// Bells in a second from which on polling is cheaper for the writers.
    pub busy_bells_per_second: u32,
    /// How long it must be quiet before the bell is armed.
    pub quiet_after: Duration,
}

impl Default for PaceOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(2),
            busy_bells_per_second: 200,
            quiet_after: Duration::from_millis(250),
        }
    }
}

/// How frequent bells and reads with rows are. Either alone tells of load: statements without rows ring, too, and while
/// the flag is 0 rows come without bells.
#[derive(Clone, Debug)]
pub struct Rates {
    options: PaceOptions,
    bells: Recent,
    fruitful_reads: Recent,
    /// Quiet is counted from here on at the earliest.
    since: Instant,
}

impl Rates {
    /// Begins to count.
    pub fn new(options: PaceOptions, now: Instant) -> Self {
        let span = STORM_SPAN.max(options.quiet_after);
        Self {
            options,
            bells: Recent::new(span),
            fruitful_reads: Recent::new(span),
            since: now,
        }
    }

    /// `count` bells were heard.
    pub fn bells(&mut self, count: u64, now: Instant) {
        self.bells.add(count, now);
    }

    /// A read returned rows.
    pub fn fruitful_read(&mut self, now: Instant) {
        self.fruitful_reads.add(1, now);
    }

    /// Something happened (a `busy`, a reconnect) after which quiet must be shown anew, so that relays that share a flag
    /// do not take turns in raising and lowering it.
    pub fn restart_quiet(&mut self, now: Instant) {
        self.since = now;
    }

    /// Bells (or reads with rows) came at the operator's rate or faster over half a second.
    pub fn is_stormy(&self, now: Instant) -> bool {
        let storm = at_rate(self.options.busy_bells_per_second, STORM_SPAN);
        self.bells
            .count(STORM_SPAN, now)
            .max(self.fruitful_reads.count(STORM_SPAN, now))
            >= storm
    }

    /// For [`PaceOptions::quiet_after`] both came at three fifths of that rate or less.
    pub fn is_quiet(&self, now: Instant) -> bool {
        let span = self.options.quiet_after;
        if now.saturating_duration_since(self.since) < span {
            return false;
        }
        let quiet = at_rate(self.options.busy_bells_per_second, span) * QUIET_PERCENT / 100;
        self.bells
            .count(span, now)
            .max(self.fruitful_reads.count(span, now))
            <= quiet
    }
}

/// How many things in `span` make `per_second`, at least one.
fn at_rate(per_second: u32, span: Duration) -> u64 {
    (u64::from(per_second) * u64::try_from(span.as_millis()).unwrap_or(u64::MAX) / 1_000).max(1)
}

/// Counts of the recent past in slots of 10 ms: bounded, however fast bells come.
#[derive(Clone, Debug)]
struct Recent {
    span: Duration,
    slots: VecDeque<(Instant, u64)>,
}

impl Recent {
    const SLOT: Duration = Duration::from_millis(10);

    fn new(span: Duration) -> Self {
        Self {
            span,
            slots: VecDeque::new(),
        }
    }

    fn add(&mut self, count: u64, now: Instant) {
        self.forget(now);
        match self.slots.back_mut() {
            Some((begun, sum)) if now.saturating_duration_since(*begun) < Self::SLOT => *sum += count,
            _ => self.slots.push_back((now, count)),
        }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .slots
            .front()
            .is_some_and(|(begun, _)| now.saturating_duration_since(*begun) >= self.span)
        {
            self.slots.pop_front();
        }
    }

    /// How many came in the last `span`, to 10 ms.
    fn count(&self, span: Duration, now: Instant) -> u64 {
        let in_span = |(begun, _): &&(Instant, u64)| now.saturating_duration_since(*begun) < span;
        self.slots
            .iter()
            .rev()
            .take_while(in_span)
            .map(|(_, count)| count)
            .sum()
    }
}

/// The pause before the next read.
#[derive(Clone, Debug)]
pub struct Pauses {
    poll_interval: Duration,
    /// The present interval of a tail that only polls.
    poll_only: Duration,
    /// How long the last [`LAST_READS`] took.
    took: VecDeque<Duration>,
}

impl Pauses {
    /// At the interval of load.
    pub fn new(options: &PaceOptions) -> Self {
        Self {
            poll_interval: options.poll_interval,
            poll_only: options.poll_interval,
            took: VecDeque::with_capacity(LAST_READS),
        }
    }

    /// A read ended that took `took` and did or did not return rows: how long to pause now, unless a bell comes.
    /// `None`: no timer, a statement about the flag is under way.
    pub fn after_read(&mut self, pace: Pace, took: Duration, fruitful: bool) -> Option<Duration> {
        if self.took.len() == LAST_READS {
            self.took.pop_front();
        }
        self.took.push_back(took);
        if pace == Pace::PollOnly && !fruitful {
            self.poll_only = (self.poll_only * 3 / 2)
                .max(self.poll_interval)
                .min(self.idle_interval());
        } else {
            self.poll_only = self.poll_interval;
        }
        match pace {
            Pace::PollOnly => Some(self.apart(self.poll_only, took)),
            Pace::Polling => Some(self.apart(self.poll_interval, took)),
            Pace::Arming => Some(self.apart(ARMING_INTERVAL, took)),
            Pace::Armed => Some(BACKSTOP_INTERVAL),
            Pace::InFlight => None,
        }
    }

    /// The same for a read that is asked for meanwhile.
    pub fn after_read_if_asked(&self, took: Duration) -> Duration {
        self.apart(self.poll_interval, took)
    }

    /// From one read's end to the next one's begin.
    fn apart(&self, interval: Duration, took: Duration) -> Duration {
        let usual = self.took.iter().min().copied().unwrap_or(took);
        let pause = interval.max(usual * READ_DURATIONS_APART).saturating_sub(took);
        pause.max(took / PAUSE_PART)
    }

    fn idle_interval(&self) -> Duration {
        POLL_ONLY_IDLE_INTERVAL.max(self.poll_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn rates(now: Instant) -> Rates {
        Rates::new(PaceOptions::default(), now)
    }

    #[test]
    fn bells_at_the_rate_over_half_a_second_are_a_storm_and_a_short_burst_is_none() {
        let start = Instant::now();
        let mut burst = rates(start);
        burst.bells(99, start);
        assert!(!burst.is_stormy(start));
        let mut storm = rates(start);
        for at in 0..100 {
            storm.bells(1, start + ms(at * 5));
        }
        assert!(storm.is_stormy(start + ms(498)));
        assert!(!storm.is_stormy(start + ms(800)), "it is over when the bells are");
    }

    #[test]
    fn rows_without_bells_are_load_too() {
        let start = Instant::now();
        let mut polled = rates(start);
        for at in 0..200 {
            polled.fruitful_read(start + ms(at * 2));
        }
        let now = start + ms(400);
        assert!(polled.is_stormy(now));
        assert!(!polled.is_quiet(now));
    }

    #[test]
    fn quiet_takes_a_quarter_of_a_second_of_rare_bells_and_rows() {
        let start = Instant::now();
        let mut calm = rates(start);
        assert!(!calm.is_quiet(start + ms(249)));
        assert!(calm.is_quiet(start + ms(250)));
        for at in 0..50 {
            calm.bells(1, start + ms(at * 100));
        }
        assert!(calm.is_quiet(start + ms(4_999)), "ten rows a second are no load");
        calm.bells(31, start + ms(5_000));
        assert!(!calm.is_quiet(start + ms(5_010)));
        assert!(calm.is_quiet(start + ms(5_260)));
        calm.restart_quiet(start + ms(6_000));
        assert!(!calm.is_quiet(start + ms(6_100)));
        assert!(calm.is_quiet(start + ms(6_250)));
    }

    #[test]
    fn a_hundred_rows_a_second_ring_and_two_hundred_do_not() {
        let start = Instant::now();
        let after_a_second = |apart: u64| {
            let mut steady = rates(start);
            for at in (0..1_000).step_by(apart as usize) {
                steady.bells(1, start + ms(at));
                steady.fruitful_read(start + ms(at));
            }
            let now = start + ms(999);
            (steady.is_quiet(now), steady.is_stormy(now))
        };
        assert_eq!(after_a_second(10), (true, false));
        assert_eq!(after_a_second(7), (false, false), "in between it stays as it was");
        assert_eq!(after_a_second(5), (false, true));
    }

    #[test]
    fn recent_counts_take_bounded_memory() {
        let start = Instant::now();
        let mut rates = rates(start);
        for at in 0..100_000_u64 {
            let now = start + Duration::from_micros(at * 50);
            rates.bells(1, now);
        }
        assert!(rates.bells.slots.len() <= 51, "{}", rates.bells.slots.len());
    }

    #[test]
    fn polling_never_takes_more_than_a_quarter_of_the_time() {
        let mut pauses = Pauses::new(&PaceOptions::default());
        assert_eq!(
            pauses.after_read(Pace::Polling, Duration::from_micros(200), true),
            Some(Duration::from_micros(1_800))
        );
        let pause = (0..LAST_READS).map(|_| pauses.after_read(Pace::Polling, ms(10), true));
        assert_eq!(pause.last(), Some(Some(ms(30))));
        assert_eq!(pauses.after_read(Pace::InFlight, ms(10), true), None);
        assert_eq!(pauses.after_read(Pace::Armed, ms(1), true), Some(ms(1_000)));
    }

    #[test]
    fn one_read_that_took_long_is_no_reason_to_wait_longer() {
        let mut pauses = Pauses::new(&PaceOptions::default());
        pauses.after_read(Pace::Polling, Duration::from_micros(200), true);
        assert_eq!(
            pauses.after_read(Pace::Polling, ms(10), true),
            Some(ms(5)),
            "nor for not waiting at all"
        );
        assert_eq!(
            pauses.after_read(Pace::Polling, Duration::from_micros(300), true),
            Some(Duration::from_micros(1_700))
        );
    }

    #[test]
    fn poll_only_backs_off_when_idle_and_is_fast_again_at_the_first_row() {
        let mut pauses = Pauses::new(&PaceOptions::default());
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let pause = pauses.after_read(Pace::PollOnly, Duration::ZERO, false).unwrap();
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!(last, ms(100));
        assert_eq!(
            pauses.after_read(Pace::PollOnly, Duration::ZERO, true),
            Some(ms(2))
        );
    }
}
