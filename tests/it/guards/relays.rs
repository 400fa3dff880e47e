//! Several relays share one flag, and any of them may be gone the next moment.

use super::{EVENTS, INSERT, bell_flag, enters, run, with_messages};
use crate::support::{Relay, TestDatabase, eventually};

/// Arms as soon as it can, and never lowers the flag.
const ARMS: [&str; 4] = ["--quiet-after", "50ms", "--busy-bells-per-second", "10000"];

/// Takes anything for a storm, and never for quiet.
const STORMS: [&str; 4] = ["--quiet-after", "1h", "--busy-bells-per-second", "2"];

fn times_armed(relay: &Relay) -> usize {
    relay.log().iter().filter(|line| enters(line, "armed")).count()
}

/// Inserts until somebody sets the flag to 0.
async fn storm(db: &TestDatabase) -> i64 {
    let mut inserted = 0;
    eventually(async || {
        run(db, INSERT).await;
        inserted += 1;
        bell_flag(db).await == "0"
    })
    .await;
    inserted
}

/// Fails when an armed relay that hears `busy`, or finds the flag 0, does not poll and arm again.
#[tokio::test]
async fn a_relay_arms_again_when_the_one_that_polled_was_killed() {
    let db = with_messages().await;
    let sleeper = Relay::serve(&db.relay_url, &ARMS).await;
    let mut stream = sleeper.client.stream(EVENTS).await;
    stream.ready().await;
    eventually(async || times_armed(&sleeper) == 1).await;
    let mut stormy = Relay::serve(&db.relay_url, &STORMS).await;
    // The relay that storms is dead, and its flag is what it left behind.
    let rows = storm(&db).await;
    stormy.kill();
    let all: Vec<i64> = (1..=rows).collect();
    assert_eq!(stream.ids(all.len()).await, all);
    eventually(async || times_armed(&sleeper) >= 2 && bell_flag(&db).await == "1").await;
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [rows + 1]);
}

/// Fails without the farewell (`Follow::say_farewell`), or if it leaves the flag alone: with nobody left, every insert
/// would ring for nobody, and the other's `busy` would never come.
#[tokio::test]
async fn a_relay_that_ends_sets_the_flag_to_0_and_the_others_arm_again() {
    let db = with_messages().await;
    let mut first = Relay::serve(&db.relay_url, &ARMS).await;
    let mut second = Relay::serve(&db.relay_url, &ARMS).await;
    eventually(async || times_armed(&first) >= 1 && times_armed(&second) >= 1).await;
    let before = times_armed(&second);
    first.terminate();
    assert!(first.exit_status().await.success());
    eventually(async || times_armed(&second) > before).await;
    assert_eq!(bell_flag(&db).await, "1");
    second.terminate();
    assert!(second.exit_status().await.success());
    assert_eq!(bell_flag(&db).await, "0", "nobody is left to hear");
}

/// The flag is a sequence: what one relay sets is there for all at once, so that a tail under load that finds it 1 says 0
/// again.
///
/// Fails when `Mode::on_read` does not lower a flag that was raised under a storm.
#[tokio::test]
async fn a_relay_under_load_lowers_a_flag_that_another_raised() {
    let db = with_messages().await;
    let _stormy = Relay::serve(&db.relay_url, &STORMS).await;
    storm(&db).await;
    run(&db, "select setval('rowcast.bell_messages', 1)").await;
    storm(&db).await;
}
