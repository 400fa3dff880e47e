//! Facts about the server, its settings and its sessions.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::pg::{Database, PgError, Session};

/// The server, and the role that asks.
#[derive(Clone, Debug)]
pub struct Server {
    /// As `server_version` has it: `15.18 (Debian …)`.
    pub version: String,
    /// Quoted: SQL text, as is the next.
    pub role: String,
    pub database: String,
    pub is_superuser: bool,
    pub fsync: bool,
    pub max_prepared_transactions: i32,
    /// Commits wait for a standby.
    pub has_synchronous_standby: bool,
    /// Physical ones that are connected.
    pub standbys: i64,
}

/// A setting with which rows would be lost or triggers skipped, where it stands.
#[derive(Clone, Debug)]
pub struct Setting {
    /// For whom, in words: `for role app in database shop`.
    pub whom: String,
    pub name: String,
    pub value: String,
    /// A statement.
    pub remedy: String,
}

/// A transaction that has an id and is not over.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// `None`: prepared, without a process.
    pub pid: Option<i32>,
    /// The name of a prepared one.
    pub gid: Option<String>,
    pub xid: String,
    pub role: String,
    pub database: String,
    pub application: String,
    /// As in `pg_stat_activity`, `prepared`, or `?`.
    pub state: String,
    /// `None`: this role may not know.
    pub age: Option<Duration>,
    /// It has written one of the relations that were asked about.
    pub writes: bool,
    /// A statement that ends it.
    pub remedy: String,
}

/// How many connections there may be, and how many there are besides relays'.
#[derive(Clone, Debug)]
pub struct Connections {
    /// `max_connections`.
    pub most: i32,
    /// This role may have those that are reserved, too.
    pub is_superuser: bool,
    pub reserved: i32,
    pub others: i64,
    /// `None`: without a limit of its own. So below.
    pub most_of_role: Option<i32>,
    pub others_of_role: i64,
    pub most_of_database: Option<i32>,
    pub others_of_database: i64,
    /// Quoted: SQL text, as is the next.
    pub role: String,
    pub database: String,
}

/// What a session with the settings of the role says of its server. Not for a session that is pinned.
pub async fn server(client: &Client) -> Result<Server, PgError> {
    let row = client
        .query_typed_one(include_str!("../../../sql/doctor_server.sql"), &[])
        .await?;
    Ok(Server {
        version: row.try_get("version")?,
        role: row.try_get("role")?,
        database: row.try_get("database")?,
        is_superuser: row.try_get("is_superuser")?,
        fsync: row.try_get("fsync")?,
        max_prepared_transactions: row.try_get("max_prepared_transactions")?,
        has_synchronous_standby: row.try_get("has_synchronous_standby")?,
        standbys: row.try_get("standbys")?,
    })
}

/// Settings that lose rows or skip triggers. Not for a session that is pinned.
pub async fn settings(client: &Client) -> Result<Vec<Setting>, PgError> {
    let rows = client
        .query_typed(include_str!("../../../sql/doctor_settings.sql"), &[])
        .await?;
    let setting = |row: &Row| {
        Ok(Setting {
            whom: row.try_get("whom")?,
            name: row.try_get("name")?,
            value: row.try_get("value")?,
            remedy: row.try_get("remedy")?,
        })
    };
    rows.iter().map(setting).collect()
}

/// The transactions with an id, the oldest first. `followed` are oids of tables and journals.
pub async fn transactions(session: &Session, followed: &[u32]) -> Result<Vec<Transaction>, PgError> {
    let statement = include_str!("../../../sql/doctor_transactions.sql");
    let rows = session.read(statement, &[(&followed, Type::OID_ARRAY)]).await?;
    let transaction = |row: &Row| {
        let seconds: Option<f64> = row.try_get("age_seconds")?;
        Ok(Transaction {
            pid: row.try_get("pid")?,
            gid: row.try_get("gid")?,
            xid: row.try_get("xid")?,
            role: row.try_get("role")?,
            database: row.try_get("database")?,
            application: row.try_get("application")?,
            state: row.try_get("state")?,
            age: seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
            writes: row.try_get("writes")?,
            remedy: row.try_get("remedy")?,
        })
    };
    rows.iter().map(transaction).collect()
}

/// How full the queue of notifications is, from 0 to 1.
pub async fn queue_usage(session: &Session) -> Result<f64, PgError> {
    let rows = session
        .read(include_str!("../../../sql/doctor_queue.sql"), &[])
        .await?;
    Ok(rows.first().ok_or(PgError::NoAnswer)?.try_get("usage")?)
}

/// The server's clock, in seconds since 1970.
pub async fn clock(session: &Session) -> Result<f64, PgError> {
    let rows = session
        .read(include_str!("../../../sql/doctor_clock.sql"), &[])
        .await?;
    Ok(rows.first().ok_or(PgError::NoAnswer)?.try_get("now")?)
}

/// Connections, and their limits.
pub async fn connections(session: &Session) -> Result<Connections, PgError> {
    let rows = session
        .read(include_str!("../../../sql/doctor_connections.sql"), &[])
        .await?;
    let row = rows.first().ok_or(PgError::NoAnswer)?;
    Ok(Connections {
        most: row.try_get("most")?,
        is_superuser: row.try_get("is_superuser")?,
        reserved: row.try_get("reserved")?,
        others: row.try_get("others")?,
        most_of_role: row.try_get("most_of_role")?,
        others_of_role: row.try_get("others_of_role")?,
        most_of_database: row.try_get("most_of_database")?,
        others_of_database: row.try_get("others_of_database")?,
        role: row.try_get("role")?,
        database: row.try_get("database")?,
    })
}

/// The functions of triggers' conditions that not everybody may execute, each with the grant.
pub async fn functions(session: &Session) -> Result<Vec<(String, String)>, PgError> {
    let rows = session
        .read(include_str!("../../../sql/doctor_functions.sql"), &[])
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("remedy")?)))
        .collect()
}

/// The process that answers next on this connection, and a text that names the server and the database.
async fn backend(client: &Client) -> Result<(i32, String), PgError> {
    let row = client
        .query_typed_one(include_str!("../../../sql/doctor_backend.sql"), &[])
        .await?;
    Ok((row.try_get("pid")?, row.try_get("place")?))
}

/// A text that is the same for two addresses if they lead to the same database of the same server.
pub async fn whereabouts(database: &Database) -> Result<String, PgError> {
    Ok(backend(&*database.session("doctor").await?).await?.1)
}

/// Whether sessions get another process of the server for each transaction: a pooler in transaction mode. One connection
/// asks and is at rest, another one begins a transaction: where both have a process of their own, neither sees the other's.
pub async fn shares_processes(database: &Database) -> Result<bool, PgError> {
    let (one, other) = (
        database.session("doctor").await?,
        database.session("doctor").await?,
    );
    let (first, _) = backend(&one).await?;
    other.batch_execute("begin").await?;
    let (second, _) = backend(&other).await?;
    // In a pool of one connection nobody else would be answered before the transaction is over.
    let shared = first == second || backend(&one).await?.0 != first;
    other.batch_execute("rollback").await?;
    Ok(shared)
}
