//! The throw-away PostgreSQL of a benchmark, and a new database for each run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use rowcast::demo::postgres::{Options, Postgres};
use tokio_postgres::{Client, NoTls};

use crate::process::ended_children_seconds;

/// The database with schema `rowcast` in it that every run's is a copy of.
const TEMPLATE: &str = "migrated";

/// Settings of a small server that has its memory, with a log of a size that lets no checkpoint fall into a run.
const SETTINGS: [(&str, &str); 3] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("max_connections", "200"),
];

/// A PostgreSQL of this process's own; it ends with it.
pub struct Server {
    pub postgres: Postgres,
    admin: Client,
    databases: u32,
}

/// A database of one run, with the table `messages` and a session of its superuser.
pub struct Database {
    pub name: String,
    pub url: String,
    pub client: Client,
}

/// What pgbench found.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Transactions a second.
    pub per_second: f64,
    /// Processor time of its sessions' backends for one transaction. The relay's and its own are not in it.
    pub processor_microseconds: f64,
}

impl Server {
    /// Starts one with these settings, which win over the benchmark's own.
    pub async fn start(settings: &[(String, String)]) -> anyhow::Result<Self> {
        let ours = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = Options {
            bin_dir: None,
            settings: ours.iter().chain(settings).cloned().collect(),
        };
        let postgres = tokio::task::spawn_blocking(move || Postgres::start(&options)).await??;
        let admin = connect(&postgres.url("postgres")).await?;
        admin
            .batch_execute(&format!("create database {TEMPLATE}"))
            .await?;
        rowcast::pg::migrate::migrate(&postgres.url(TEMPLATE)).await?;
        Ok(Self {
            postgres,
            admin,
            databases: 0,
        })
    }

    /// A new database with the table in it. What stood in memory is on disk when this returns: a run pays for its own.
    pub async fn database(&mut self) -> anyhow::Result<Database> {
        self.databases += 1;
        let name = format!("run_{}", self.databases);
        self.admin
            .batch_execute(&format!("create database {name} template {TEMPLATE}"))
            .await?;
        let url = self.postgres.url(&name);
        let client = connect(&url).await?;
        client.batch_execute(include_str!("sql/table.sql")).await?;
        Ok(Database { name, url, client })
    }

    /// Writes all that is dirty, so that what follows begins alike.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        self.admin.batch_execute("checkpoint").await?;
        Ok(())
    }

    /// Removes a run's database.
    pub async fn drop(&self, database: Database) -> anyhow::Result<()> {
        let Database { name, client, .. } = database;
        drop(client);
        self.admin
            .batch_execute(&format!("drop database {name} with (force)"))
            .await?;
        Ok(())
    }

    /// Bytes of write-ahead log so far.
    pub async fn wal_bytes(&self) -> anyhow::Result<i64> {
        Ok(self
            .admin
            .query_one(include_str!("sql/wal.sql"), &[])
            .await?
            .get(0))
    }

    /// The server's version, its date, and the settings that matter here.
    pub async fn description(&self) -> anyhow::Result<(String, String, String)> {
        let row = self.admin.query_one(include_str!("sql/machine.sql"), &[]).await?;
        Ok((row.get(0), row.get(1), row.get(2)))
    }

    /// Bytes of the temporary files that sessions hold at the moment.
    pub fn temporary_bytes(&self) -> u64 {
        let directory = self.postgres.directory().join("data/base/pgsql_tmp");
        let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum()
    }

    /// One run of pgbench over the Unix socket, with prepared statements.
    ///
    /// Errors: there is no pgbench, or one of its sessions failed.
    pub async fn pgbench(
        &self,
        database: &str,
        script: &str,
        clients: u32,
        seconds: u32,
    ) -> anyhow::Result<Run> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches/writers/sql")
            .join(script);
        let postmaster = self.postgres.pid().context("the server runs")?;
        let processor_before = ended_children_seconds(postmaster)?;
        let output = tokio::process::Command::new(self.pgbench_path()?)
            .args(["-n", "-M", "prepared", "-U", "postgres"])
            .arg("-h")
            .arg(self.postgres.socket_dir())
            .args(["-p", &self.postgres.port().to_string()])
            .args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()])
            .args(["-T", &seconds.to_string()])
            .arg("-f")
            .arg(script)
            .arg(database)
            .stdin(Stdio::null())
            .process_group(self.postgres.process_group())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "pgbench failed: {}{said}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let figure = |name: &str| -> Option<f64> {
            let line = said.lines().rev().find_map(|line| line.strip_prefix(name))?;
            line.split(['/', ' ']).next()?.parse().ok()
        };
        let (per_second, transactions) = figure("tps = ")
            .zip(figure("number of transactions actually processed: "))
            .with_context(|| format!("no figures in what pgbench said:\n{said}"))?;
        let processor_seconds = ended_children_seconds(postmaster)? - processor_before;
        Ok(Run {
            per_second,
            processor_microseconds: processor_seconds * 1e6 / transactions,
        })
    }

    /// pgbench as it comes with this server. npm's packages bring none.
    fn pgbench_path(&self) -> anyhow::Result<PathBuf> {
        let path = self.postgres.bin_dir().join("pgbench");
        if !path.is_file() {
            bail!(
                "no pgbench in {}: let ROWCAST_PG_BIN name a PostgreSQL that has one",
                self.postgres.bin_dir().display()
            );
        }
        Ok(path)
    }
}

/// A session, driven by a task of its own.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
