//! `GET /rowcast.js`: the JavaScript client as a module, so that a page needs no bundler.
//!
//! The file is committed (clients/js builds it), so the relay is built without npm. It is the same for everyone and
//! no secret: pages of every origin may load it, whatever the CORS list says about events.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

pub(super) const CODE: &str = include_str!("../../clients/js/rowcast.js");

/// What its path has. Its layers are those that the events have, CORS excepted: the answer has a header of its own for that.
pub(super) fn handler<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    let etag = etag();
    get(|headers: HeaderMap| async move { answer(&etag, &headers) })
}

/// The code, or 304 where the asking cache has it. `no-cache`: kept, but asked about each time, so that a page never
/// runs the client of an older relay.
fn answer(etag: &HeaderValue, request: &HeaderMap) -> Response {
    let known = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|list| names(list, etag));
    let headers = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        // For pages that isolate themselves (`Cross-Origin-Embedder-Policy: require-corp`).
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content_type = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (content_type, headers, CODE).into_response()
}

/// Whether a line of `If-None-Match` has the tag, by the weak comparison (RFC 9110, 13.1.2), or is `*`.
fn names(list: &HeaderValue, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(list), Ok(etag)) = (list.to_str(), etag.to_str()) else {
        return false;
    };
    list.split(',')
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// A tag of the content: relays of one build agree on it. Weak, since the compressed answer has the same.
fn etag() -> HeaderValue {
    // FNV-1a, 64 bits (Fowler, Noll, Vo): it tells builds apart and keeps nobody out.
    let hash = CODE.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    HeaderValue::try_from(format!("W/\"{hash:016x}\"")).expect("hexadecimal digits in quotes")
}
