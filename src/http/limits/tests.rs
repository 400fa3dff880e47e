//! Counting: what is admitted, what is refused and with which code, and that nothing is kept of those who left.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::look_ups::{LONGEST_WAIT, OF_ADDRESS};
use super::*;

fn limits(change: impl FnOnce(&mut config::Limits)) -> (Limits, Metrics) {
    let mut settings = config::Limits::default();
    change(&mut settings);
    let metrics = Metrics::new();
    (Limits::new(settings, 3, &metrics), metrics)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hits(metrics: &Metrics, limit: Limit) -> u64 {
    let line = format!("rowcast_limit_hits_total{{limit=\"{}\"}} ", limit.label());
    let text = metrics.render();
    let found = text.lines().find_map(|found| found.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("{line}: {text}")).parse().unwrap()
}

#[test]
fn connections_in_all_are_bounded_and_come_back() {
    let (limits, metrics) = limits(|_| {});
    let held: Vec<_> = (1..=3)
        .map(|n| limits.connection(IpAddr::from([192, 0, 2, n])).unwrap())
        .collect();
    let refused = limits.connection(address("192.0.2.9")).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyInAll);
    assert_eq!(hits(&metrics, Limit::Connections), 1);
    drop(held);
    assert!(limits.connection(address("192.0.2.9")).is_ok());
    assert_eq!(limits.connections.load(Ordering::Relaxed), 0);
}

#[test]
fn connections_of_an_address_are_bounded_and_leave_nothing_behind() {
    let (limits, metrics) = limits(|settings| settings.connections_per_address = Some(1));
    let held = limits.connection(address("192.0.2.1")).unwrap();
    let mapped = limits.connection(address("::ffff:192.0.2.1")).unwrap_err();
    assert_eq!(mapped.code(), ErrorCode::TooManyConnections);
    let other = limits.connection(address("2001:db8::1")).unwrap();
    assert!(
        limits.connection(address("2001:db8::2:3")).is_err(),
        "the same /64"
    );
    assert!(limits.connection(address("2001:db8:0:1::1")).is_ok());
    assert_eq!(hits(&metrics, Limit::ConnectionsPerAddress), 2);
    drop((held, other));
    assert_eq!(limits.of_address.as_ref().unwrap().len(), 0);
    assert_eq!(limits.connections.load(Ordering::Relaxed), 0);
}

