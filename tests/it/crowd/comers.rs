//! Subscribers that come and go at once.

use super::{Subscriber, crowd, memory, messages};
use crate::support::{Relay, eventually};

/// Connections of a run; `ROWCAST_CROWD_CONNECTS` sets another number (100,000 take minutes).
const CONNECTS: usize = 5_000;
const ROOMS: usize = 500;
const MEBIBYTE: u64 = 1 << 20;
const MOST_GROWTH: u64 = 32 * MEBIBYTE;

fn descriptors(relay: &Relay) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", relay.pid()))
        .expect("its descriptors")
        .count()
}

/// `count` connections to rooms whose names begin with `name`, of which some do not even wait for the answer.
async fn come_and_go(relay: &Relay, name: &str, count: usize) {
    crowd(count, async |at| {
        let room = format!("{name}{}", at % ROOMS);
        match at % 3 {
            0 => drop(Subscriber::ask(relay, &room, None).await),
            1 => drop(Subscriber::connect(relay, &room, None).await),
            _ => drop(Subscriber::connect(relay, &room, None).await.until_ready().await),
        }
    })
    .await;
}

/// Waits until all rooms are forgotten: the newest line that tells of rooms forgotten says that none is left.
async fn until_empty(relay: &Relay, lines_before: usize) {
    eventually(async || {
        let log = relay.log();
        let newest = log
            .iter()
            .skip(lines_before)
            .rfind(|line| line.contains("rooms were forgotten"));
        newest.is_some_and(|line| line.contains(r#""rooms":0,"subscriptions":0"#))
    })
    .await;
}

#[tokio::test]
async fn connects_and_drops_leave_memory_rooms_and_descriptors_where_they_began() {
    let count =
        std::env::var("ROWCAST_CROWD_CONNECTS").map_or(CONNECTS, |count| count.parse().expect("a number"));
    let db = messages().await;
    let relay = Relay::serve(&db.relay_url, &["--room-linger", "0s"]).await;
    // What a first crowd makes the allocator and the tables grow to is not counted.
    come_and_go(&relay, "first", 1_000).await;
    until_empty(&relay, 0).await;
    let (memory_before, descriptors_before) = (memory(&relay, "VmRSS"), descriptors(&relay));
    come_and_go(&relay, "room", count).await;
    let lines = relay.log().len();
    // One more, so that a line comes after all others have left.
    Subscriber::connect(&relay, "last", None)
        .await
        .until_ready()
        .await;
    until_empty(&relay, lines).await;
    eventually(async || descriptors(&relay) <= descriptors_before).await;
    let after = memory(&relay, "VmRSS");
    println!(
        "{count} connections: {descriptors_before} descriptors, {} MiB before, {} after",
        memory_before / MEBIBYTE,
        after / MEBIBYTE
    );
    assert!(
        after < memory_before + MOST_GROWTH,
        "it grew from {memory_before} to {after} bytes"
    );
}
