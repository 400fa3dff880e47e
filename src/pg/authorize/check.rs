//! Whether the operator's statement fits a source: it is planned, not run.

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::AuthorizeError;
use super::ask::{ANSWER_WITHIN, BEGIN, columns, is_boolean, is_passing, parameter_type};
use crate::pg::secret::Unlogged;
use crate::pg::source::Source;
use crate::pg::template::fill_template;
use crate::pg::{Database, PgError, Session};

const EXPLAIN: &str = include_str!("../../../sql/authorize_explain.sql");

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
