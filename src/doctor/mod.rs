//! `rowcast doctor`: what would go wrong between a relay and this database, before it does.
//!
//! It connects as the relay would, to the same addresses and under the same settings, asks for facts
//! ([`crate::pg::examine`]) and judges them: [`connection`], [`server`], [`sessions`], [`sources`], [`plans`]. It changes nothing; the one thing that it
//! sends is a notification with a nonce of its own, which relays pass over.
//!
//! Each check has a time of its own and ends in findings, also where it fails, so that none keeps the next from being made.

mod connection;
mod finding;
mod plans;
mod server;
mod sessions;
mod sources;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::pg::source::Listed;
use crate::pg::{Database, PgError, PoolOptions, Session};

pub use finding::{Finding, Report, Severity, Summary};

/// The time of one check. More than a read waits for a lock (5 s), so that mostly PostgreSQL says what is in the way.
const CHECK_WITHIN: Duration = Duration::from_secs(8);

/// What is to be examined: the options of the relay that matter to its database.
#[derive(Clone, Debug)]
pub struct Options {
    pub database_url: String,
    /// For LISTEN, where it is another one.
    pub listen_database_url: Option<String>,
    /// The relay's `--pool-size`.
    pub pool_size: usize,
    /// Clients may insert.
    pub allow_publish: bool,
    /// The relay's `--authorize-sql`.
    pub authorize_sql: Option<String>,
    /// A transaction that is open for longer is worth a word.
    pub long_transaction: Duration,
}

/// Why nothing could be examined. One line that names the option.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error("--database-url (DATABASE_URL): {0}")]
    DatabaseUrl(#[source] PgError),
    #[error("--listen-database-url (ROWCAST_LISTEN_DATABASE_URL): {0}")]
    ListenDatabaseUrl(#[source] PgError),
}

/// Examines a database, and says through `progress` what it is about to look at. That nobody answers there is a finding, too.
///
/// # Errors
///
/// A URL that is malformed, or names files that are no good.
pub async fn examine(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report, DoctorError> {
    let listen = match &options.listen_database_url {
        None => None,
        Some(url) => Some(Database::unconnected(url).map_err(DoctorError::ListenDatabaseUrl)?),
    };
    progress("the connection");
    let database = match Database::connect(&options.database_url, &PoolOptions::default()).await {
        Ok(database) => database,
        Err(error @ (PgError::MalformedUrl { .. } | PgError::TlsSetting(_))) => {
            return Err(DoctorError::DatabaseUrl(error));
        }
        Err(error) => {
            return Ok(Report {
                findings: vec![connection::unreachable("--database-url", &error)],
            });
        }
    };
    let mut examination = Examination {
        options,
        database,
        session: None,
        role: String::new(),
        findings: Vec::new(),
        progress,
    };
    examination.all(listen).await;
    Ok(Report {
        findings: examination.findings,
    })
}

/// An examination under way.
struct Examination<'a> {
    options: &'a Options,
    database: Database,
    /// As a relay's, from one check to the next; `None`: the next one opens another.
    session: Option<Session>,
    /// The role that asks, quoted: SQL text. Empty until it is known.
    role: String,
    findings: Vec<Finding>,
    progress: &'a mut dyn FnMut(&str),
}

impl Examination<'_> {
    async fn all(&mut self, listen: Option<Database>) {
        self.server().await;
        let is_pooled = self.connections(listen).await;
        let listed = match self.schema().await {
            true => self.registry().await,
            false => Vec::new(),
        };
        self.settings(&listed).await;
        self.transactions(&listed).await;
        self.budget(&listed, is_pooled).await;
        for listed in listed {
            self.source(listed).await;
        }
    }

    /// Makes one check with the session of this examination, and notes what it finds, or that it failed. `source` is what it
    /// is about.
    ///
    /// Returns whether it came to its end.
    async fn check(
        &mut self,
        what: &str,
        source: Option<&str>,
        check: impl AsyncFnOnce(&Session) -> Result<Vec<Finding>, PgError>,
    ) -> bool {
        (self.progress)(what);
        let kept = self.session.take().filter(|session| !session.is_closed());
        let database = self.database.clone();
        let made = timeout(CHECK_WITHIN, async {
            let session = match kept {
                Some(session) => session,
                None => database.session("doctor").await?,
            };
            let found = check(&session).await;
            Ok::<_, PgError>((session, found))
        });
        let found = match made.await {
            // Its session, which may still be at it, is closed.
            Err(_) => Err(PgError::TimedOut { waited: CHECK_WITHIN }),
            Ok(Err(error)) => Err(error),
            Ok(Ok((session, found))) => {
                self.session = Some(session);
                found
            }
        };
        self.note(what, source, found)
    }

    /// Notes what a check found, or that it failed; returns whether it came to its end.
    fn note(&mut self, what: &str, source: Option<&str>, found: Result<Vec<Finding>, PgError>) -> bool {
        let is_done = found.is_ok();
        let found = found.unwrap_or_else(|error| vec![failure(what, &error)]);
        self.findings
            .extend(found.into_iter().map(|finding| match source {
                Some(source) => finding.of(source),
                None => finding,
            }));
        is_done
    }
}

/// A check that failed.
fn failure(what: &str, error: &PgError) -> Finding {
    if error.sqlstate() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return Finding::error("locked", format!("{what} can't be looked at: others hold a lock on it"))
            .why(
                "A relay waits as long as this did for each of its reads, and delivers nothing meanwhile. It goes on by itself \
                 once that lock is gone. These sessions wait, or hold it",
            )
            .remedy(
                "select pid, pg_blocking_pids(pid), state, left(query, 60) from pg_stat_activity where datname = \
                 current_database();",
            );
    }
    Finding::warning("check_failed", format!("{what} could not be looked at: {error}"))
        .why("What would have been found there is not known.")
}

/// A length of time in words, as people say it: `45 s`, `12 min`, `3 h 5 min`, `2 days`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The sources that can be followed.
fn followed(listed: &[Listed]) -> impl Iterator<Item = &crate::pg::source::Source> {
    listed.iter().filter_map(|listed| listed.source.as_ref().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_the_unit_that_people_would_use() {
        for (seconds, words) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (11_100, "3 h 5 min"),
            (259_200, "3 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
