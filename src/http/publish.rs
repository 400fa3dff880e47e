//! `POST …/rooms/{room}/events`: inserts a row into the source's table, where the operator allows it.

use std::error::Error;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use super::Shared;
use super::admission::Asker;
use super::body::{check_content_type, read_body};
use super::client_address::ClientAddress;
use super::error::{ApiError, ErrorCode};
use super::events::{PathResult, Target};
use super::origin::{check_origin, host};
use crate::pg::PgError;
use crate::pg::publish::{NewRow, PublishError};

/// Inserts the body's row in the path's room: `201 {"id":…,"room":…}`, of a journal with `"key":{…}`.
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    address: ClientAddress,
    path: PathResult,
    request: Request,
) -> Result<Response, ApiError> {
    if !shared.settings.allow_publish {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            "Publishing is off (`--allow-publish`).",
        ));
    }
    let (parts, body) = request.into_parts();
    let allowed = &shared.settings.allow_origins;
    check_origin(&parts.headers, host(&parts), allowed, false)?;
    let asker = Asker::admit(&shared, &parts, address, false).await?;
    let target = Target::read(&shared, path)?;
    check_content_type(&parts.headers)?;
    let name = target.room.expect("only paths with a room have POST");
    let room = target.source.definition().room_type.parse(&name)?;
    shared.gate.publish(&asker.access, &target.source, &room)?;
    let row = read_row(&read_body(body, &shared.settings.limits).await?)?;
    let published = target
        .source
        .publish(&room, &row)
        .await
        .inspect_err(log_failure)?;
    let answer = Answer {
        id: published.id,
        key: published.key,
        room: room.as_str(),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Says what a person needs who knows the table. PostgreSQL's own words are left out: they quote values of the row.
fn log_failure(error: &PublishError) {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<PgError>());
    let refused = cause.and_then(PgError::db_error);
    tracing::warn!(
        %error,
        sqlstate = refused.map(|refused| refused.code().code()),
        constraint = refused.and_then(|refused| refused.constraint()),
        column = refused.and_then(|refused| refused.column()),
        reason = cause.filter(|_| refused.is_none()).map(tracing::field::display),
        "a published row was not inserted"
    );
}

/// What was inserted: the id that the row's event has, and where to look for it.
#[derive(serde::Serialize)]
struct Answer<'a> {
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<RawValue>>,
    room: &'a str,
}

fn read_row(body: &[u8]) -> Result<NewRow, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = if error.is_data() {
            "The body is no JSON object."
        } else {
            "The body is no valid JSON."
        };
        ApiError::new(ErrorCode::InvalidBody, detail)
    })
}
