//! `GET /metrics`: what is counted, as Prometheus reads it (text exposition format 0.0.4).
//!
//! A recorder of the relay's own is handed down, so that two relays of one process count apart; nothing is registered for
//! the process.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use metrics::{Counter, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::Shared;
use super::limits::Limit;

/// The format's version stands in its media type.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

const LIMIT_HITS: &str = "rowcast_limit_hits_total";

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The metrics of one relay. Clones are the same ones.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
}

impl Metrics {
    /// Nothing was counted yet.
    pub fn new() -> Self {
        Self {
            recorder: Arc::new(PrometheusBuilder::new().build_recorder()),
        }
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// The counters of [`Limit`]s, each with its label. They are rendered from now on, also while they are 0: a rate over
    /// a counter needs its first value.
    pub(super) fn limit_hits(&self) -> LimitHits {
        let help = "Requests and connections that a limit refused, or cut off.";
        self.recorder
            .describe_counter(LIMIT_HITS.into(), None, help.into());
        LimitHits(Limit::ALL.map(|limit| {
            let key = Key::from_parts(LIMIT_HITS, vec![Label::new("limit", limit.label())]);
            self.recorder.register_counter(&key, &METADATA)
        }))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// How often each limit was exceeded.
#[derive(Debug)]
pub(super) struct LimitHits([Counter; Limit::ALL.len()]);

impl LimitHits {
    pub(super) fn add(&self, limit: Limit) {
        self.0[limit as usize].increment(1);
    }
}

/// `GET /metrics`.
pub(super) async fn render(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [(CONTENT_TYPE, TEXT_FORMAT), (CACHE_CONTROL, "no-store")];
    (headers, shared.settings.metrics.render()).into_response()
}