#[test]
fn a_trusted_proxy_is_many_clients() {
    let (limits, _) = limits(|settings| {
        settings.connections_per_address = Some(1);
        settings.trusted_proxies = vec![config::Network {
            address: address("10.0.0.0"),
            bits: 8,
        }];
    });
    let held = [
        limits.connection(address("10.1.2.3")),
        limits.connection(address("10.1.2.3")),
    ];
    assert!(held.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn new_connections_come_back_with_time() {
    let (limits, metrics) = limits(|settings| settings.new_connections_per_second = Some(2));
    let peer = address("192.0.2.1");
    let taken = |limits: &Limits| (0..5).filter(|_| limits.connection(peer).is_ok()).count();
    assert_eq!(taken(&limits), 2);
    assert_eq!(hits(&metrics, Limit::NewConnections), 3);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(taken(&limits), 1);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(taken(&limits), 2, "no more than a second's worth is saved up");
}

#[tokio::test(start_paused = true)]
async fn who_is_over_its_own_bound_takes_no_turn_of_the_others() {
    let (limits, metrics) = limits(|settings| {
        settings.new_connections_per_second = Some(2);
        settings.connections_per_address = Some(1);
    });
    let held = limits.connection(address("192.0.2.1")).unwrap();
    for _ in 0..10 {
        assert!(limits.connection(address("192.0.2.1")).is_err());
    }
    assert!(limits.connection(address("192.0.2.2")).is_ok());
    assert!(limits.connection(address("192.0.2.2")).is_err());
    assert_eq!(hits(&metrics, Limit::NewConnections), 1);
    assert_eq!(limits.connections.load(Ordering::Relaxed), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_key() {
    let (limits, metrics) = limits(|settings| settings.requests_per_second = Some(3));
    let keys = [
        Key::Subject("ada".into()),
        Key::Subject("Ada".into()),
        Key::address(address("192.0.2.1")),
    ];
    for key in &keys {
        let taken = (0..10).filter(|_| limits.request(key).is_ok()).count();
        assert_eq!(taken, 3, "{key:?}");
    }
    assert_eq!(
        limits.request(&keys[0]).unwrap_err().code(),
        ErrorCode::RateLimited
    );
    assert_eq!(hits(&metrics, Limit::Requests), 22);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(limits.request(&keys[0]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_counted_by_address_and_what_does_not_costs_nothing() {
    let (limits, metrics) = limits(|_| {});
    let (guesser, other) = (
        Key::address(address("192.0.2.1")),
        Key::address(address("192.0.2.2")),
    );
    for _ in 0..1000 {
        limits.look_up(&guesser).await.unwrap().good();
    }
    let told = (0..200)
        .filter(|_| limits.failed(guesser.clone()).is_ok())
        .count();
    assert_eq!(told, 100);
    let refused = limits.look_up(&guesser).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::RateLimited);
    assert_eq!(hits(&metrics, Limit::FailedCredentials), 101);
    limits.look_up(&other).await.unwrap().good();
    assert!(limits.failed(other).is_ok());
    // However many there were, a second's worth is owed.
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(limits.look_up(&guesser).await.is_err());
    tokio::time::advance(Duration::from_millis(101)).await;
    assert!(limits.look_up(&guesser).await.is_ok());
    assert!(limits.look_up(&guesser).await.is_err() && limits.failed(guesser).is_err());
}

/// So many look-ups at once, which take a while each and are good or not: how many were made, and how many of them at a time
/// at most.
async fn look_ups(limits: &Limits, key: &Key, count: usize, good: bool) -> (usize, usize) {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let look_ups = (0..count).map(|_| async {
        let Ok(look_up) = limits.look_up(key).await else {
            return false;
        };
        let at_a_time = now.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(at_a_time, Ordering::Relaxed);
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        now.fetch_sub(1, Ordering::Relaxed);
        if good {
            look_up.good();
        }
        true
    });
    let made = join_all(look_ups).await.into_iter().filter(|made| *made).count();
    assert_eq!(limits.look_ups.lines(), 0);
    (made, most.into_inner())
}

#[tokio::test(start_paused = true)]
async fn as_many_are_looked_up_as_may_fail_however_many_come_at_once() {
    let (limits, metrics) = limits(|_| {});
    let guesser = Key::address(address("192.0.2.1"));
    assert_eq!(look_ups(&limits, &guesser, 3000, false).await, (100, OF_ADDRESS));
    assert_eq!(hits(&metrics, Limit::FailedCredentials), 2900);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(look_ups(&limits, &guesser, 3000, false).await.0, 10);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_with_good_credentials_behind_one_address_passes_at_once() {
    let (limits, metrics) = limits(|settings| settings.failed_credentials_per_second = 1);
    let crowd = Key::address(address("192.0.2.1"));
    assert_eq!(look_ups(&limits, &crowd, 3000, true).await, (3000, OF_ADDRESS));
    assert_eq!(hits(&metrics, Limit::FailedCredentials), 0);
    // Nor did it cost anything, or earn them more.
    assert_eq!(look_ups(&limits, &crowd, 3000, false).await.0, 10);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_look_up_waits_for_few_and_pays_nothing() {
    let (limits, _) = limits(|_| {});
    let of = |text: &str| Key::address(address(text));
    let (one, two, three) = (of("192.0.2.1"), of("192.0.2.2"), of("192.0.2.3"));
    let held = join_all([&one, &one, &two, &two].map(|key| limits.look_up(key))).await;
    let mut held: Vec<_> = held.into_iter().map(Result::unwrap).collect();
    // Of the crowd at `one` nobody but the next stands in the line of all.
    let mut crowd: Vec<_> = (0..100).map(|_| Box::pin(limits.look_up(&one))).collect();
    for waits in &mut crowd {
        assert!(waits.now_or_never().is_none());
    }
    let mut last = Box::pin(limits.look_up(&three));
    assert!((&mut last).now_or_never().is_none());
    held.remove(0).good();
    assert!((&mut last).now_or_never().expect("its turn").is_ok());
    drop((crowd, last));
    held.into_iter().for_each(LookUp::good);
    assert_eq!(limits.look_ups.lines(), 0);
    assert_eq!(look_ups(&limits, &one, 200, false).await.0, 100);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_look_up_is_told_that_the_database_is_slow() {
    let (limits, metrics) = limits(|_| {});
    let crowd = Key::address(address("192.0.2.1"));
    let _held = (limits.look_up(&crowd).await, limits.look_up(&crowd).await);
    let begin = Instant::now();
    let refused = limits.look_up(&crowd).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::DatabaseUnavailable);
    assert_eq!(begin.elapsed().as_secs(), LONGEST_WAIT.as_secs());
    assert_eq!(hits(&metrics, Limit::FailedCredentials), 0);
}

#[tokio::test(start_paused = true)]
async fn tickets_are_counted_by_key_and_bounded_without_being_asked() {
    let (limits, metrics) = limits(|_| {});
    let (ada, bob) = (Key::Subject("ada".into()), Key::Subject("bob".into()));
    for key in [&ada, &bob] {
        assert_eq!((0..200).filter(|_| limits.ticket(key).is_ok()).count(), 100);
    }
    assert_eq!(limits.ticket(&ada).unwrap_err().code(), ErrorCode::RateLimited);
    assert_eq!(hits(&metrics, Limit::Tickets), 201);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((0..200).filter(|_| limits.ticket(&ada).is_ok()).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn keys_that_went_quiet_are_forgotten() {
    let buckets = Buckets::new(NonZeroU32::new(10).unwrap(), SECOND);
    for _ in 0..20 {
        for n in 0..1000_u32 {
            assert!(buckets.take((n, Instant::now()), Instant::now()));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(buckets.len() <= 2 * 1024, "{}", buckets.len());
}

#[test]
fn subscriptions_of_a_key_are_bounded_and_leave_nothing_behind() {
    let (limits, metrics) = limits(|settings| settings.subscriptions_per_subject = Some(2));
    let (ada, bob) = (Key::Subject("ada".into()), Key::Subject("bob".into()));
    let held = [
        limits.subscription(&ada).unwrap(),
        limits.subscription(&ada).unwrap(),
    ];
    let refused = limits.subscription(&ada).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::TooManyConnections);
    assert!(limits.subscription(&bob).is_ok());
    assert_eq!(hits(&metrics, Limit::Subscriptions), 1);
    drop(held);
    assert!(limits.subscription(&ada).is_ok());
    assert_eq!(limits.subscriptions.as_ref().unwrap().len(), 0);
}

#[test]
fn labels_are_of_one_limit_each_and_all_are_rendered_from_the_start() {
    let labels: HashSet<_> = Limit::ALL.into_iter().map(Limit::label).collect();
    assert_eq!(labels.len(), Limit::ALL.len());
    for (place, limit) in Limit::ALL.into_iter().enumerate() {
        assert_eq!(limit as usize, place);
        assert_eq!(hits(&limits(|_| {}).1, limit), 0);
    }
}
