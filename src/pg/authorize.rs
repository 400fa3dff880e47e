//! Authorisation in SQL: the operator's statement says whether a room may be read with some claims.
//!
//! `$1` is the room in its column's own type (`text` where a journal renders it), `$2` the claims as `jsonb`; one row with one
//! boolean answers, and no row or null is no. It runs with the settings of the role (its `search_path`), in a read-only
//! transaction that is rolled back, and all rooms that are asked for together have two seconds. What fails admits nobody.
//!
//! Flow: [`Authorizer::may_read`] → what is known or asked for already ([`answers`]) → the rest in one transaction ([`ask`]).

mod answers;
mod ask;
mod check;
mod pipeline;
mod words;

pub use ask::BATCH;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::reauthorize::{Calls, RoomHash};
use super::source::Source;
use super::{AUTHORIZE_POOL_SIZE, Database, PgError};
use crate::room::Room;

use answers::{Answers, Asking, Known, Outcome, Question};
use ask::Answered;

/// Why nobody knows whether a room may be read. Each is one line for the log, never for a client, without a value of a claim.
/// Cheap to clone: those who asked the same share it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// PostgreSQL does not take the statement: its syntax, a type, a name, a privilege.
    #[error(
        "--authorize-sql (ROWCAST_AUTHORIZE_SQL) does not work for source {name}, whose rooms are of type {room_type}: {cause}"
    )]
    Refused {
        name: String,
        room_type: &'static str,
        cause: Arc<PgError>,
    },
    /// It gives something else than one boolean column.
    #[error(
        "--authorize-sql (ROWCAST_AUTHORIZE_SQL) gives {found} instead of one boolean column: \
         write select exists (select from … where …)"
    )]
    Columns { found: String },
    /// It has other parameters than the two that there are.
    #[error(
        "--authorize-sql (ROWCAST_AUTHORIZE_SQL) has {found} parameters: there are $1, the room, and $2, the claims (jsonb)"
    )]
    Parameters { found: usize },
    /// It gave several rows, so that nobody can tell which one is meant.
    #[error(
        "--authorize-sql (ROWCAST_AUTHORIZE_SQL) gave {found} rows for a room: write select exists (select from … where …)"
    )]
    Rows { found: usize },
    /// Rooms that were asked for before it in the same transaction have used up the two seconds.
    #[error(
        "--authorize-sql (ROWCAST_AUTHORIZE_SQL) took more than two seconds for the rooms of one request"
    )]
    TimeIsOver,
    /// The database is away, the statement raised an error (it tried to write, its two seconds were over), or the claims are
    /// none that `jsonb` takes.
    #[error("--authorize-sql (ROWCAST_AUTHORIZE_SQL): {}", words::without_data(.0))]
    Failed(Arc<PgError>),
}

impl From<PgError> for AuthorizeError {
    fn from(error: PgError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl From<tokio_postgres::Error> for AuthorizeError {
    fn from(error: tokio_postgres::Error) -> Self {
        PgError::from(error).into()
    }
}

impl AuthorizeError {
    /// Whether the statement itself does not fit, so that asking again is of no use until it, or the database's schema, is
    /// another one. Otherwise the database may answer the next time.
    pub fn is_misfit(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::TimeIsOver)
    }

    /// Whether the database may answer the same question the next time: it was away, or busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Failed(cause) => ask::is_passing(cause),
            Self::TimeIsOver => true,
            _ => false,
        }
    }
}

/// A question: may this room be read with these claims (JSON text)?
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub room: &'a Room,
    pub claims: &'a str,
}

/// How far a list of questions was answered.
#[derive(Debug)]
pub struct Progress {
    /// In their order, up to the first that failed or was not put.
    pub answers: Vec<bool>,
    /// Why the question behind them failed. Only that one: the others behind it are still to be asked.
    pub failed: Option<AuthorizeError>,
}

/// The operator's statement, and what it answered of late. One for a process, shared by all who ask.
#[derive(Debug)]
pub struct Authorizer {
    database: Database,
    statement: String,
    answers: Answers,
    /// Of the sessions, those that newcomers may take.
    newcomers: Semaphore,
}

/// One session less than there are: however many come, whoever is asked about again does not wait for them.
const OF_NEWCOMERS: usize = AUTHORIZE_POOL_SIZE - 1;

/// How long a newcomer waits for one of them.
const NEWCOMER_WAITS: Duration = Duration::from_secs(5);

impl Authorizer {
    /// Asks nothing yet; see [`Authorizer::check_statement`].
    pub fn new(database: Database, statement: String) -> Self {
        Self {
            database,
            statement,
            answers: Answers::default(),
            newcomers: Semaphore::new(OF_NEWCOMERS),
        }
    }

    /// Whether the statement fits the rooms of this source and this role may run it. It is planned, not run: that it writes or
    /// raises an error shows only when it is asked. To be called for each source that is attached and whenever its definition
    /// changes; a misfit is what breaks that source, in words for `/health/ready`.
    ///
    /// # Errors
    /// See [`AuthorizeError::is_misfit`] for what is the statement's fault.
    pub async fn check_statement(&self, source: &Source) -> Result<(), AuthorizeError> {
        check::check(&self.database, &self.statement, source).await
    }

