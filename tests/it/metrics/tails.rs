//! Tails: their mode, lag and gaps, and what they need of PostgreSQL.

use super::{of_messages, scrape, value};
use crate::support::{Relay, attach, database, eventually, grant_attached, messages, run, scene};

/// The mode that is 1 now, when it is the only one.
async fn mode(relay: &Relay) -> Option<&'static str> {
    let text = scrape(&relay.client).await;
    let is_on = |mode: &&str| {
        let labels = [("source", "messages"), ("mode", *mode)];
        value(&text, "rowcast_tail_mode", &labels) == Some(1.0)
    };
    let on: Vec<_> = ["armed", "polling", "arming", "poll_only"]
        .into_iter()
        .filter(is_on)
        .collect();
    match on[..] {
        [mode] => Some(mode),
        _ => None,
    }
}

#[tokio::test]
async fn a_quiet_tail_is_armed_and_hears_bells() {
    let (db, relay) = scene(&["--quiet-after", "10ms"]).await;
    eventually(async || mode(&relay).await == Some("armed")).await;
    let before = of_messages(&relay, "rowcast_bells_total", &[]).await;
    db.say("a", "").await;
    eventually(async || of_messages(&relay, "rowcast_bells_total", &[]).await > before).await;
    let text = scrape(&relay.client).await;
    assert_eq!(value(&text, "rowcast_listening", &[]), Some(1.0));
    let age = value(&text, "rowcast_notify_round_trip_age_seconds", &[]);
    assert!(age.is_some_and(|age| (0.0..60.0).contains(&age)), "{age:?}");
    let reads = of_messages(&relay, "rowcast_read_duration_seconds_count", &[]).await;
    assert!(reads > Some(0.0));
}

#[tokio::test]
async fn a_tail_that_never_rings_only_polls() {
    let db = database().await;
    run(&db, crate::support::MESSAGES).await;
    run(
        &db,
        "select rowcast.attach('messages', room => 'room', never_ring => true)",
    )
    .await;
    grant_attached(&db).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    eventually(async || mode(&relay).await == Some("poll_only")).await;
}

#[tokio::test]
async fn a_transaction_under_way_is_an_open_gap_that_grows_old() {
    let (db, relay) = scene(&[]).await;
    let mut other = db.connect().await;
    let transaction = other.transaction().await.expect("begin");
    transaction
        .batch_execute("insert into messages (room) values ('a')")
        .await
        .expect("draw an id");
    db.say("a", "behind it").await;
    eventually(async || of_messages(&relay, "rowcast_open_gaps", &[]).await == Some(1.0)).await;
    let age = async || of_messages(&relay, "rowcast_oldest_gap_age_seconds", &[]).await;
    let first = age().await;
    eventually(async || age().await > first.map(|first| first + 0.2)).await;
    transaction.rollback().await.expect("roll back");
    eventually(async || of_messages(&relay, "rowcast_open_gaps", &[]).await == Some(0.0)).await;
    assert_eq!(age().await, Some(0.0));
}

#[tokio::test]
async fn a_source_that_can_not_be_read_is_not_followed_and_lags() {
    let db = messages().await;
    run(
        &db,
        "create table others (id bigint generated always as identity primary key, room text)",
    )
    .await;
    attach(&db, "'others', room => 'room'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let following = async || of_messages(&relay, "rowcast_source_following", &[]).await;
    assert_eq!(following().await, Some(1.0));
    let ready = async || value(&scrape(&relay.client).await, "rowcast_ready", &[]);
    assert_eq!(ready().await, Some(1.0));
    run(&db, "alter table messages rename column room to place").await;
    eventually(async || following().await == Some(0.0)).await;
    assert_eq!(ready().await, Some(0.0));
    eventually(async || of_messages(&relay, "rowcast_tail_lag_seconds", &[]).await > Some(1.5)).await;
    let others = [("source", "others")];
    let text = scrape(&relay.client).await;
    assert_eq!(value(&text, "rowcast_source_following", &others), Some(1.0));
    run(&db, "alter table messages rename column place to room").await;
    eventually(async || following().await == Some(1.0)).await;
    eventually(async || of_messages(&relay, "rowcast_tail_lag_seconds", &[]).await < Some(1.5)).await;
}

#[tokio::test]
async fn pools_connections_and_the_queue_of_notifications_are_told() {
    let (_db, relay) = scene(&["--pool-size", "3", "--max-connections", "50"]).await;
    let text = scrape(&relay.client).await;
    for (pool, most) in [("main", 3.0), ("publish", 4.0), ("authorize", 4.0)] {
        let labels = [("pool", pool)];
        let now = |name| value(&text, name, &labels);
        assert_eq!(now("rowcast_pool_connections_max"), Some(most));
        assert!(now("rowcast_pool_connections") <= Some(most));
        assert_eq!(now("rowcast_pool_waiting"), Some(0.0));
        assert!(now("rowcast_pool_available_connections").is_some());
    }
    assert_eq!(value(&text, "rowcast_connections", &[]), Some(1.0));
    assert_eq!(value(&text, "rowcast_connections_max", &[]), Some(50.0));
    let usage = value(&text, "rowcast_notification_queue_usage_ratio", &[]);
    assert!(
        usage.is_some_and(|usage| (0.0..1.0).contains(&usage)),
        "{usage:?}"
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value(&text, "rowcast_build_info", &version), Some(1.0));
    assert!(value(&text, "process_start_time_seconds", &[]) > Some(1.6e9));
}
