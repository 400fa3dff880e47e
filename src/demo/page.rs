//! The demo's page: a few files that need nothing from elsewhere but the relay's own `/rowcast.js`. Only the demo
//! serves them.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::{MethodRouter, get};

/// The page may run and show what comes from the relay, and talk to it, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files: path, content type, text.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("page/page.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/main.js", SCRIPT, include_str!("page/main.js")),
    ("/page/pane.js", SCRIPT, include_str!("page/pane.js")),
    ("/page/timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("/page/message.js", SCRIPT, include_str!("page/message.js")),
    ("/page/room.js", SCRIPT, include_str!("page/room.js")),
    ("/page/latency.js", SCRIPT, include_str!("page/latency.js")),
    ("/page/keep.js", SCRIPT, include_str!("page/keep.js")),
    ("/page/switches.js", SCRIPT, include_str!("page/switches.js")),
];

/// The page at `/`, and what it is made of.
pub(super) fn routes() -> Router {
    FILES
        .into_iter()
        .fold(Router::new(), |routes, (path, kind, text)| {
            routes.route(path, file(kind, text))
        })
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // No page of another origin gets hold of its window, or loads it as a part of itself.
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || async move { (headers, text) })
}
