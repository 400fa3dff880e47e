//! Putting the operator's statement to PostgreSQL: one read-only transaction, and all rooms in one round trip.
//!
//! `begin`, the rooms and `rollback` go out one after the other before an answer is awaited. The order is what keeps the
//! statement from ever running outside of the transaction. On a session of a pooler in transaction mode nothing is prepared.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{MaybeDone, TryFutureExt as _, maybe_done};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use super::AuthorizeError;
use crate::pg::secret::Unlogged;
use crate::pg::session::is_stale;
use crate::pg::source::Source;
use crate::pg::template::fill_template;
use crate::pg::{Database, PgError, Session};
use crate::room::{Room, RoomType};

const BEGIN: &str = include_str!("../../../sql/authorize_begin.sql");
const TIME_LEFT: &str = include_str!("../../../sql/authorize_time_left.sql");
const EXPLAIN: &str = include_str!("../../../sql/authorize_explain.sql");

/// The reader's own limit beyond the two seconds of the transaction: a stopped server never answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The answers of one transaction.
pub(super) struct Answered {
    /// Before the transaction began: what was committed earlier is in the answers.
    pub began: Instant,
    /// In the order of the rooms.
    pub answers: Vec<bool>,
}

/// The answers of one request: rows, or none of a command.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

/// Requests that are sent in their order, none waiting for the answer of the one before.
#[derive(Default)]
struct Pipeline<'a> {
    sent: Vec<MaybeDone<Answering<'a>>>,
}

impl<'a> Pipeline<'a> {
    fn send(&mut self, request: impl Future<Output = Result<Vec<Row>, Error>> + Send + 'a) {
        self.sent.push(maybe_done(Box::pin(request)));
    }

    fn command(&mut self, client: &'a Client, sql: &'a str) {
        self.send(client.batch_execute(sql).map_ok(|()| Vec::new()));
    }

    /// The driver sends a request when it is first polled.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut all = Poll::Ready(());
        for request in &mut self.sent {
            if Pin::new(request).poll(cx).is_pending() {
                all = Poll::Pending;
            }
        }
        all
    }

    /// Sends what is there, then one more, and waits for that one's answer alone.
    async fn then<T>(&mut self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        poll_fn(|cx| {
            let _ = self.poll(cx);
            request.as_mut().poll(cx)
        })
        .await
    }

    /// Sends all of it, and then waits for all answers.
    async fn answers(mut self) -> Vec<Result<Vec<Row>, Error>> {
        poll_fn(|cx| self.poll(cx)).await;
        let taken = self
            .sent
            .iter_mut()
            .map(|request| Pin::new(request).take_output());
        taken
            .map(|answer| answer.expect("each of them is done"))
            .collect()
    }
}

/// Puts the statement for each of the rooms.
pub(super) async fn ask(
    database: &Database,
    statement: &str,
    source: &Source,
    rooms: &[&Room],
    claims: &str,
) -> Result<Answered, AuthorizeError> {
    let session = database.authorize_session().await?;
    let types = [parameter_type(source.room_type), Type::JSONB];
    let asked = Asked {
        session: &session,
        is_prepared: database.is_pinned(),
        statement,
        types: &types,
        rooms,
        claims,
    };
    session.set_broken(true);
    let began = Instant::now();
    let answers = timeout(ANSWER_WITHIN, asked.transaction()).await;
    let answers = answers.map_err(|_| PgError::TimedOut {
        waited: ANSWER_WITHIN,
    })?;
    session.set_broken(false);
    let answers = answers?
        .iter()
        .map(|rows| answer(rows))
        .collect::<Result<_, _>>()?;
    Ok(Answered { began, answers })
}

/// What a transaction is made of.
struct Asked<'a> {
    session: &'a Session,
    /// The session stays on one server connection, which can keep the statement prepared.
    is_prepared: bool,
    statement: &'a str,
    types: &'a [Type; 2],
    rooms: &'a [&'a Room],
    claims: &'a str,
}

