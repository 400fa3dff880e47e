//! `POST …/rooms/{room}/events`: inserts a row into the source's table, where the operator allows it.

use std::error::Error;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;

use super::Shared;
use super::client_address::ClientAddress;
use super::error::{ApiError, ErrorCode};
use super::events::{PathResult, Target};
use super::limits::{Key, Limit, Limits};
use super::origin::{check_origin, host};
use crate::pg::publish::NewRow;

/// Inserts the body's row in the path's room: `201 {"id":…,"room":…}`, of a journal with `"key":{…}`.
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    ClientAddress(address): ClientAddress,
    path: PathResult,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &shared.settings.limits;
    limits.request(&Key::address(address))?;
    if !shared.settings.allow_publish {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            "Publishing is off (`--allow-publish`).",
        ));
    }
    let (parts, body) = request.into_parts();
    let allowed = &shared.settings.allow_origins;
    check_origin(&parts.headers, host(&parts), allowed, false)?;
    let target = Target::read(&shared, path)?;
    check_content_type(&parts.headers)?;
    let name = target.room.expect("only paths with a room have POST");
    let room = target.source.definition().room_type.parse(&name)?;
    let row = read_row(&read_body(body, limits).await?)?;
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

/// All of a body, within its bounds.
///
/// # Errors
/// `body_too_large`, `request_timeout`, `invalid_body` where the client broke off.
async fn read_body(body: Body, limits: &Limits) -> Result<Bytes, ApiError> {
    let most = limits.settings().body_bytes;
    let body = Limited::new(body, most).collect();
    match tokio::time::timeout(limits.settings().body_timeout, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("The body is larger than {most} bytes.");
            Err(limits.over(Limit::BodyBytes, ApiError::new(ErrorCode::BodyTooLarge, detail)))
        }
        Ok(Err(_)) => Err(ApiError::new(
            ErrorCode::InvalidBody,
            "The body could not be read.",
        )),
        Err(_) => {
            let error = ApiError::new(ErrorCode::RequestTimeout, "The body did not arrive in time.");
            Err(limits.over(Limit::BodyTime, error))
        }
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
