//! Health: whether the process lives, and whether it should get traffic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, json!({"status": "live"}))
}

/// `GET /health/ready`: every source is followed and the relay is not ending; else 503 with the reasons in words.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let mut reasons = shared.relay.readiness();
    if shared.drain.is_started() {
        reasons.push("the relay is shutting down".into());
    }
    if reasons.is_empty() {
        answer(StatusCode::OK, json!({"status": "ready"}))
    } else {
        answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "not_ready", "reasons": reasons}),
        )
    }
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
