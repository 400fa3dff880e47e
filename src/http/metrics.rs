//! `GET /metrics`, and the metrics of HTTP itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use metrics::Counter;

use super::Shared;
use super::limits::Limit;
use crate::metrics::{Metrics, names};

/// The format's version stands in its media type.
pub(super) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often each limit was exceeded.
#[derive(Debug)]
pub(super) struct LimitHits([Counter; Limit::ALL.len()]);

impl LimitHits {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self(Limit::ALL.map(|limit| metrics.counter(names::LIMIT_HITS, &[("limit", limit.label())])))
    }

    pub(super) fn add(&self, limit: Limit) {
        self.0[limit as usize].increment(1);
    }
}

/// `GET /metrics`.
pub(super) async fn render(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [(CONTENT_TYPE, TEXT_FORMAT), (CACHE_CONTROL, "no-store")];
    (headers, shared.settings.metrics.render()).into_response()
}
