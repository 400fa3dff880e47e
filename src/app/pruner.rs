//! Keeps the journals as short as they are to be kept, batch by batch, whichever relay gets to it first.
//!
//! The database decides what may go: nothing that a tail has not closed, nothing younger than asked for
//! (`rowcast.prune`). A batch is one short transaction. As long as batches are full, the next one follows after a pause as
//! long as the last one took: at most half of one connection's time, and far faster than a trigger can write.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::relay::Relay;

/// Entries of one batch: some ten milliseconds of deletes.
const BATCH: i64 = 5_000;

/// Prunes until `stop`, looking at each journal about every `interval`.
pub(super) async fn run(relay: Arc<Relay>, interval: Duration, stop: CancellationToken) {
    loop {
        // Relays that were started together come one after the other.
        let pause = interval.mul_f64(rand::random_range(0.75..1.25));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = prune_all(&relay) => {}
        }
    }
}

async fn prune_all(relay: &Relay) {
    for source in relay.sources() {
        let mut pruned = 0;
        loop {
            let began = Instant::now();
            match source.prune(BATCH).await {
                Ok(deleted) => {
                    pruned += deleted;
                    if deleted < BATCH {
                        break;
                    }
                }
                // A lock, or the database is away: the next round comes soon enough.
                Err(error) => {
                    tracing::debug!(source = %source.definition().name, %error, "a journal was not pruned");
                    break;
                }
            }
            tokio::time::sleep(began.elapsed()).await;
        }
        if pruned > 0 {
            tracing::debug!(source = %source.definition().name, pruned, "a journal was pruned");
        }
    }
}
