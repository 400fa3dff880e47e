//! Health: whether the process lives, and whether it should get traffic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;
use super::error::RETRY_AFTER_SECONDS;
use crate::relay::Readiness;

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, json!({"status": "live"}))
}

/// `GET /health/ready`: every source is followed, may be read by somebody, and the relay is not ending; else 503 with the
/// reasons in words. What hinders but does not stop it (no bell to be heard, findings about a table) stands in `notes`. With
/// it the proof that bells are heard: how long ago a notification sent to itself came through, `null` while none does.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let Readiness {
        reasons,
        notes,
        round_trip,
    } = shared.relay.readiness();
    let (status, word) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    answer(
        status,
        json!({
            "status": word,
            "reasons": reasons,
            "notes": notes,
            "notify_round_trip_seconds_ago": round_trip.map(|age| age.as_secs()),
        }),
    )
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    let mut response = (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}
