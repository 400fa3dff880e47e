//! The page at `/admin`: a few files that need nothing from elsewhere.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::{MethodRouter, get};

use super::super::method_not_allowed;

/// The page may run and show what comes from the relay, and talk to it, nothing else. What it shows is users' data: should
/// a room's name ever become an element, nothing that it asks for is loaded or run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// No page of another origin loads it as a part of itself.
pub(super) const OURS_ALONE: (HeaderName, &str) = (
    HeaderName::from_static("cross-origin-resource-policy"),
    "same-origin",
);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("page/page.html");

/// The files: path, content type, text.
const FILES: [(&str, &str, &str); 7] = [
    ("/admin", HTML, PAGE),
    ("/admin/", HTML, PAGE),
    ("/admin/page.css", CSS, include_str!("page/page.css")),
    ("/admin/main.js", SCRIPT, include_str!("page/main.js")),
    ("/admin/show.js", SCRIPT, include_str!("page/show.js")),
    ("/admin/rows.js", SCRIPT, include_str!("page/rows.js")),
    ("/admin/words.js", SCRIPT, include_str!("page/words.js")),
];

/// The page, and what it is made of.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .into_iter()
        .fold(Router::new(), |routes, (path, kind, text)| {
            routes.route(path, file(kind, text))
        })
}

fn file<S: Clone + Send + Sync + 'static>(content_type: &'static str, text: &'static str) -> MethodRouter<S> {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // No page of another origin gets hold of its window.
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        OURS_ALONE,
        // Never the page of an older relay.
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || async move { (headers, text) }).fallback(method_not_allowed)
}
