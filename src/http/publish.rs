//! `POST …/rooms/{room}/events`: inserts a row into the source's table, where the operator allows it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;

use super::Shared;
use super::error::{ApiError, ErrorCode};
use super::events::{PathResult, Target};
use crate::pg::publish::NewRow;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Inserts the body's row in the path's room: `201 {"id":…,"room":…}`, of a journal with `"key":{…}`.
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    path: PathResult,
    request: Request,
) -> Result<Response, ApiError> {
    if !shared.settings.allow_publish {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            "Publishing is off (`--allow-publish`).",
        ));
    }
    let target = Target::read(&shared, path)?;
    check_content_type(request.headers())?;
    let name = target.room.expect("only paths with a room have POST");
    let room = target.source.definition().room_type.parse(&name)?;
    let row = read_row(&read_body(request, shared.settings.max_body_bytes).await?)?;
    let published = target.source.publish(&room, &row).await.inspect_err(|error| {
        tracing::warn!(
            %error,
            // The database's own words, which no client sees.
            reason = error.source().map(tracing::field::display),
            room = room.as_str(),
            "a published row was not inserted"
        );
    })?;
    let answer = Answer {
        id: published.id,
        key: published.key,
        room: room.as_str(),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// What was inserted: the id that the row's event has, and where to look for it.
#[derive(serde::Serialize)]
struct Answer<'a> {
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<RawValue>>,
    room: &'a str,
}

/// JSON, or nothing said where no browser asks: a page of another origin may send a body without a type, but not one
/// of type JSON, without being asked for a preflight (Fetch standard, CORS-safelisted request header).
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let admitted = match headers.get(CONTENT_TYPE) {
        None => !headers.contains_key(ORIGIN),
        Some(value) => {
            let essence = value
                .to_str()
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default()
                .trim();
            essence.eq_ignore_ascii_case("application/json")
        }
    };
    if admitted {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "The body must be sent as application/json.",
    ))
}

async fn read_body(request: Request, max_bytes: usize) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), max_bytes).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ErrorCode::BodyTooLarge,
            format!("The body is larger than {max_bytes} bytes."),
        )),
        Ok(Err(_)) => Err(ApiError::new(
            ErrorCode::InvalidBody,
            "The body could not be read.",
        )),
        Err(_) => Err(ApiError::new(
            ErrorCode::RequestTimeout,
            "The body did not arrive in time.",
        )),
    }
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