    /// Which of these rooms of a source may be read with these claims (JSON text), in their order. No answer is older than two
    /// seconds. [`Room::all`] never may: the statement is asked about rooms.
    ///
    /// Whoever starts to read must be registered for [`Calls`] *before* this is called: a change that is committed after
    /// the answer was found is heard by those who are registered only.
    ///
    /// # Errors
    /// No answer was had, for at least one of the rooms; nobody may be admitted then. May be dropped half-way.
    pub async fn may_read(
        &self,
        source: &Source,
        rooms: &[Room],
        claims: &str,
    ) -> Result<Vec<bool>, AuthorizeError> {
        let questions = questions(source, rooms, claims);
        let mut may_read: Vec<Option<bool>> =
            rooms.iter().map(|room| room.is_all().then_some(false)).collect();
        // Once, unless those who were asking give up.
        while may_read.contains(&None) {
            let mut ours = Vec::new();
            let mut theirs = Vec::new();
            for at in 0..rooms.len() {
                if may_read[at].is_some() {
                    continue;
                }
                match self.answers.look(&questions[at]) {
                    Known::Answer(answer) => may_read[at] = Some(answer),
                    Known::Asked(outcome) => theirs.push((at, outcome)),
                    Known::Unknown(asking) => ours.push((at, asking)),
                }
            }
            for (at, answer) in self.ask(source, rooms, claims, ours).await? {
                may_read[at] = Some(answer);
            }
            for (at, outcome) in theirs {
                may_read[at] = told(outcome).await?;
            }
        }
        Ok(may_read.into_iter().flatten().collect())
    }

    /// Asks the database at this moment, in one transaction, as many of the questions as go into one: it takes no answer, nor
    /// joins a question, of anybody else's. A question that fails does so alone: ask on with those behind it.
    ///
    /// # Errors
    /// None of them was put: the database is away, or all sessions are in use.
    pub async fn ask_again(
        &self,
        source: &Source,
        questions: &[Asked<'_>],
    ) -> Result<Progress, AuthorizeError> {
        // The statement is asked about rooms: nobody may read all of them.
        let single = questions.iter().take_while(|asked| !asked.room.is_all()).count();
        let questions = &questions[..single.min(BATCH)];
        if questions.is_empty() {
            return Ok(Progress {
                answers: vec![false],
                failed: None,
            });
        }
        let Answered { answers, failed, .. } =
            ask::ask(&self.database, &self.statement, source, questions).await?;
        Ok(Progress { answers, failed })
    }

    /// Forgets what `calls` concern: the next question is put to the database, also where the same one is under way.
    pub fn forget(&self, calls: &Calls) {
        self.answers.forget(calls);
    }

    /// Puts what nobody else asks to the database, and tells those who wait for it. Where one fails, those behind it are left
    /// to whoever waits for them.
    async fn ask(
        &self,
        source: &Source,
        rooms: &[Room],
        claims: &str,
        mut ours: Vec<(usize, Asking<'_>)>,
    ) -> Result<Vec<(usize, bool)>, AuthorizeError> {
        let mut may_read = Vec::with_capacity(ours.len());
        while !ours.is_empty() {
            let questions: Vec<_> = ours
                .iter()
                .take(BATCH)
                .map(|(at, _)| Asked {
                    room: &rooms[*at],
                    claims,
                })
                .collect();
            let asked = self.ask_of_newcomer(source, &questions).await;
            let Answered {
                began,
                answers,
                failed,
            } = match asked {
                Ok(answered) => answered,
                Err(error) => {
                    for (_, asking) in ours {
                        asking.tell(Err(error.clone()), tokio::time::Instant::now());
                    }
                    return Err(error);
                }
            };
            let mut rest = ours.split_off(answers.len()).into_iter();
            for ((at, asking), answer) in ours.into_iter().zip(answers) {
                asking.tell(Ok(answer), began);
                may_read.push((at, answer));
            }
            if let Some(error) = failed {
                if let Some((_, asking)) = rest.next() {
                    asking.tell(Err(error.clone()), began);
                }
                return Err(error);
            }
            ours = rest.collect();
        }
        Ok(may_read)
    }

    async fn ask_of_newcomer(
        &self,
        source: &Source,
        questions: &[Asked<'_>],
    ) -> Result<Answered, AuthorizeError> {
        let turn = timeout(NEWCOMER_WAITS, self.newcomers.acquire()).await;
        let _turn = turn.map_err(|_| PgError::PoolTimeout {
            target: self.database.server().to_owned(),
            waited: NEWCOMER_WAITS,
        })?;
        ask::ask(&self.database, &self.statement, source, questions).await
    }
}

fn questions(source: &Source, rooms: &[Room], claims: &str) -> Vec<Question> {
    let name: Arc<str> = source.name.as_str().into();
    let claims = Sha256::digest(claims).into();
    rooms
        .iter()
        .map(|room| Question {
            source: name.clone(),
            revision: source.revision,
            room: RoomHash::of(room),
            claims,
        })
        .collect()
}

/// What those who ask are answered; `None` if they gave up.
async fn told(mut outcome: watch::Receiver<Outcome>) -> Result<Option<bool>, AuthorizeError> {
    match outcome.wait_for(Option::is_some).await {
        Ok(told) => told.clone().transpose(),
        Err(_) => Ok(None),
    }
}
