//! A thousand subscribers come back in the same moment.

use tokio::time::Instant;

use super::{Subscriber, count_statements, crowd, insert, messages, replays};
use crate::support::{Relay, TestDatabase};

const SUBSCRIBERS: usize = 1_000;
const MISSED: usize = 100;

/// Reads of the table that the herd may cost together.
const FEW: i64 = 50;

/// Lets the herd follow until all have one row. Returns its cursor, and one of the herd, who stays.
async fn cursor_of_a_herd(db: &TestDatabase, relay: &Relay) -> (String, Subscriber) {
    let mut herd = crowd(SUBSCRIBERS, async |_| {
        let mut subscriber = Subscriber::connect(relay, "herd", None).await;
        assert!(subscriber.until_ready().await.is_empty());
        subscriber
    })
    .await;
    let ids = insert(db, "herd", 1, 10).await;
    for subscriber in &mut herd {
        assert_eq!(subscriber.rows(1).await, ids);
    }
    let cursor = herd[0].cursor.clone().expect("a row has a cursor");
    assert!(
        herd.iter()
            .all(|subscriber| subscriber.cursor.as_ref() == Some(&cursor))
    );
    (cursor, herd.swap_remove(0))
}

/// The herd resumes: all ask, then all are served; everyone gets `missed`, and then what comes. Returns the reads of the
/// table that it cost.
async fn come_back(db: &TestDatabase, relay: &Relay, cursor: &str, missed: &[i64]) -> i64 {
    let before = replays(db).await;
    let begun = Instant::now();
    let mut herd = crowd(SUBSCRIBERS, async |_| {
        Subscriber::ask(relay, "herd", Some(cursor)).await
    })
    .await;
    for subscriber in &mut herd {
        subscriber.take_head().await;
        assert_eq!(subscriber.until_ready().await, missed);
    }
    let cost = replays(db).await - before;
    println!(
        "{MISSED} rows to each of {SUBSCRIBERS} in {:?}: {cost} reads of the table",
        begun.elapsed()
    );
    let next = insert(db, "herd", 1, 10).await;
    for subscriber in &mut herd {
        assert_eq!(subscriber.rows(1).await, next);
    }
    cost
}

#[tokio::test]
async fn a_herd_that_comes_back_to_an_empty_relay_costs_a_few_reads_of_the_table() {
    let db = messages().await;
    count_statements(&db).await;
    let mut relay = Relay::serve(&db.relay_url, &[]).await;
    let (cursor, _) = cursor_of_a_herd(&db, &relay).await;
    relay.kill();
    let missed = insert(&db, "herd", MISSED, 100).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let cost = come_back(&db, &relay, &cursor, &missed).await;
    assert!((1..=FEW).contains(&cost), "{cost} reads of the table");
}

#[tokio::test]
async fn a_herd_that_the_ring_still_reaches_costs_no_read_of_the_table() {
    let db = messages().await;
    count_statements(&db).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let (cursor, mut other) = cursor_of_a_herd(&db, &relay).await;
    let missed = insert(&db, "herd", MISSED, 100).await;
    // What one has, the ring has.
    assert_eq!(other.rows(MISSED).await, missed);
    assert_eq!(come_back(&db, &relay, &cursor, &missed).await, 0);
}
