//! The demo's page: one HTML file that needs nothing from elsewhere. Only the demo serves it.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::Html;
use axum::routing::get;

const PAGE: &str = include_str!("page.html");

/// The page may run what stands in it and talk to the relay it came from, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the page at `/`.
pub fn page_router() -> Router {
    Router::new().route(
        "/",
        get(|| async {
            (
                [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")],
                Html(PAGE),
            )
        }),
    )
}
