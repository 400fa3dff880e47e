//! Putting the operator's statement to PostgreSQL: one read-only transaction, and all rooms in one round trip.
//!
//! `begin`, the rooms and `rollback` go out one after the other before an answer is awaited. The order is what keeps the
//! statement from ever running outside of the transaction. On a session of a pooler in transaction mode nothing is prepared.
//!
//! A question that fails ends the transaction for those behind it, which then have no answer. Those before it have theirs.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Statement};

use super::pipeline::Pipeline;
use super::{Asked, AuthorizeError};
use crate::pg::secret::Unlogged;
use crate::pg::session::is_stale;
use crate::pg::source::Source;
use crate::pg::{Database, PgError, Session};
use crate::room::RoomType;

pub(super) const BEGIN: &str = include_str!("../../../sql/authorize_begin.sql");
const TIME_LEFT: &str = include_str!("../../../sql/authorize_time_left.sql");

/// The reader's own limit beyond the two seconds of the transaction: a stopped server never answers.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Questions of one transaction at most: as many as a subscription may have rooms. A statement of 10 ms takes a second for
/// them, so that the two seconds are not over merely because there are many.
pub const BATCH: usize = 100;

/// What came of one transaction.
pub(super) struct Answered {
    /// Before the transaction began: what was committed earlier is in the answers.
    pub began: Instant,
    /// In the order of the questions, up to the first that failed.
    pub answers: Vec<bool>,
    /// Why the question behind them failed. Those behind that one have no answer.
    pub failed: Option<AuthorizeError>,
}

/// What PostgreSQL replied to one request.
type Reply = Result<Vec<Row>, PgError>;

/// Puts the statement for each of the questions, of which there are [`BATCH`] at most.
///
/// # Errors
/// None of them was put: there was no session, or no transaction.
pub(super) async fn ask(
    database: &Database,
    statement: &str,
    source: &Source,
    questions: &[Asked<'_>],
) -> Result<Answered, AuthorizeError> {
    let session = database.authorize_session().await?;
    let types = [parameter_type(source.room_type), Type::JSONB];
    let began = Instant::now();
    let transaction = Transaction {
        session: &session,
        is_prepared: database.is_pinned(),
        statement,
        types: &types,
        questions,
        until: began + ANSWER_WITHIN,
    };
    session.set_broken(true);
    let replies = transaction.run().await?;
    let is_over = !replies
        .iter()
        .any(|reply| matches!(reply, Err(PgError::TimedOut { .. })));
    session.set_broken(!is_over);
    answered(began, questions.len(), replies)
}

/// What a transaction is made of.
struct Transaction<'a> {
    session: &'a Session,
    /// The session stays on one server connection, which can keep the statement prepared.
    is_prepared: bool,
    statement: &'a str,
    types: &'a [Type; 2],
    questions: &'a [Asked<'a>],
    /// Nobody waits longer for it.
    until: Instant,
}

impl Transaction<'_> {
    /// The replies to `begin`, a room, the time left, a room, …, `rollback`; or fewer, the last of them an error. The
    /// transaction is over then, unless a reply is [`PgError::TimedOut`].
    ///
    /// # Errors
    /// PostgreSQL did not say in time whether it takes the statement.
    async fn run(&self) -> Result<Vec<Reply>, PgError> {
        if !self.is_prepared {
            return Ok(self.unprepared().await);
        }
        let replies = self.prepared().await?;
        let error = replies.iter().find_map(|reply| reply.as_ref().err());
        if !error.and_then(PgError::cause).is_some_and(is_stale) {
            return Ok(replies);
        }
        let client = self.session.client();
        client.statement_cache.remove(self.statement, self.types);
        client.statement_cache.remove(TIME_LEFT, &[]);
        self.prepared().await
    }

    async fn prepared(&self) -> Result<Vec<Reply>, PgError> {
        let client = self.session.client();
        let values = self.values();
        let params: Vec<_> = values
            .iter()
            .map(|[room, claims]| [dynamic(room), dynamic(claims)])
            .collect();
        // Inside of the transaction, since to prepare may mean to wait for a lock. Mostly it was done long ago.
        let prepare = async {
            let asked = client.prepare_typed_cached(self.statement, self.types).await?;
            let time_left = client.prepare_typed_cached(TIME_LEFT, &[]).await?;
            Ok::<_, Error>((asked, time_left))
        };
        let (asked, time_left): (Statement, Statement);
        let mut pipeline = Pipeline::default();
        pipeline.command(client, BEGIN);
        let prepared = timeout_at(self.until, pipeline.then(prepare)).await;
        (asked, time_left) = match prepared.map_err(|_| timed_out())? {
            Ok(prepared) => prepared,
            Err(error) => {
                pipeline.command(client, "rollback");
                let mut replies = self.replies(pipeline).await;
                replies.truncate(1);
                replies.push(Err(error.into()));
                return Ok(replies);
            }
        };
        for (at, params) in params.iter().enumerate() {
            if at > 0 {
                pipeline.send(client.query(&time_left, &[]));
            }
            pipeline.send(client.query(&asked, params));
        }
        pipeline.command(client, "rollback");
        Ok(self.replies(pipeline).await)
    }

    async fn unprepared(&self) -> Vec<Reply> {
        let client = self.session.client();
        let [room_type, claims_type] = self.types;
        let values = self.values();
        let params: Vec<_> = values
            .iter()
            .map(|[room, claims]| {
                [
                    (dynamic(room), room_type.clone()),
                    (dynamic(claims), claims_type.clone()),
                ]
            })
            .collect();
        let mut pipeline = Pipeline::default();
        pipeline.command(client, BEGIN);
        for (at, params) in params.iter().enumerate() {
            if at > 0 {
                pipeline.send(client.query_typed(TIME_LEFT, &[]));
            }
            pipeline.send(client.query_typed(self.statement, params));
        }
        pipeline.command(client, "rollback");
        self.replies(pipeline).await
    }

    async fn replies(&self, pipeline: Pipeline<'_>) -> Vec<Reply> {
        let replies = pipeline.answers(self.until).await.into_iter();
        replies
            .map(|reply| reply.map_or_else(|| Err(timed_out()), |reply| reply.map_err(PgError::from)))
            .collect()
    }

    /// `$1` and `$2` for each question.
    fn values(&self) -> Vec<[Unlogged<'_>; 2]> {
        let questions = self.questions.iter();
        questions
            .map(|asked| [Unlogged(asked.room.as_str()), Unlogged(asked.claims)])
            .collect()
    }
}

