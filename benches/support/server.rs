//! The throw-away PostgreSQL of a benchmark, and a new database for each run.

use rowcast::demo::postgres::{Options, Postgres};
use tokio_postgres::{Client, NoTls};

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

/// A database of one run, with its table and a session of its superuser.
pub struct Database {
    pub name: String,
    pub url: String,
    /// For relays: the URL of a role that can read what is attached, and no more.
    pub relay_url: String,
    pub client: Client,
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
        let password = postgres.password();
        let relay_role = format!(include_str!("sql/relay_role.sql"), password = password);
        connect(&postgres.url(TEMPLATE))
            .await?
            .batch_execute(&relay_role)
            .await?;
        Ok(Self {
            postgres,
            admin,
            databases: 0,
        })
    }

    /// A new database in which `table`, statements, made a table. What stood in memory is on disk when this returns: a run pays for its own.
    pub async fn database(&mut self, table: &str) -> anyhow::Result<Database> {
        self.databases += 1;
        let name = format!("run_{}", self.databases);
        self.admin
            .batch_execute(&format!("create database {name} template {TEMPLATE}"))
            .await?;
        let url = self.postgres.url(&name);
        let (port, password) = (self.postgres.port(), self.postgres.password());
        let relay_url = format!("postgres://relay:{password}@127.0.0.1:{port}/{name}");
        let client = connect(&url).await?;
        client.batch_execute(table).await?;
        Ok(Database {
            name,
            url,
            relay_url,
            client,
        })
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

    /// The process ids of pgbench's sessions.
    pub async fn pgbench_backends(&self) -> anyhow::Result<Vec<i32>> {
        let rows = self
            .admin
            .query(include_str!("sql/pgbench_backends.sql"), &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// A session, driven by a task of its own.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
