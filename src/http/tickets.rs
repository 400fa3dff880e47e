//! `POST …/tickets`: a ticket for an EventSource, which can't send a token. Good once, for a short time, for the rooms
//! that it was made for, on every relay of the database.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::admission::Asker;
use super::body::{check_content_type, read_body};
use super::client_address::ClientAddress;
use super::error::{ApiError, ErrorCode};
use super::events::{PathResult, Target, several};
use super::origin::{check_origin, host};

/// What it is to be good for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    rooms: Vec<String>,
}

#[derive(Serialize)]
struct Issued {
    ticket: String,
    /// Seconds.
    expires_in: u64,
}

/// Gives a ticket: `201 {"ticket":"…","expires_in":30}`.
pub(super) async fn issue(
    State(shared): State<Arc<Shared>>,
    address: ClientAddress,
    path: PathResult,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    if shared.gate.config().is_none() {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            "Nobody needs a ticket here (`--auth none`).",
        ));
    }
    check_origin(
        &parts.headers,
        host(&parts),
        &shared.settings.allow_origins,
        false,
    )?;
    let asker = Asker::admit(&shared, &parts, address, false).await?;
    let target = Target::read(&shared, path)?;
    check_content_type(&parts.headers)?;
    let limits = &shared.settings.limits;
    let wish: Wish = serde_json::from_slice(&read_body(body, limits).await?).map_err(|_| {
        ApiError::new(
            ErrorCode::InvalidBody,
            "The body is not like {\"rooms\":[\"a\",\"b\"]}.",
        )
    })?;
    let rooms = several(limits, target.source.definition().room_type, &wish.rooms)?;
    limits.ticket(&asker.key)?;
    let issued = shared.gate.issue(&asker.access, &target.source, &rooms).await?;
    let (ticket, lifetime) = issued.ok_or_else(ApiError::forbidden)?;
    let answer = Issued {
        ticket,
        expires_in: lifetime.as_secs(),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