fn dynamic<'a>(value: &'a Unlogged<'_>) -> &'a (dyn ToSql + Sync) {
    value
}

fn timed_out() -> PgError {
    PgError::TimedOut {
        waited: ANSWER_WITHIN,
    }
}

/// Sorts the replies of [`Transaction::run`] by question, up to the first error, which the others follow from.
///
/// # Errors
/// That of `begin`.
fn answered(began: Instant, questions: usize, replies: Vec<Reply>) -> Result<Answered, AuthorizeError> {
    let mut replies = replies.into_iter();
    replies.next().transpose()?;
    let mut answers = Vec::with_capacity(questions);
    while answers.len() < questions {
        let is_first = answers.is_empty();
        let time_left = replies.by_ref().take(usize::from(!is_first));
        let time_left = time_left.last().transpose().map_err(time_is_over);
        let rows = time_left.and_then(|_| Ok(replies.next().transpose()?.unwrap_or_default()));
        match rows.and_then(|rows| answer(&rows)) {
            Ok(may_read) => answers.push(may_read),
            Err(error) => {
                let failed = Some(error);
                return Ok(Answered {
                    began,
                    answers,
                    failed,
                });
            }
        }
    }
    Ok(Answered {
        began,
        answers,
        failed: None,
    })
}

/// That a time-out below nothing can't be set is how the transaction ends where no time is left.
fn time_is_over(error: PgError) -> AuthorizeError {
    match error.sqlstate() {
        Some(&SqlState::INVALID_PARAMETER_VALUE) => AuthorizeError::TimeIsOver,
        _ => error.into(),
    }
}

/// One row with one boolean that is true admits.
fn answer(rows: &[Row]) -> Result<bool, AuthorizeError> {
    match rows {
        [] => Ok(false),
        [row] if is_boolean(row.columns()) => Ok(row.try_get::<_, Option<bool>>(0)?.unwrap_or(false)),
        [row] => Err(columns(row.columns())),
        rows => Err(AuthorizeError::Rows { found: rows.len() }),
    }
}

/// Whether an error says nothing about the statement: the connection, a serialisation or deadlock, resources, a lock or
/// statement timeout, a shutdown, the disk (PostgreSQL manual, appendix A).
pub(super) fn is_passing(error: &PgError) -> bool {
    let class = error.sqlstate().map(|state| &state.code()[..2]);
    error.is_connection_lost() || matches!(class, None | Some("08" | "40" | "53" | "55" | "57" | "58"))
}

pub(super) fn is_boolean(columns: &[tokio_postgres::Column]) -> bool {
    matches!(columns, [column] if *column.type_() == Type::BOOL)
}

pub(super) fn columns(found: &[tokio_postgres::Column]) -> AuthorizeError {
    let types: Vec<&str> = found.iter().map(|column| column.type_().name()).collect();
    let found = match types.as_slice() {
        [] => "no column".to_owned(),
        [one] => format!("a column of type {one}"),
        many => format!("{} columns ({})", many.len(), many.join(", ")),
    };
    AuthorizeError::Columns { found }
}

/// The type of `$1`. The rooms' names are sent as text, which the server reads as a value of this type.
pub(super) fn parameter_type(room_type: RoomType) -> Type {
    match room_type {
        RoomType::Text | RoomType::Rendered => Type::TEXT,
        RoomType::Varchar(_) => Type::VARCHAR,
        RoomType::Uuid => Type::UUID,
        RoomType::SmallInt => Type::INT2,
        RoomType::Int => Type::INT4,
        RoomType::BigInt => Type::INT8,
    }
}
