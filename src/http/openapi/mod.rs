//! `GET /openapi.json`: the interface's description (OpenAPI 3.1), made of what the code itself goes by: the paths of
//! [`super::routes`], the codes and statuses of [`super::error`], the names and bounds of [`super::params`].
//!
//! One document describes every relay, whatever it has switched on: only its `servers` differ, by the base path. It is
//! committed as docs/openapi.json (`rowcast openapi` prints it), and a test holds that against the code.

mod operations;
mod parameters;
mod responses;
mod schemas;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Shared;
use super::routes::Route;

const ABOUT: &str = "Rows that an application commits to its PostgreSQL tables, as live events: over SSE, NDJSON, long poll \
and poll, with one cursor for all of them.

Which paths there are does not depend on the relay's options, but what they answer does: without `--allow-publish` a POST of \
rows is answered 404, and one for tickets with `--auth none`; with `--admin-listen` health and metrics are on that listener \
alone. Unknown query parameters are ignored. HEAD is answered as GET, without the body; other methods of these paths with 405 \
and `method_not_allowed`, and what the server can't read as a request (a head that is too large, say) without a problem.";

/// The description of a relay whose paths stand under `base_path` (empty: at the root).
pub fn description(base_path: &str) -> Value {
    let base = base_path.trim_matches('/');
    let paths: Map<String, Value> = Route::ALL
        .iter()
        .map(|route| (route.path().to_owned(), operations::of(*route)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rowcast",
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache 2.0", "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": format!("/{base}") }],
        "tags": [
            { "name": "events", "description": "Following rooms, and publishing into them." },
            { "name": "access", "description": "Standing in for a token." },
            { "name": "operations", "description": "For those who run a relay." },
            { "name": "files", "description": "The same for everyone." },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": parameters::all(),
            "headers": responses::headers(),
            "securitySchemes": parameters::security_schemes(),
        },
    })
}

/// `GET /openapi.json`. As [`super::client`]: asked about each time, and for pages of every origin.
pub(super) async fn answer(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    let text = description(&shared.settings.base_path).to_string();
    (headers, text).into_response()
}
