//! Clocks that are passed in.

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn rates(now: Instant) -> Rates {
    let options = PaceOptions {
        quiet_after: ms(250),
        ..PaceOptions::default()
    };
    Rates::new(options, now)
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
        polled.read(true, start + ms(at * 2));
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
        let mut steady = Rates::new(PaceOptions::default(), start);
        for at in 0..1_000 {
            let has_row = at % apart == 0;
            steady.bells(has_row.into(), start + ms(at));
            steady.read(has_row, start + ms(at));
        }
        (
            steady.is_quiet(start + ms(1_000)),
            steady.is_stormy(start + ms(999)),
        )
    };
    assert_eq!(after_a_second(10), (true, false));
    assert_eq!(after_a_second(7), (false, false), "in between it stays as it was");
    assert_eq!(after_a_second(5), (false, true));
}

#[test]
fn reads_that_are_far_apart_and_all_have_rows_are_no_quiet() {
    let start = Instant::now();
    let is_quiet = |of: u64| {
        let mut slow = Rates::new(PaceOptions::default(), start);
        for read in 0..100 {
            slow.read(read % of == 0, start + ms(read * 10));
        }
        slow.is_quiet(start + ms(1_000))
    };
    assert!(!is_quiet(1), "a hundred a second: each finds ten statements");
    assert!(is_quiet(2));
}

/// When the flag is raised in five minutes of a storm of which only one row in `of` is seen by a read while the flag is 0.
fn raised_in_a_storm_that_looks_quiet(of: u64) -> Vec<u64> {
    let start = Instant::now();
    let mut rates = Rates::new(PaceOptions::default(), start);
    let (mut raised, mut is_raised) = (Vec::new(), false);
    for at in 0..300_000 {
        let now = start + ms(at);
        if is_raised {
            rates.bells(1, now);
            if rates.is_stormy(now) {
                rates.stormed(now);
                is_raised = false;
            }
        } else {
            rates.read(at % of == 0, now);
            is_raised = rates.is_quiet(now);
            if is_raised {
                rates.raised(now);
                raised.push(at);
            }
        }
    }
    raised
}

#[test]
fn a_storm_that_looks_quiet_is_asked_less_and_less() {
    let raised = raised_in_a_storm_that_looks_quiet(36);
    assert!(raised.len() <= 13, "{raised:?}");
    let late = raised.iter().filter(|at| **at > 180_000).count();
    assert!((1..=2).contains(&late), "once a minute: {raised:?}");
    let seen = raised_in_a_storm_that_looks_quiet(4);
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn a_quiet_that_was_worth_it_is_believed_at_once_again() {
    let start = Instant::now();
    let mut rates = rates(start);
    for round in 0..8 {
        rates.raised(start + ms(round * 400));
        rates.stormed(start + ms(round * 400 + 100));
    }
    let begun = start + ms(4_000);
    rates.restart_quiet(begun);
    assert!(!rates.is_quiet(begun + ms(15_999)));
    assert!(
        rates.is_quiet(begun + ms(16_000)),
        "64 times a quarter of a second"
    );
    rates.raised(begun);
    rates.stormed(begun + ms(160_000));
    rates.restart_quiet(begun + ms(160_000));
    assert!(rates.is_quiet(begun + ms(160_250)));
    // Other relays' storms, when we had raised nothing: quiet is shown anew, and no false one is counted.
    for _ in 0..8 {
        rates.stormed(begun + ms(160_300));
    }
    assert!(!rates.is_quiet(begun + ms(160_549)));
    assert!(rates.is_quiet(begun + ms(160_550)));
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
    let pause = (0..LAST_READS).map(|_| pauses.after_read(Pace::Polling, ms(2_000), true));
    assert_eq!(
        pause.last(),
        Some(Some(ms(1_000))),
        "half of it, in case it was work"
    );
    assert_eq!(
        pauses.after_read(Pace::Polling, ms(1), true),
        Some(ms(99)),
        "and no longer when it is over"
    );
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
fn reads_that_mostly_take_long_are_fewer() {
    let mut pauses = Pauses::new(&PaceOptions::default());
    let short = Duration::from_micros(400);
    for _ in 0..LAST_READS {
        pauses.after_read(Pace::Polling, short, true);
    }
    let half = (0..LAST_READS / 2).map(|_| pauses.after_read(Pace::Polling, ms(5), true));
    assert_eq!(half.last(), Some(Some(ms(5) / PAUSE_PART)));
    assert_eq!(pauses.after_read(Pace::Polling, ms(5), true), Some(ms(15)));
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
