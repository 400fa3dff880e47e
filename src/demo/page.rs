//! The demo's page: a few files that need nothing from elsewhere but the relay's own `/rowcast.js`. Only the demo
//! serves them.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::routing::{MethodRouter, get};

/// The page may run and show what comes from the relay, and talk to it, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page at `/`, and what it is made of.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/", file(HTML, include_str!("page/page.html")))
        .route("/page/page.css", file(CSS, include_str!("page/page.css")))
        .route("/page/main.js", file(SCRIPT, include_str!("page/main.js")))
        .route("/page/pane.js", file(SCRIPT, include_str!("page/pane.js")))
        .route("/page/timeline.js", file(SCRIPT, include_str!("page/timeline.js")))
        .route("/page/message.js", file(SCRIPT, include_str!("page/message.js")))
        .route("/page/room.js", file(SCRIPT, include_str!("page/room.js")))
        .route("/page/latency.js", file(SCRIPT, include_str!("page/latency.js")))
        .route(
            "/page/switches.js",
            file(SCRIPT, include_str!("page/switches.js")),
        )
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || async move { (headers, text) })
}
