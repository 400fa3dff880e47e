//! What the demo's application lets people do with messages: edit and delete them. It writes its table, and knows of no
//! relay; that everybody sees the change is the relay's doing.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::patch;
use axum::{Json, Router};
use serde::Deserialize;
use tokio_postgres::{Client, Statement};

use super::{connect, json};
use crate::http::{ApiError, ErrorCode};
use crate::pg::PgError;
use crate::pg::publish::PublishError;

/// The application's session on its database, with its statements.
#[derive(Debug)]
pub(super) struct Messages {
    client: Client,
    edit: Statement,
    delete: Statement,
}

impl Messages {
    /// Errors: the database can't be reached, or lacks the table.
    pub(super) async fn open(database_url: &str) -> anyhow::Result<Self> {
        let client = connect(database_url).await?;
        let prepared = async {
            let edit = client.prepare(include_str!("../../sql/demo_edit.sql")).await?;
            let delete = client.prepare(include_str!("../../sql/demo_delete.sql")).await?;
            Ok::<_, tokio_postgres::Error>((edit, delete))
        };
        let (edit, delete) = prepared.await.context("the demo's statements")?;
        Ok(Self { client, edit, delete })
    }
}

/// `PATCH` (`{"body"}`) and `DELETE /demo/messages/{id}`: 204, or 404 where there is no such message.
pub(super) fn routes(messages: Messages) -> Router {
    Router::new()
        .route("/demo/messages/{id}", patch(edit).delete(delete))
        .with_state(Arc::new(messages))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    body: String,
}

async fn edit(
    State(messages): State<Arc<Messages>>,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<Edit>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(id) = id.map_err(|_| no_such_message())?;
    let Edit { body } = json(body)?;
    changed(messages.client.execute(&messages.edit, &[&id, &body]).await)
}

async fn delete(
    State(messages): State<Arc<Messages>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(id) = id.map_err(|_| no_such_message())?;
    changed(messages.client.execute(&messages.delete, &[&id]).await)
}

/// The answer to a statement that should have changed one row.
fn changed(rows: Result<u64, tokio_postgres::Error>) -> Result<StatusCode, ApiError> {
    match rows {
        Ok(0) => Err(no_such_message()),
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            tracing::warn!(%error, "a message was not changed");
            Err(PublishError::from(PgError::from(error)).into())
        }
    }
}

fn no_such_message() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "There is no such message.")
}
