//! Authorisation in SQL: the operator's statement says whether a room may be read with some claims.
//!
//! `$1` is the room in its column's own type (`text` where a journal renders it), `$2` the claims as `jsonb`; one row with one
//! boolean answers, and no row or null is no. It runs with the settings of the role (its `search_path`), in a read-only
//! transaction that is rolled back, and all rooms that are asked for together have two seconds. What fails admits nobody.
//!
//! Flow: [`Authorizer::may_read`] → what is known or asked for already ([`answers`]) → the rest in one transaction ([`ask`]).

mod answers;
mod ask;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::reauthorize::{Reauthorize, RoomHash};
use super::source::Source;
use super::{Database, PgError};
use crate::room::Room;

use answers::{Answers, Asking, Known, Outcome, Question};

/// Why nobody knows whether a room may be read. Each is one line; what PostgreSQL said is for the log, never for a client.
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
    /// The database is away, the statement raised an error (it tried to write, its two seconds were over), or the claims are
    /// none that `jsonb` takes.
    #[error("--authorize-sql (ROWCAST_AUTHORIZE_SQL): {0}")]
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
        !matches!(self, Self::Failed(_))
    }

    /// Whether the database may answer the same question the next time: it was away, or busy.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Failed(cause) if ask::is_passing(cause))
    }
}

/// The operator's statement, and what it answered of late. One for a process, shared by all who ask.
#[derive(Debug)]
pub struct Authorizer {
    database: Database,
    statement: String,
    answers: Answers,
}

impl Authorizer {
    /// Asks nothing yet; see [`Authorizer::check_statement`].
    pub fn new(database: Database, statement: String) -> Self {
        Self {
            database,
            statement,
            answers: Answers::default(),
        }
    }

    /// Whether the statement fits the rooms of this source and this role may run it. It is planned, not run: that it writes or
    /// raises an error shows only when it is asked. To be called for each source that is attached and whenever its definition
    /// changes; a misfit is what breaks that source, in words for `/health/ready`.
    ///
    /// # Errors
    /// See [`AuthorizeError::is_misfit`] for what is the statement's fault.
    pub async fn check_statement(&self, source: &Source) -> Result<(), AuthorizeError> {
        ask::check(&self.database, &self.statement, source).await
    }

    /// Which of these rooms of a source may be read with these claims (JSON text), in their order. No answer is older than two
    /// seconds. [`Room::all`] never may: the statement is asked about rooms.
    ///
    /// Whoever starts to read must be registered for [`Reauthorize`] *before* this is called: a change that is committed after
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

    /// The same, of the database at this moment: it takes no answer, nor joins a question, of anybody else's. For those who are
    /// asked about again: a question with other rooms that fails must not keep theirs from an answer.
    ///
    /// # Errors
    /// As [`Authorizer::may_read`].
    pub async fn may_still_read(
        &self,
        source: &Source,
        rooms: &[Room],
        claims: &str,
    ) -> Result<bool, AuthorizeError> {
        if rooms.iter().any(Room::is_all) {
            return Ok(false);
        }
        let rooms: Vec<&Room> = rooms.iter().collect();
        let answered = ask::ask(&self.database, &self.statement, source, &rooms, claims).await?;
        Ok(answered.answers.iter().all(|may| *may))
    }

    /// Forgets what `whom` concerns: the next question is put to the database, also where the same one is under way.
    pub fn forget(&self, whom: &Reauthorize) {
        self.answers.forget(whom);
    }

    /// Puts what nobody else asks to the database, and tells those who wait for it.
    async fn ask(
        &self,
        source: &Source,
        rooms: &[Room],
        claims: &str,
        ours: Vec<(usize, Asking<'_>)>,
    ) -> Result<Vec<(usize, bool)>, AuthorizeError> {
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<&Room> = ours.iter().map(|(at, _)| &rooms[*at]).collect();
        match ask::ask(&self.database, &self.statement, source, &asked, claims).await {
            Ok(answered) => {
                let answers = ours.into_iter().zip(answered.answers);
                Ok(answers
                    .map(|((at, asking), answer)| {
                        asking.tell(Ok(answer), answered.began);
                        (at, answer)
                    })
                    .collect())
            }
            Err(error) => {
                for (_, asking) in ours {
                    asking.tell(Err(error.clone()), tokio::time::Instant::now());
                }
                Err(error)
            }
        }
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
