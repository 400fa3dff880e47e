//! Exactly once: what subscribers receive is what was committed, while writers, connections, relays and PostgreSQL fail.
//!
//! Writers with roll-backs, savepoints, pauses and all isolation levels fill tables; two relays follow them; subscribers
//! of all transports come and go and resume from their last cursor on either relay. Meanwhile backends are terminated,
//! relays are killed or drained, PostgreSQL crashes. At the end every subscriber must have what its rooms got, once:
//!
//! - [`direct`]: the rows of a table that is followed itself. The table is the truth.
//! - [`journal`]: the changes of tables whose journals are followed, and the picture of its rooms that each subscriber
//!   makes of them. The journal is the truth of what happened, the table of how it ended.
//!
//! So a transaction whose commit was cut off is no question. `make torture` runs both for as long as
//! `ROWCAST_TORTURE_SECONDS` says; `ROWCAST_TORTURE_SEED` repeats their random choices, though not the machine's
//! scheduling.

pub mod audience;
pub mod direct;
mod faults;
mod journal;
pub mod received;
pub mod subscribers;
pub mod verdict;
mod wire;
mod writers;

use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

/// How long is written where the environment does not say: with what comes before and after, a test takes about 20 s.
const SECONDS: u64 = 12;

const ROOMS: [&str; 8] = ["lobby", "r1", "r2", "r3", "r4", "r5", "r6", "r7"];

/// Settings of the server under torture. With prepared transactions the bell would never ring.
const SETTINGS: [(&str, &str); 3] = [
    ("track_commit_timestamp", "on"),
    ("max_prepared_transactions", "0"),
    ("deadlock_timeout", "100ms"),
];

/// What the environment says of a run.
struct Run {
    seed: u64,
    /// How long there are writers and faults.
    time: Duration,
    rng: StdRng,
}

impl Run {
    fn new(test: &str) -> Self {
        let seed = setting("ROWCAST_TORTURE_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        let seconds = setting("ROWCAST_TORTURE_SECONDS").unwrap_or(SECONDS);
        println!("torture, {test}: ROWCAST_TORTURE_SEED={seed} ROWCAST_TORTURE_SECONDS={seconds}");
        Self {
            seed,
            time: Duration::from_secs(seconds),
            rng: StdRng::seed_from_u64(seed),
        }
    }
}

/// Where the relays are at the moment; a restart may change it.
pub struct Addresses(Mutex<[String; 2]>);

impl Addresses {
    pub fn new(urls: [&str; 2]) -> Self {
        Self(Mutex::new(urls.map(str::to_owned)))
    }

    fn of(&self, relay: usize) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[relay].clone()
    }

    fn set(&self, relay: usize, url: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[relay] = url.to_owned();
    }
}

/// A number that the environment may name.
pub fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|error| panic!("{name}={value}: {error}")),
    )
}

/// A session, or none while PostgreSQL is away.
pub async fn try_connect(url: &str) -> Option<(Client, tokio::task::JoinHandle<()>)> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.ok()?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    Some((client, driver))
}
