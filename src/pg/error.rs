//! What can go wrong between Rowcast and PostgreSQL, each in one line that a person can act on.
//!
//! The line is whole: it names the server and quotes PostgreSQL's own message where there is one, and it never
//! contains the password. The cause is kept in the value ([`PgError::cause`]) rather than as `source()`, so that a
//! printer of error chains does not say everything twice.

use std::time::Duration;

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::tls::{self, TlsSettingError};

/// An error of the PostgreSQL side.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The URL can't be parsed, or lacks a part.
    #[error("the database URL is malformed: {reason}")]
    MalformedUrl { reason: String },
    /// What the URL says of TLS is no good, or a file that it names.
    #[error("the database URL: {0}")]
    TlsSetting(#[from] TlsSettingError),
    /// No TLS where it is asked for, or a certificate that is not trusted.
    #[error("TLS with PostgreSQL at {target} failed: {reason}")]
    Tls {
        target: String,
        reason: String,
        cause: tokio_postgres::Error,
    },
    /// Nothing answers at the address, or it does not answer in time.
    #[error("no PostgreSQL answers at {target}: {reason}")]
    Unreachable {
        target: String,
        reason: String,
        cause: Option<tokio_postgres::Error>,
    },
    /// Wrong or missing password, or no such role, or `pg_hba.conf` has no entry for it.
    #[error("PostgreSQL at {target} does not let the user {user:?} in: {reason}")]
    Rejected {
        target: String,
        user: String,
        reason: String,
        cause: tokio_postgres::Error,
    },
    /// The server has no database of this name.
    #[error("PostgreSQL at {target} has no database {database:?}")]
    NoDatabase {
        target: String,
        database: String,
        cause: tokio_postgres::Error,
    },
    /// The server is a standby, or read-only by default: Rowcast's exactness needs the primary.
    #[error("PostgreSQL at {target} is read-only (a standby?): Rowcast must be connected to the primary")]
    ReadOnly {
        target: String,
        cause: tokio_postgres::Error,
    },
    /// Connecting failed in another way.
    #[error("connecting to PostgreSQL at {target} failed: {reason}")]
    Connect {
        target: String,
        reason: String,
        cause: tokio_postgres::Error,
    },
    /// No connection of the pool became free in time.
    #[error(
        "no connection to PostgreSQL at {target} became free within {waited:?}: the pool is too small for the load"
    )]
    PoolTimeout { target: String, waited: Duration },
    /// The server answered nothing within the time that it would itself have ended the statement.
    #[error("PostgreSQL did not answer within {waited:?}")]
    TimedOut { waited: Duration },
    /// A statement that always has a row returned none.
    #[error("PostgreSQL answered without a row")]
    NoAnswer,
    /// A journal holds a letter for an operation that this version does not know.
    #[error("a journal has an entry of an unknown operation")]
    UnknownOperation,
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL refused a statement: {}", describe(.0))]
    Statement(tokio_postgres::Error),
    /// The connection broke while a statement was under way.
    #[error("the connection to PostgreSQL was lost: {}", describe(.0))]
    ConnectionLost(tokio_postgres::Error),
}

impl PgError {
    /// Whether the connection is of no more use, or there never was one: connect again, after a pause.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::ConnectionLost(_) => true,
            Self::Rejected { .. } | Self::NoDatabase { .. } | Self::ReadOnly { .. } => true,
            Self::MalformedUrl { .. }
            | Self::TlsSetting(_)
            | Self::NoAnswer
            | Self::UnknownOperation
            | Self::PoolTimeout { .. }
            | Self::Statement(_) => false,
        }
    }

    /// PostgreSQL's error code, where PostgreSQL itself answered.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.cause()?.code()
    }

    /// PostgreSQL's answer in full (message, detail, hint, constraint…), where there is one. For the log, never for a client.
    pub fn db_error(&self) -> Option<&DbError> {
        self.cause()?.as_db_error()
    }

    /// The driver's error underneath.
    pub fn cause(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Unreachable { cause, .. } => cause.as_ref(),
            Self::Rejected { cause, .. }
            | Self::NoDatabase { cause, .. }
            | Self::ReadOnly { cause, .. }
            | Self::Connect { cause, .. }
            | Self::Tls { cause, .. }
            | Self::Statement(cause)
            | Self::ConnectionLost(cause) => Some(cause),
            Self::MalformedUrl { .. }
            | Self::TlsSetting(_)
            | Self::NoAnswer
            | Self::UnknownOperation
            | Self::PoolTimeout { .. }
            | Self::TimedOut { .. } => None,
        }
    }
}

