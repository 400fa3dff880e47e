//! What a run takes place on: a server that was just started, a database of its own, a writer, and a crowd of subscribers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Crowd, Measured, Plan};
use crate::clock;
use crate::limit::{Form, Limit, Orders};
use crate::peers::{Peer, Running};
use crate::rows::{Load, Rows};
use crate::sample::{self, Processor};
use crate::server::{Database, Server, connect};
use crate::writer::{Inserts, Pen, Writer, Written};

/// How long subscribers may take to connect, and a writer for a load: far longer than they ever should.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long they may take to get their first row.
const FIRST_ROW: Duration = Duration::from_secs(20);

/// How long after a load a delivery may come. What comes later is lost.
const DRAIN: Duration = Duration::from_secs(10);

/// A relay that has been up for a while is what users meet: ours begins to poll, and has itself be rung once it was quiet for a
/// second (`--quiet-after`).
const REST: Duration = Duration::from_millis(1_500);

/// How long there may be none at all before that, in nanoseconds: what is lost needs no waiting for.
const SILENCE: u64 = 2_000_000_000;

/// What takes part.
#[derive(Clone)]
pub enum Contestant {
    Limit(Form),
    Relay(Arc<dyn Peer>),
}

impl Contestant {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Limit(form) => Limit(*form).name(),
            Self::Relay(peer) => peer.name(),
        }
    }
}

/// The machine's part that all runs share: PostgreSQL, a directory, the limit of descriptors.
pub struct World {
    runtime: Runtime,
    pub server: Server,
    directory: TempDir,
    stopped: Arc<AtomicBool>,
    /// Descriptors of one process; a server needs one for each subscriber, the client too.
    descriptors: u64,
    /// Does the server count statements?
    counts_statements: bool,
    stages: u32,
}

impl World {
    /// Starts PostgreSQL, and listens to Ctrl-C: whatever runs then comes to its end with an error.
    pub fn new() -> anyhow::Result<Self> {
        const LIBRARY: &str = "pg_stat_statements";
        let descriptors = clock::raise_descriptors();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let counts_statements = rowcast::demo::postgres::has_library(None, LIBRARY)?;
        let mut settings = Vec::new();
        if counts_statements {
            settings.push(("shared_preload_libraries".to_owned(), LIBRARY.to_owned()));
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let server = runtime.block_on(async {
            let flag = Arc::clone(&stopped);
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            tokio::spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => (),
                    _ = terminate.recv() => (),
                }
                flag.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            Server::start(&settings).await
        })?;
        Ok(Self {
            runtime,
            server,
            directory: TempDir::new()?,
            stopped,
            descriptors,
            counts_statements,
            stages: 0,
        })
    }

    /// Subscribers that one server can have: of the descriptors some are for other things.
    pub fn most_subscribers(&self) -> usize {
        usize::try_from(self.descriptors.saturating_sub(1000)).unwrap_or(usize::MAX)
    }

    /// Was the benchmark interrupted?
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// For the report.
    pub fn description(&self) -> anyhow::Result<(String, String, String)> {
        self.runtime.block_on(self.server.description())
    }

    /// Starts a contestant with a new database and a writer for that many rooms.
    pub fn stage(&mut self, contestant: &Contestant, rooms: usize) -> anyhow::Result<Stage> {
        anyhow::ensure!(!self.is_stopped(), "interrupted");
        self.stages += 1;
        let directory = self.directory.path().join(format!("stage-{}", self.stages));
        std::fs::create_dir(&directory)?;
        let rows = Arc::new(Rows::new(rooms));
        let (running, pen, database): (_, Box<dyn Pen>, _) = match contestant {
            Contestant::Limit(form) => {
                let running = Arc::new(Limit(*form).start("", &directory)?);
                let pen = Orders::new(&running, Arc::clone(&rows))?;
                (running, Box::new(pen), None)
            }
            Contestant::Relay(peer) => {
                let table = include_str!("../support/sql/table.sql");
                let database = self.runtime.block_on(self.server.database(table))?;
                let running = Arc::new(peer.start(&database.url, &directory)?);
                let pen = Inserts::new(&database.url, Arc::clone(&running), Arc::clone(&rows))?;
                (running, Box::new(pen), Some(database))
            }
        };
        Ok(Stage {
            writer: Writer::start(pen)?,
            running,
            rows,
            database,
            stopped: Arc::clone(&self.stopped),
        })
    }

    /// Ends a stage and removes its database.
    pub fn strike(&mut self, stage: Stage) -> anyhow::Result<()> {
        let Stage {
            writer,
            running,
            database,
            ..
        } = stage;
        // The server's last owner is the writer's thread.
        drop(running);
        drop(writer);
        match database {
            Some(database) => self.runtime.block_on(self.server.drop(database)),
            None => Ok(()),
        }
    }

    /// Statements that sessions of this stage's database have run so far; `None`: nobody counts them.
    pub fn statements(&self, stage: &Stage) -> anyhow::Result<Option<i64>> {
        let Some(database) = stage.database.as_ref().filter(|_| self.counts_statements) else {
            return Ok(None);
        };
        let calls = self.runtime.block_on(async {
            // Its view is in a database of its own, so that this question does not count.
            let admin = connect(&self.server.postgres.url("postgres")).await?;
            admin.batch_execute(include_str!("sql/statements.sql")).await?;
            let row = admin
                .query_one(include_str!("sql/calls.sql"), &[&database.name])
                .await?;
            anyhow::Ok(row.get(0))
        })?;
        Ok(Some(calls))
    }
}