impl Asked<'_> {
    /// The rows for each room. The transaction is over then, whatever came of it.
    async fn transaction(&self) -> Result<Vec<Vec<Row>>, Error> {
        if !self.is_prepared {
            return self.unprepared().await;
        }
        match self.prepared().await {
            Err(error) if is_stale(&error) => {
                let client = self.session.client();
                client.statement_cache.remove(self.statement, self.types);
                client.statement_cache.remove(TIME_LEFT, &[]);
                self.prepared().await
            }
            answers => answers,
        }
    }

    async fn prepared(&self) -> Result<Vec<Vec<Row>>, Error> {
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
        (asked, time_left) = match pipeline.then(prepare).await {
            Ok(prepared) => prepared,
            Err(error) => {
                pipeline.command(client, "rollback");
                pipeline.answers().await;
                return Err(error);
            }
        };
        for (at, params) in params.iter().enumerate() {
            if at > 0 {
                pipeline.send(client.query(&time_left, &[]));
            }
            pipeline.send(client.query(&asked, params));
        }
        pipeline.command(client, "rollback");
        rows_of_rooms(pipeline.answers().await)
    }

    async fn unprepared(&self) -> Result<Vec<Vec<Row>>, Error> {
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
        rows_of_rooms(pipeline.answers().await)
    }

    /// `$1` and `$2` for each room.
    fn values(&self) -> Vec<[Unlogged<'_>; 2]> {
        let rooms = self.rooms.iter();
        rooms
            .map(|room| [Unlogged(room.as_str()), Unlogged(self.claims)])
            .collect()
    }
}

fn dynamic<'a>(value: &'a Unlogged<'_>) -> &'a (dyn ToSql + Sync) {
    value
}

/// The rows for each room out of the answers to `begin`, room, time left, room, …, `rollback`; or the first error, which
/// the others follow from.
fn rows_of_rooms(answers: Vec<Result<Vec<Row>, Error>>) -> Result<Vec<Vec<Row>>, Error> {
    let mut answers: Vec<Vec<Row>> = answers.into_iter().collect::<Result<_, _>>()?;
    answers.pop();
    Ok(answers.into_iter().skip(1).step_by(2).collect())
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

/// Plans the statement for the rooms of `source`.
pub(super) async fn check(
    database: &Database,
    statement: &str,
    source: &Source,
) -> Result<(), AuthorizeError> {
    let mut session = database.authorize_session().await?;
    session.set_broken(true);
    let planned = timeout(ANSWER_WITHIN, plan(&mut session, statement, source)).await;
    planned.map_err(|_| PgError::TimedOut {
        waited: ANSWER_WITHIN,
    })??;
    session.set_broken(false);
    Ok(())
}

/// What it prepares is closed before the transaction ends: behind a pooler the connection is another's then.
async fn plan(session: &mut Session, statement: &str, source: &Source) -> Result<(), AuthorizeError> {
    let types = [parameter_type(source.room_type), Type::JSONB];
    let misfit = |error: Error| match PgError::from(error) {
        error if is_passing(&error) => AuthorizeError::from(error),
        error => AuthorizeError::Refused {
            name: source.name.clone(),
            room_type: source.room_type.name(),
            cause: error.into(),
        },
    };
    session.batch_execute(BEGIN).await?;
    let prepared = session.prepare_typed(statement, &types).await.map_err(misfit)?;
    if prepared.params().len() != types.len() {
        return Err(AuthorizeError::Parameters {
            found: prepared.params().len(),
        });
    }
    if !is_boolean(prepared.columns()) {
        return Err(columns(prepared.columns()));
    }
    drop(prepared);
    let explain = fill_template(EXPLAIN, |name| (name == "statement").then_some(statement));
    let nothing: Option<Unlogged<'_>> = None;
    let params = types.map(|of| (&nothing as &(dyn ToSql + Sync), of));
    session.query_typed(&explain, &params).await.map_err(misfit)?;
    session.batch_execute("rollback").await?;
    Ok(())
}

/// Whether an error says nothing about the statement: the connection, a serialisation or deadlock, resources, a lock or
/// statement timeout, a shutdown, the disk (PostgreSQL manual, appendix A).
pub(super) fn is_passing(error: &PgError) -> bool {
    let class = error.sqlstate().map(|state| &state.code()[..2]);
    error.is_connection_lost() || matches!(class, None | Some("08" | "40" | "53" | "55" | "57" | "58"))
}

fn is_boolean(columns: &[tokio_postgres::Column]) -> bool {
    matches!(columns, [column] if *column.type_() == Type::BOOL)
}

fn columns(found: &[tokio_postgres::Column]) -> AuthorizeError {
    let types: Vec<&str> = found.iter().map(|column| column.type_().name()).collect();
    let found = match types.as_slice() {
        [] => "no column".to_owned(),
        [one] => format!("a column of type {one}"),
        many => format!("{} columns ({})", many.len(), many.join(", ")),
    };
    AuthorizeError::Columns { found }
}

/// The type of `$1`. The rooms' names are sent as text, which the server reads as a value of this type.
fn parameter_type(room_type: RoomType) -> Type {
    match room_type {
        RoomType::Text | RoomType::Rendered => Type::TEXT,
        RoomType::Varchar(_) => Type::VARCHAR,
        RoomType::Uuid => Type::UUID,
        RoomType::SmallInt => Type::INT2,
        RoomType::Int => Type::INT4,
        RoomType::BigInt => Type::INT8,
    }
}