/// Of a statement on an open connection.
impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        if breaks_connection(&error) {
            Self::ConnectionLost(error)
        } else {
            Self::Statement(error)
        }
    }
}

/// Whether the driver's error ended its connection: the socket broke, or PostgreSQL ended the session (which it says
/// with severity FATAL or PANIC).
fn breaks_connection(error: &tokio_postgres::Error) -> bool {
    if let Some(db) = error.as_db_error() {
        return matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
            || db.code().code().starts_with("08");
    }
    error.is_closed() || io_error(error).is_some()
}

fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The driver's error on one line: PostgreSQL's own words where it spoke, else the chain of causes.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let mut line = format!("{} ({})", db.message(), db.code().code());
        for more in [db.detail(), db.hint()].into_iter().flatten() {
            line.push_str("; ");
            line.push_str(more);
        }
        return line.replace('\n', " ");
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}").replace('\n', " "),
        None => error.to_string(),
    }
}

/// For a person at a command: the server's own message with its detail and hint, else the whole chain of causes.
/// (For logs [`describe`] has the SQLSTATE, too.)
pub fn in_words(error: &tokio_postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !words.ends_with(&text) {
                words = format!("{words}: {text}");
            }
            cause = inner.source();
        }
        return words;
    };
    let mut words = server.message().to_owned();
    for more in [server.detail(), server.hint()].into_iter().flatten() {
        words = format!("{words}. {more}");
    }
    words
}

/// Where and as whom a session was opened, in words without secrets.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `host:port`, or a socket's path; several joined by commas.
    pub server: String,
    /// `None`: the name of the operating system's user, which the driver finds out.
    pub user: Option<String>,
    /// `None`: the same as the user.
    pub database: Option<String>,
}

impl Target {
    /// Sorts what went wrong while a session was opened.
    pub(super) fn connect_error(&self, cause: tokio_postgres::Error) -> PgError {
        let target = self.server.clone();
        let user = self.user.clone().unwrap_or_else(|| "of this process".to_owned());
        let reason = describe(&cause);
        if let Some(reason) = tls::failure(&cause) {
            return PgError::Tls {
                target,
                reason,
                cause,
            };
        }
        if let Some(io) = io_error(&cause) {
            // tokio-postgres reports `target_session_attrs=read-write` this way.
            if io.kind() == std::io::ErrorKind::PermissionDenied && io.raw_os_error().is_none() {
                return PgError::ReadOnly { target, cause };
            }
            return PgError::Unreachable {
                target,
                reason: io.to_string(),
                cause: Some(cause),
            };
        }
        match cause.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                PgError::Rejected {
                    target,
                    user,
                    reason,
                    cause,
                }
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => {
                let database = self.database.clone().unwrap_or(user);
                PgError::NoDatabase {
                    target,
                    database,
                    cause,
                }
            }
            None if reason.contains("password missing") => {
                let reason = "it asks for a password, and the database URL has none".to_owned();
                PgError::Rejected {
                    target,
                    user,
                    reason,
                    cause,
                }
            }
            _ => PgError::Connect {
                target,
                reason,
                cause,
            },
        }
    }

    /// The same for what the pool answers. `waited` is the pool's limit for a free connection.
    pub(super) fn pool_error(&self, error: PoolError, waited: Duration) -> PgError {
        match error {
            PoolError::Backend(cause) => self.connect_error(cause),
            PoolError::Timeout(TimeoutType::Wait) => PgError::PoolTimeout {
                target: self.server.clone(),
                waited,
            },
            other => self.unanswered(other.to_string()),
        }
    }

    /// The server took the connection and then said nothing.
    pub(super) fn unanswered(&self, reason: String) -> PgError {
        PgError::Unreachable {
            target: self.server.clone(),
            reason,
            cause: None,
        }
    }
}