/// One server with its database and its writer. [`World::strike`] ends it; so does dropping it, but for the database.
pub struct Stage {
    writer: Writer,
    pub running: Arc<Running>,
    rows: Arc<Rows>,
    database: Option<Database>,
    stopped: Arc<AtomicBool>,
}

/// What a load came to.
pub struct Run {
    pub measured: Measured,
    pub written: Written,
    /// From the first row until the last delivery.
    pub seconds: f64,
    /// Processor time of the server's processes.
    pub processor_seconds: f64,
    /// Processor time of the load client.
    pub client_seconds: f64,
}

impl Run {
    /// Processor time of the server for one delivery, in microseconds.
    pub fn processor_us(&self) -> f64 {
        self.processor_seconds * 1e6 / self.deliveries()
    }

    /// Processor time of the client for one delivery, in microseconds.
    pub fn client_us(&self) -> f64 {
        self.client_seconds * 1e6 / self.deliveries()
    }

    pub fn per_second(&self) -> f64 {
        self.deliveries() / self.seconds
    }

    fn deliveries(&self) -> f64 {
        self.measured.counts.deliveries.max(1) as f64
    }
}

impl Stage {
    /// Subscribers, connected. Errors: one is refused, or they take too long.
    pub fn crowd(&self, plan: Plan) -> anyhow::Result<Crowd> {
        let (running, rows) = (Arc::clone(&self.running), Arc::clone(&self.rows));
        let mut crowd = Crowd::new(plan, running, rows, Arc::clone(&self.stopped))?;
        crowd.begin();
        let connected = crowd.run_until(PATIENCE, |crowd| Ok(crowd.is_connected()))?;
        anyhow::ensure!(connected, "subscribers are not let in within {PATIENCE:?}");
        Ok(crowd)
    }

    /// Subscribers who have all got a row: what follows is counted for each of them.
    pub fn warm_crowd(&self, plan: Plan) -> anyhow::Result<Crowd> {
        let mut crowd = self.crowd(plan)?;
        let began = clock::now();
        loop {
            self.write(&mut crowd, Load::once(self.rows.rooms()))?;
            if crowd.run_until(Duration::from_millis(300), |crowd| Ok(crowd.has_begun()))? {
                break;
            }
            anyhow::ensure!(
                Duration::from_nanos(clock::now() - began) < FIRST_ROW,
                "some subscribers get nothing within {FIRST_ROW:?}"
            );
        }
        drain(&mut crowd)?;
        let closed = crowd.take(true).counts.closed;
        if closed > 0 {
            eprintln!("    {closed} streams were cut off while they connected");
        }
        Ok(crowd)
    }

    /// Nothing is written for [`REST`].
    pub fn rest(&self, crowd: &mut Crowd) -> anyhow::Result<()> {
        crowd.run_until(REST, |_| Ok(false)).map(drop)
    }

    /// Writes a load while the crowd reads; returns when the writer has done.
    pub fn write(&self, crowd: &mut Crowd, load: Load) -> anyhow::Result<Written> {
        self.writer.begin(load)?;
        let mut written = None;
        crowd.run_until(PATIENCE + Duration::from_secs_f64(load.seconds), |_| {
            written = self.writer.finished().transpose()?;
            Ok(written.is_some())
        })?;
        written.context("the writer takes too long")
    }

    /// Writes a load and waits until it is delivered.
    pub fn run(&self, crowd: &mut Crowd, load: Load) -> anyhow::Result<Run> {
        crowd.take(false);
        let pids = self.running.pids();
        let processor_before = Processor::of(&pids);
        let client_before = clock::thread_seconds();
        let began = clock::now();
        let written = self.write(crowd, load)?;
        drain(crowd)?;
        Ok(Run {
            seconds: (clock::now() - began) as f64 / 1e9,
            client_seconds: clock::thread_seconds() - client_before,
            processor_seconds: Processor::of(&pids).seconds_since(&processor_before),
            measured: crowd.take(true),
            written,
        })
    }

    /// Memory of a server that nobody subscribes to, but some have: what it makes once is there. `quiet`: how long it may
    /// rest before.
    pub fn memory_without_subscribers(&self, quiet: Duration) -> anyhow::Result<(u64, u64)> {
        const FIRST: usize = 20;
        let mut first = self.warm_crowd(Plan::streams(FIRST))?;
        first.cut();
        std::thread::sleep(quiet);
        self.memory()
    }

    /// Memory of the server and of the kernel now, in bytes.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        Ok((sample::user_bytes(&self.running.pids())?, sample::kernel_bytes()?))
    }
}

/// Waits until everybody has everything, or nothing comes any more.
fn drain(crowd: &mut Crowd) -> anyhow::Result<()> {
    let mut last = (crowd.bytes(), clock::now());
    crowd.run_until(DRAIN, |crowd| {
        let now = clock::now();
        if crowd.bytes() != last.0 {
            last = (crowd.bytes(), now);
        }
        Ok(crowd.has_caught_up() || now - last.1 > SILENCE)
    })?;
    Ok(())
}
