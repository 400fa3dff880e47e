//! A subscriber that reads nothing.

use super::{Subscriber, count_statements, insert, memory, messages, replays};
use crate::support::Relay;

const MEBIBYTE: u64 = 1 << 20;
const ROW_BYTES: usize = 10_000;
/// Rows of one transaction, and transactions: 20 MB in all.
const ROWS: (usize, usize) = (20, 100);

/// By how much the relay may grow. It holds what the ring does (1 MiB a room), a read or a page on its way, and what
/// waits for sockets.
const MOST_GROWTH: u64 = 32 * MEBIBYTE;

#[tokio::test]
async fn a_subscriber_that_reads_nothing_costs_little_delays_nobody_and_catches_up() {
    let db = messages().await;
    count_statements(&db).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stalled = Subscriber::connect(&relay, "big", None).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Subscriber::connect(&relay, "big", None).await;
        reader.until_ready().await;
        readers.push(reader);
    }
    stalled.until_ready().await;
    let before = memory(&relay, "VmRSS");
    let (per_transaction, transactions) = ROWS;
    let mut all = Vec::new();
    for _ in 0..transactions {
        let ids = insert(&db, "big", per_transaction, ROW_BYTES).await;
        for reader in &mut readers {
            assert_eq!(reader.rows(ids.len()).await, ids);
        }
        all.extend(ids);
    }
    let peak = memory(&relay, "VmHWM");
    println!(
        "resident memory: {} MiB before, {} at its peak",
        before / MEBIBYTE,
        peak / MEBIBYTE
    );
    assert!(
        peak < before + MOST_GROWTH,
        "it grew from {before} to {peak} bytes"
    );
    assert_eq!(stalled.rows(all.len()).await, all);
    assert!(replays(&db).await > 0, "the ring can't have held it all");
    // Caught up, it follows.
    let next = insert(&db, "big", 1, 10).await;
    assert_eq!(stalled.rows(1).await, next);
}
