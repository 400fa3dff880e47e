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

/// What a read takes is the median of so many: one that waited for a lock cost the database nothing meanwhile, and a pause of four
/// times as long would make everybody wait for it. If most wait, the machine has no time left, and those who write go first
/// (docs/performance.md).
const LAST_READS: usize = 8;

/// So far apart at most: a database that was slow for a while is not left alone for long.
const LONGEST_APART: Duration = Duration::from_millis(100);

/// After each read there is a pause of this part of it at least: it may have been work after all.
const PAUSE_PART: u32 = 2;

/// Quiet is this part of a storm's rate, in hundredths: a hundred rows a second still ring, since polling would bring them later.
const QUIET_PERCENT: u64 = 60;

/// And of the reads that one of so many may have rows: those that are far apart, because a read takes long or the operator wants it,
/// are too few to make that rate, however many statements each of them finds.
const FRUITFUL_ONE_OF: u64 = 2;

/// While the flag is 0 only reads with rows are seen, not statements: slow reads are few, and a burst is one of them. So a quiet may
/// be none. It was one if bells were rung for so many times as long as it took.
const WORTHWHILE: u32 = 10;

/// So many false quiets in a row may be chance (a test, a load that comes and goes); each further one doubles what the next takes,
/// so many times at most: with the defaults the flag then toggles once a minute.
const FALSE_QUIETS: u32 = 2;
const MOST_DOUBLINGS: u32 = 6;

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
            quiet_after: Duration::from_secs(1),
        }
    }
}

/// How frequent bells and reads with rows are. Either alone tells of load: statements without rows ring, too, and while
/// the flag is 0 rows come without bells.
#[derive(Clone, Debug)]
pub struct Rates {
    options: PaceOptions,
    bells: Recent,
    reads: Recent,
    fruitful_reads: Recent,
    /// Quiet is counted from here on at the earliest.
    since: Instant,
    /// When the flag was raised, if no storm came since.
    raised_at: Option<Instant>,
    false_quiets: u32,
}

impl Rates {
    /// Begins to count.
    pub fn new(options: PaceOptions, now: Instant) -> Self {
        let span = STORM_SPAN.max(options.quiet_after);
        Self {
            options,
            bells: Recent::new(span),
            reads: Recent::new(span),
            fruitful_reads: Recent::new(span),
            since: now,
            raised_at: None,
            false_quiets: 0,
        }
    }

    /// `count` bells were heard.
    pub fn bells(&mut self, count: u64, now: Instant) {
        self.bells.add(count, now);
    }

    /// A read ended that did or did not return rows.
    pub fn read(&mut self, is_fruitful: bool, now: Instant) {
        self.reads.add(1, now);
        self.fruitful_reads.add(is_fruitful.into(), now);
    }

    /// A connection was made anew, after which quiet must be shown anew.
    pub fn restart_quiet(&mut self, now: Instant) {
        self.since = now;
    }

    /// It was quiet, and the flag is 1 now.
    pub fn raised(&mut self, now: Instant) {
        self.raised_at = Some(now);
    }

    /// A storm came, here or (`busy`) at another relay: the quiet before was none if it came soon. The next must be shown anew, so
    /// that relays that share a flag do not take turns in raising and lowering it.
    pub fn stormed(&mut self, now: Instant) {
        self.since = now;
        let Some(raised_at) = self.raised_at.take() else {
            return;
        };
        let is_false = now.saturating_duration_since(raised_at) < self.patience().saturating_mul(WORTHWHILE);
        self.false_quiets = match is_false {
            true => (self.false_quiets + 1).min(FALSE_QUIETS + MOST_DOUBLINGS),
            false => 0,
        };
    }

    /// How long it must be quiet now.
    fn patience(&self) -> Duration {
        let doublings = self.false_quiets.saturating_sub(FALSE_QUIETS);
        self.options.quiet_after.saturating_mul(2_u32.pow(doublings))
    }

    /// Bells (or reads with rows) came at the operator's rate or faster over half a second.
    pub fn is_stormy(&self, now: Instant) -> bool {
        let storm = at_rate(self.options.busy_bells_per_second, STORM_SPAN);
        self.bells
            .count(STORM_SPAN, now)
            .max(self.fruitful_reads.count(STORM_SPAN, now))
            >= storm
    }

    /// For [`PaceOptions::quiet_after`] both came at three fifths of that rate or less, at most every other read had rows, and the
    /// last storm is as long ago, or longer after false quiets.
    pub fn is_quiet(&self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) < self.patience() {
            return false;
        }
        let span = self.options.quiet_after;
        let quiet = at_rate(self.options.busy_bells_per_second, span) * QUIET_PERCENT / 100;
        let fruitful = self.fruitful_reads.count(span, now);
        let is_rare = fruitful * FRUITFUL_ONE_OF <= self.reads.count(span, now);
        self.bells.count(span, now).max(fruitful) <= quiet && is_rare
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
        let usual = self.usual().unwrap_or(took);
        let apart = (usual * READ_DURATIONS_APART).min(LONGEST_APART);
        let pause = interval.max(apart).saturating_sub(took);
        pause.max(took / PAUSE_PART)
    }

    /// The median, of an even number the lower one.
    fn usual(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.took.iter().copied().collect();
        let middle = sorted.len().checked_sub(1)? / 2;
        let (_, median, _) = sorted.select_nth_unstable(middle);
        Some(*median)
    }

    fn idle_interval(&self) -> Duration {
        POLL_ONLY_IDLE_INTERVAL.max(self.poll_interval)
    }
}

#[cfg(test)]
mod tests;
