//! The writers: transactions of every form, that commit late, roll back, or lose their connection.

use std::iter::Sum;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::try_connect;

const ISOLATION: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// Storm and calm take turns, so that the bell is armed and silenced again and again.
const PHASE: Duration = Duration::from_millis(1500);

const HELD: Duration = Duration::from_secs(4);
const RELEASED: Duration = Duration::from_secs(1);

/// What the writers did.
#[derive(Debug, Default)]
pub struct Tally {
    /// By isolation level, in the order of [`ISOLATION`].
    pub committed: [u64; 3],
    pub rolled_back: u64,
    pub savepoints_rolled_back: u64,
    /// Statements that failed as they may: a serialization failure, a key that was taken.
    pub conflicts: u64,
    /// Transactions cut off by the loss of their connection: nobody told whether they are committed.
    pub cut_off: u64,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut all, one| {
            for (sum, committed) in all.committed.iter_mut().zip(one.committed) {
                *sum += committed;
            }
            all.rolled_back += one.rolled_back;
            all.savepoints_rolled_back += one.savepoints_rolled_back;
            all.conflicts += one.conflicts;
            all.cut_off += one.cut_off;
            all
        })
    }
}

/// One transaction, planned before it runs, so that the plans depend on the seed alone.
pub struct Transaction {
    /// Index into [`ISOLATION`]; `None`: each statement is its own transaction.
    isolation: Option<usize>,
    steps: Vec<Step>,
    commits: bool,
    savepoints_rolled_back: u64,
}

pub enum Step {
    Statement(String),
    /// A `COPY … FROM STDIN` and its lines.
    Copy(String, String),
    Pause(Duration),
}

/// One writer: what it does next is what `plan` says.
pub struct Writer<P> {
    url: String,
    rng: StdRng,
    plan: P,
}

impl<P: FnMut(&mut StdRng) -> Transaction> Writer<P> {
    pub fn new(url: String, seed: u64, plan: P) -> Self {
        Self {
            url,
            rng: StdRng::seed_from_u64(seed),
            plan,
        }
    }

    /// Writes until `stop`, over as many connections as it takes.
    pub async fn write(mut self, stop: CancellationToken) -> Tally {
        let mut tally = Tally::default();
        let began = Instant::now();
        while !stop.is_cancelled() {
            let Some((client, _driver)) = try_connect(&self.url).await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            while !stop.is_cancelled() && !client.is_closed() {
                let transaction = (self.plan)(&mut self.rng);
                transaction.run(&client, &mut tally).await;
                let pause = if is_calm(began.elapsed()) {
                    self.rng.random_range(200..1200)
                } else {
                    self.rng.random_range(0..25)
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(Duration::from_millis(pause)) => {}
                }
            }
        }
        tally
    }
}

/// Whether the writers rest, so long after they began.
pub fn is_calm(elapsed: Duration) -> bool {
    (elapsed.as_millis() / PHASE.as_millis()) % 2 == 1
}

impl Transaction {
    /// A statement by itself.
    pub fn single(statement: Step) -> Self {
        Self {
            isolation: None,
            steps: vec![statement],
            commits: true,
            savepoints_rolled_back: 0,
        }
    }

    /// One to `most` statements, with savepoints and pauses, at any isolation level; it may roll back.
    pub fn of_several(rng: &mut StdRng, most: usize, mut statement: impl FnMut(&mut StdRng) -> Step) -> Self {
        let savepoint = |sql: &str| Step::Statement(format!("{sql} s"));
        let mut steps = Vec::new();
        let mut savepoints_rolled_back = 0;
        for _ in 0..rng.random_range(1..=most) {
            let next = statement(rng);
            match rng.random_range(0..10) {
                0 | 1 => {
                    savepoints_rolled_back += 1;
                    steps.extend([savepoint("savepoint"), next, savepoint("rollback to savepoint")]);
                    steps.push(statement(rng));
                }
                2 => steps.extend([savepoint("savepoint"), next, savepoint("release savepoint")]),
                _ => steps.push(next),
            }
            if rng.random_bool(0.6) {
                steps.push(Step::Pause(pause(rng)));
            }
        }
        Self {
            isolation: Some(rng.random_range(0..ISOLATION.len())),
            steps,
            commits: rng.random_bool(0.75),
            savepoints_rolled_back,
        }
    }

    async fn run(&self, client: &Client, tally: &mut Tally) {
        match self.execute(client).await {
            Ok(()) if !self.commits => tally.rolled_back += 1,
            Ok(()) => {
                tally.committed[self.isolation.unwrap_or(0)] += 1;
                tally.savepoints_rolled_back += self.savepoints_rolled_back;
            }
            Err(error) if is_conflict(&error) => {
                tally.conflicts += 1;
                let _ = client.batch_execute("rollback").await;
            }
            Err(error) if is_loss(client, &error) => tally.cut_off += 1,
            Err(error) => panic!("a writer's statement failed: {error:?}"),
        }
    }

    async fn execute(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if let Some(isolation) = self.isolation {
            let begin = format!("begin isolation level {}", ISOLATION[isolation]);
            client.batch_execute(&begin).await?;
        }
        for step in &self.steps {
            match step {
                Step::Statement(sql) => client.batch_execute(sql).await?,
                Step::Copy(sql, lines) => copy(client, sql, lines).await?,
                Step::Pause(pause) => sleep(*pause).await,
            }
        }
        match (self.isolation, self.commits) {
            (None, _) => Ok(()),
            (Some(_), true) => client.batch_execute("commit").await,
            (Some(_), false) => client.batch_execute("rollback").await,
        }
    }
}

async fn copy(client: &Client, sql: &str, lines: &str) -> Result<(), tokio_postgres::Error> {
    let mut sink = std::pin::pin!(client.copy_in::<_, Bytes>(sql).await?);
    sink.send(Bytes::copy_from_slice(lines.as_bytes())).await?;
    sink.finish().await.map(drop)
}

/// Mostly short, sometimes as long as many other transactions.
pub fn pause(rng: &mut StdRng) -> Duration {
    let most = if rng.random_bool(0.1) { 400 } else { 40 };
    Duration::from_millis(rng.random_range(0..most))
}

/// Serialization failures and deadlocks (class 40), a duplicate key.
fn is_conflict(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|state| state.code().starts_with("40") || state.code() == "23505")
}

/// The server went, with a last word (class 57) or without one.
fn is_loss(client: &Client, error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(state) => state.code().starts_with("57"),
        None => error.is_closed() || client.is_closed() || std::error::Error::source(error).is_some(),
    }
}

/// Keeps a transaction open on another database of the same server, with a transaction id and a snapshot: for as long as
/// [`HELD`], then again after [`RELEASED`], since gaps die in another way without it.
pub async fn hold_a_transaction(url: String, end: CancellationToken) {
    let hold = async {
        loop {
            if let Some((client, driver)) = try_connect(&url).await {
                let held = client
                    .batch_execute("begin isolation level repeatable read; select pg_current_xact_id()")
                    .await;
                if held.is_ok() {
                    let _ = timeout(HELD, driver).await;
                }
            }
            sleep(RELEASED).await;
        }
    };
    let _ = end.run_until_cancelled(hold).await;
}
