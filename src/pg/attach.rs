//! attach, detach and uninstall: the SQL functions of schema `rowcast`, tried again while the table is in use.
//!
//! Each try waits a second at most for its lock, because a waiting DDL makes every later insert wait behind it; between
//! tries the application goes on undisturbed.

use std::time::Duration;

use rand::Rng as _;
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::in_words;

/// The first pause after a lock that was not had; each next one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

pub(super) const UNINSTALL: &str = include_str!("../../sql/uninstall.sql");

/// A table to attach; `None` leaves the choice to `rowcast.attach`, as its parameters' defaults do.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Written as in SQL: `public.messages`, `"Odd"."My Table"`.
    pub table: String,
    /// Column names stand literally, here and below; with a journal the room may be an expression over one column.
    pub room: String,
    pub id: Option<String>,
    pub columns: Option<Vec<String>>,
    pub source: Option<String>,
    pub never_ring: Option<bool>,
    /// Of `insert`, `update`, `delete`; any but `{insert}` asks for a journal.
    pub changes: Option<Vec<String>>,
    /// `Some(true)`: a journal for inserts alone, too.
    pub journal: Option<bool>,
    /// How much of the journal is kept, an interval or a number: `7d`, `100000 rows`.
    pub keep: Option<String>,
    /// The triggers fire for replicated changes, too.
    pub always: Option<bool>,
    /// Transition tables instead of a row trigger.
    pub per_statement: Option<bool>,
    /// A timestamp that says when a row was written, for the histogram of latency.
    pub time: Option<String>,
}

impl Attachment {
    /// The table and its room; all else is left to `rowcast.attach`.
    pub fn new(table: impl Into<String>, room: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            room: room.into(),
            id: None,
            columns: None,
            source: None,
            never_ring: None,
            changes: None,
            journal: None,
            keep: None,
            always: None,
            per_statement: None,
            time: None,
        }
    }
}

/// What attach did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Attached {
    pub source: String,
    pub state: AttachState,
    /// What was done, a line each; empty if all stood already.
    pub changes: Vec<String>,
    /// What works but will hurt, each with its remedy.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachState {
    Attached,
    Changed,
    Unchanged,
}

/// Why a table was not attached or detached. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Refused, with the remedy; or any other error of the server.
    #[error("{}", in_words(.0))]
    Refused(#[source] tokio_postgres::Error),
    /// The table was in use during every try; the last one's error names the sessions.
    #[error("gave up after {} tries: {}", .tries, in_words(.last))]
    Blocked {
        tries: u32,
        #[source]
        last: tokio_postgres::Error,
    },
    /// The functions in the database are not those of this program.
    #[error("rowcast.attach_report answered something unexpected")]
    Answer(#[source] serde_json::Error),
}

/// Attaches a table, trying for `patience` to lock it.
pub async fn attach(
    client: &Client,
    attachment: &Attachment,
    patience: Duration,
) -> Result<Attached, AttachError> {
    let row = persist(
        client,
        include_str!("../../sql/attach.sql"),
        &[
            (&attachment.table, Type::TEXT),
            (&attachment.room, Type::TEXT),
            (&attachment.id, Type::TEXT),
            (&attachment.columns, Type::TEXT_ARRAY),
            (&attachment.source, Type::TEXT),
            (&attachment.never_ring, Type::BOOL),
            (&attachment.changes, Type::TEXT_ARRAY),
            (&attachment.journal, Type::BOOL),
            (&attachment.keep, Type::TEXT),
            (&attachment.always, Type::BOOL),
            (&attachment.per_statement, Type::BOOL),
            (&attachment.time, Type::TEXT),
        ],
        patience,
    )
    .await?;
    let report: Value = row.and_then(|row| row.try_get("report").ok()).unwrap_or_default();
    serde_json::from_value(report).map_err(AttachError::Answer)
}

/// Detaches a source, also one whose table or triggers are gone.
pub async fn detach(client: &Client, source: &str, patience: Duration) -> Result<(), AttachError> {
    let sql = include_str!("../../sql/detach.sql");
    persist(client, sql, &[(&source, Type::TEXT)], patience).await?;
    Ok(())
}

/// Detaches every table and drops schema `rowcast`.
pub async fn uninstall(client: &Client, patience: Duration) -> Result<(), AttachError> {
    persist(client, UNINSTALL, &[], patience).await?;
    Ok(())
}

/// Runs a statement until it gets its locks. Pauses grow and are jittered, so that two who block each other part.
async fn persist(
    client: &Client,
    sql: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
    patience: Duration,
) -> Result<Option<Row>, AttachError> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        let error = match client.query_typed(sql, params).await {
            Ok(rows) => return Ok(rows.into_iter().next()),
            Err(error) => error,
        };
        if !is_blocked(&error) {
            return Err(AttachError::Refused(error));
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        if Instant::now() + jittered >= deadline {
            return Err(AttachError::Blocked { tries, last: error });
        }
        tracing::warn!(tries, pause = ?jittered, "{}", in_words(&error));
        tokio::time::sleep(jittered).await;
        pause = LONGEST_PAUSE.min(pause * 2);
        tries += 1;
    }
}

/// Would the same statement succeed once others have finished?
fn is_blocked(error: &tokio_postgres::Error) -> bool {
    [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ]
    .iter()
    .any(|state| error.code() == Some(state))
}
