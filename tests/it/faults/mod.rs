//! What breaks around a relay, for real: each fault ends with the proof that nothing was lost and nothing repeated.
//!
//! While the fault takes place, writers commit rows where they can, and subscribers of all four transports come, go and
//! resume by their cursors ([`trial`]; the subscribers and their verdict are the torture's). Each test prints one line
//! that `make faults` collects into docs/reliability.md. There the outages are longer: `ROWCAST_FAULT_SECONDS`.
//! `ROWCAST_FAULT_SEED` repeats what writers and subscribers chose by chance.
//! What a relay does while it lasts (answers, health, log) is looked at here only as far as `lifecycle` does not.

mod connections;
mod descriptors;
mod disk;
mod failover;
mod listener;
mod network;
mod poolers;
mod read_only;
mod restarts;
mod rolling;
mod server;
mod tables;
mod trial;
mod writers;

use std::time::Duration;

use crate::support::{Relay, eventually};
use crate::torture::setting;

/// How long an outage lasts in `make test`, in seconds.
const SECONDS: u64 = 1;

/// From here on an outage is long enough for the relay to find it by itself.
const LONG: Duration = Duration::from_secs(10);

/// How long an outage is to last.
fn outage() -> Duration {
    Duration::from_secs(setting("ROWCAST_FAULT_SECONDS").unwrap_or(SECONDS))
}

/// The seed of writers and subscribers: another one each time, unless the environment names one.
fn seed() -> u64 {
    setting("ROWCAST_FAULT_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000))
}

/// Whether outages are as long as an operator would have them.
fn is_long() -> bool {
    outage() >= LONG
}

/// Waits until `/health/ready` says 503 with a reason that contains `text`.
async fn not_ready(relay: &Relay, text: &str) {
    eventually(async || {
        let answer = relay.client.get("/health/ready").await;
        answer.status == 503 && answer.json()["reasons"].to_string().contains(text)
    })
    .await;
}

/// Waits until `/health/ready` says 200.
async fn ready(relay: &Relay) {
    eventually(async || relay.client.get("/health/ready").await.status == 200).await;
}
