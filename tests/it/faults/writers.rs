//! The application: sessions that commit rows where they can, through whatever happens.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::torture::try_connect;

/// The rooms that are written; half of the rows go to the first.
pub const ROOMS: [&str; 4] = ["lobby", "r1", "r2", "r3"];

const WRITERS: u64 = 3;

/// Transactions of one writer at most: a test that hangs fills no disk.
const MOST: u64 = 5_000;

/// Before a writer tries again to get a session.
const BACK_OFF: Duration = Duration::from_millis(30);

/// What the writers share with whoever watches them.
pub struct Desk {
    url: String,
    /// What the table is called at the moment.
    table: Mutex<String>,
    /// The highest id that is known to be committed.
    newest: AtomicI64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    /// Statements that failed, and sessions that were lost.
    failed: AtomicU64,
    /// Whether short pauses are taken, or such that the tables are quiet in between.
    quiet: std::sync::atomic::AtomicBool,
}

/// Writers at work. Whatever panics, their tasks end with this.
pub struct Writers {
    pub desk: Arc<Desk>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Writers {
    /// Writers into the table `messages` of the database at `url`.
    pub fn start(url: &str, seed: u64) -> Self {
        let desk = Arc::new(Desk {
            url: url.to_owned(),
            table: Mutex::new("messages".to_owned()),
            newest: AtomicI64::new(0),
            committed: AtomicU64::new(0),
            rolled_back: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            quiet: false.into(),
        });
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for number in 0..WRITERS {
            tasks.spawn(
                desk.clone()
                    .write(StdRng::seed_from_u64(seed ^ number), stop.clone()),
            );
        }
        Self { desk, tasks, stop }
    }

    /// Ends them, each behind its transaction.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer does not panic");
        }
    }
}

impl Desk {
    /// Transactions that are known to have been committed.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    pub fn rolled_back(&self) -> u64 {
        self.rolled_back.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// From now on they write into the table of this name.
    pub fn write_into(&self, table: &str) {
        table.clone_into(&mut self.table.lock().unwrap());
    }

    /// A row every other second is no storm: relays arm their bell.
    pub fn be_quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    async fn write(self: Arc<Self>, mut rng: StdRng, stop: CancellationToken) {
        let mut session: Option<Client> = None;
        for _ in 0..MOST {
            if stop.is_cancelled() {
                return;
            }
            let Some(client) = session.take().filter(|client| !client.is_closed()) else {
                session = try_connect(&self.url).await.map(|(client, _driver)| client);
                sleep(BACK_OFF).await;
                continue;
            };
            if self.transaction(&client, &mut rng).await.is_err() {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let _ = client.batch_execute("rollback").await;
            }
            session = Some(client);
            let pause = match self.quiet.load(Ordering::Relaxed) {
                true => rng.random_range(300..900),
                false => rng.random_range(30..120),
            };
            let _ = stop
                .run_until_cancelled(sleep(Duration::from_millis(pause)))
                .await;
        }
    }

    /// One to three rows, committed at once, after a while, or rolled back: ids do not become visible in order.
    async fn transaction(&self, client: &Client, rng: &mut StdRng) -> Result<(), tokio_postgres::Error> {
        let table = self.table.lock().unwrap().clone();
        let rows: Vec<String> = (0..rng.random_range(1..=3)).map(|_| row(rng)).collect();
        let insert = format!(
            "insert into {table} (room_id, body) values {} returning id",
            rows.join(", ")
        );
        let (waits, commits) = (rng.random_bool(0.3), rng.random_bool(0.85));
        client.batch_execute("begin").await?;
        let ids = client.query(&insert, &[]).await?;
        if waits {
            sleep(Duration::from_millis(rng.random_range(0..100))).await;
        }
        if !commits {
            client.batch_execute("rollback").await?;
            self.rolled_back.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        client.batch_execute("commit").await?;
        let newest = ids.iter().map(|row| row.get(0)).max().unwrap_or(0);
        self.newest.fetch_max(newest, Ordering::Relaxed);
        self.committed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn row(rng: &mut StdRng) -> String {
    let room = match rng.random_bool(0.5) {
        true => ROOMS[0],
        false => ROOMS[rng.random_range(1..ROOMS.len())],
    };
    format!("('{room}', 'a row')")
}
