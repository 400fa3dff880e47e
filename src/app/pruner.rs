//! Keeps the journals as short as they are to be kept, and the tickets to those that can be used: batch by batch, whichever
//! relay gets to it first.
//!
//! The database decides what may go: nothing that a tail has not closed, nothing younger than asked for
//! (`rowcast.prune`). A batch is one short transaction. As long as batches are full, the next one follows after a pause as
//! long as the last one took: at most half of one connection's time, and far faster than a trigger can write.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pg::PgError;
use crate::pg::tickets::Tickets;
use crate::relay::Relay;

/// Rows of one batch: some ten milliseconds of deletes.
const BATCH: i64 = 5_000;

/// Prunes until `stop`, looking at each journal and the tickets about every `interval`.
pub(super) async fn run(relay: Arc<Relay>, tickets: Tickets, interval: Duration, stop: CancellationToken) {
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
            () = prune_all(&relay, &tickets) => {}
        }
    }
}

async fn prune_all(relay: &Relay, tickets: &Tickets) {
    for source in relay.sources() {
        match prune(|| source.prune(BATCH)).await {
            Ok(0) => {}
            Ok(pruned) => {
                tracing::debug!(source = %source.definition().name, pruned, "a journal was pruned");
            }
            Err(error) => {
                tracing::debug!(source = %source.definition().name, %error, "a journal was not pruned");
            }
        }
    }
    match prune(|| tickets.prune(BATCH)).await {
        Ok(0) => {}
        Ok(pruned) => tracing::debug!(pruned, "expired tickets were deleted"),
        Err(error) => tracing::debug!(%error, "expired tickets were not deleted"),
    }
}

/// Batch after batch until one is not full; returns how many rows went. An error (a lock, or the database is away) is no
/// more than the end of this round: the next one comes soon enough.
async fn prune<B>(batch: impl Fn() -> B) -> Result<i64, PgError>
where
    B: Future<Output = Result<i64, PgError>>,
{
    let mut pruned = 0;
    loop {
        let began = Instant::now();
        let deleted = batch().await?;
        pruned += deleted;
        if deleted < BATCH {
            return Ok(pruned);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
}
