//! One connection to PostgreSQL, and the settings that every read of a tail or a replay must run under.
//!
//! A session is **pinned** where PostgreSQL took the settings at its start (`options=-c …`): then a read is one
//! prepared statement alone in its transaction. A pooler may refuse start-up options or drop them: then each read
//! carries the settings along, as `begin; set local …; read; commit`, sent at once and answered in one round trip.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::PgError;

/// How long one statement may run, in milliseconds, before PostgreSQL ends it. A tail's read takes a few; this is for
/// a plan gone wrong.
const STATEMENT_TIMEOUT_MS: u64 = 30_000;

/// How long a read waits for a lock, in milliseconds: DDL on the host's table (an ALTER that rewrites it) must not
/// queue our reads up behind it for longer.
const LOCK_TIMEOUT_MS: u64 = 5_000;

/// The reader's own limit beyond the server's: a stopped server never answers, not even that the time is up.
const ANSWER_WITHIN: Duration = Duration::from_millis(STATEMENT_TIMEOUT_MS + 5_000);

/// What a read depends on, whatever the host's `postgresql.conf`, database or role say. See ARCHITECTURE.md:
/// serializable makes the host's own inserts fail, repeatable read misses rows, row security hides rows silently.
///
/// The reads are short walks along an index, whatever the planner knows (or does not know yet) of the table: it must not
/// answer a small or fresh table with a scan that it keeps once the table has grown, nor compile.
pub(super) fn pinned_settings() -> [(&'static str, String); 16] {
    [
        ("default_transaction_isolation", "read committed".to_owned()),
        ("default_transaction_read_only", "off".to_owned()),
        ("default_transaction_deferrable", "off".to_owned()),
        ("row_security", "off".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("search_path", String::new()),
        ("lock_timeout", format!("{LOCK_TIMEOUT_MS}ms")),
        ("statement_timeout", format!("{STATEMENT_TIMEOUT_MS}ms")),
        ("TimeZone", "UTC".to_owned()),
        // A room's text must be the one that a journal's trigger has noted.
        ("DateStyle", "ISO, YMD".to_owned()),
        ("IntervalStyle", "postgres".to_owned()),
        ("extra_float_digits", "1".to_owned()),
        ("bytea_output", "hex".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("enable_bitmapscan", "off".to_owned()),
        ("jit", "off".to_owned()),
    ]
}

/// The settings as start-up `options`: `-c name=value`, a blank inside a value escaped by a backslash
/// (PostgreSQL's manual, libpq's `options`).
pub(super) fn startup_options(settings: &[(&str, String)]) -> String {
    let option = |(name, value): &(&str, String)| format!("-c {name}={}", value.replace(' ', "\\ "));
    settings.iter().map(option).collect::<Vec<_>>().join(" ")
}

/// What opens the transaction of a read on a session that is not pinned.
fn begin_pinned(settings: &[(&str, String)]) -> String {
    let mut sql = "begin isolation level read committed, read write".to_owned();
    for (name, value) in settings
        .iter()
        .filter(|(name, _)| !name.starts_with("default_transaction"))
    {
        sql.push_str(&format!("; set local {name} = '{value}'"));
    }
    sql
}

/// Where a session's connection goes when it is dropped.
#[derive(Debug)]
enum Connection {
    /// Closed.
    Dedicated(ClientWrapper),
    /// Back to its pool; `None` only while being dropped.
    Pooled(Option<Object>),
}

/// A connection to the database. Dereferences to [`tokio_postgres::Client`] for everything that is not a read.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    pinned: bool,
    /// A statement was given up on: what this connection answers next may belong to that one.
    broken: AtomicBool,
}

impl Session {
    pub(super) fn dedicated(client: ClientWrapper, pinned: bool) -> Self {
        Self {
            connection: Connection::Dedicated(client),
            pinned,
            broken: AtomicBool::new(false),
        }
    }

    pub(super) fn pooled(object: Object, pinned: bool) -> Self {
        Self {
            connection: Connection::Pooled(Some(object)),
            pinned,
            broken: AtomicBool::new(false),
        }
    }

    /// With its cache of prepared statements.
    pub(super) fn client(&self) -> &ClientWrapper {
        match &self.connection {
            Connection::Dedicated(client) => client,
            Connection::Pooled(object) => object
                .as_ref()
                .expect("a pooled session has its object until its drop"),
        }
    }

    /// Whether the connection is to be closed instead of going back to its pool: set before a transaction whose end is not
    /// sent yet, so that nobody gets it should this one be dropped half-way.
    pub(super) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Whether the connection is known to be of no more use. A half-open one shows only when it is used.
    pub fn is_closed(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.client().is_closed()
    }

    /// Runs one statement alone in its transaction, under the pinned settings, and returns its rows.
    ///
    /// Each parameter comes with its type. Result columns must be of PostgreSQL's built-in types: on a session that is
    /// not pinned there is no second statement to look others up with. May be dropped half-way: the transaction
    /// ends by itself. It may also write (`setval`, `pg_notify`): a statement whose plan went stale is run again,
    /// but only where PostgreSQL refused the first before it ran.
    ///
    /// # Errors
    ///
    /// PostgreSQL's own; [`PgError::TimedOut`] after 35 s without an answer, after which the session is closed.
    pub async fn read(&self, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, PgError> {
        let read = async {
            match self.pinned {
                true => self.read_prepared(sql, params).await,
                false => self.read_wrapped(sql, params).await,
            }
        };
        match tokio::time::timeout(ANSWER_WITHIN, read).await {
            Ok(answer) => answer.map_err(PgError::from),
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                Err(PgError::TimedOut {
                    waited: ANSWER_WITHIN,
                })
            }
        }
    }

    async fn read_prepared(
        &self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = self.client();
        let types: Vec<Type> = params.iter().map(|(_, of)| of.clone()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        let statement = client.prepare_typed_cached(sql, &types).await?;
        match client.query(&statement, &values).await {
            Err(error) if is_stale(&error) => {
                client.statement_cache.remove(sql, &types);
                let statement = client.prepare_typed_cached(sql, &types).await?;
                client.query(&statement, &values).await
            }
            answer => answer,
        }
    }

    /// All three go out before the first answer is awaited, so that the transaction ends even when this future is
    /// dropped, and a failed read turns the `commit` into a roll-back.
    async fn read_wrapped(
        &self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = self.client();
        let begin = begin_pinned(&pinned_settings());
        let (begun, rows, committed) = futures_util::future::join3(
            client.batch_execute(&begin),
            client.query_typed(sql, params),
            client.batch_execute("commit"),
        )
        .await;
        begun?;
        let rows = rows?;
        committed?;
        Ok(rows)
    }
}

/// PostgreSQL refused a prepared statement because the world changed under it (an ALTER TABLE; a DISCARD ALL).
/// It checks that before anything is executed.
pub(super) fn is_stale(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
            error.as_db_error().and_then(|db| db.routine()) == Some("RevalidateCachedQuery")
        }
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME) => true,
        _ => false,
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client()
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        match &mut self.connection {
            Connection::Dedicated(client) => client,
            Connection::Pooled(object) => object
                .as_mut()
                .expect("a pooled session has its object until its drop"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.broken.load(Ordering::Relaxed) {
            return;
        }
        if let Connection::Pooled(object) = &mut self.connection
            && let Some(object) = object.take()
        {
            // Out of the pool, and closed.
            drop(Object::take(object));
        }
    }
}
