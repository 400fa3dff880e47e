//! What is counted, as Prometheus reads it (text exposition format 0.0.4).
//!
//! ```text
//! tail, feed, http: counters and histograms ([`Metrics::counter`], fetched once) ─┐
//! relay, pools, limits: gauges, asked when somebody looks ([`Metrics::collect`]) ─┴─► Metrics::render ─► GET /metrics
//! ```
//!
//! A recorder of the relay's own is handed down, so that two relays of one process count apart; nothing is registered for
//! the process. Gauges are written anew for each look: what is gone (a detached source) is gone from the next one. Labels
//! are bounded: names of sources and words of this program, never a room, a user or an address.

mod gauges;
pub mod names;
mod process;
mod source;
mod tally;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

pub use gauges::Gauges;
pub use names::Metric;
pub use source::{End, ReplayCounters, Reset, SourceMetrics, Standing, Subscriber, TailMode, Transport};
use tally::Tallies;
pub use tally::Tally;

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Adds what is so at the moment; called for each look, on the thread of who looks: it must not wait.
pub type Collector = Box<dyn Fn(&mut Gauges) + Send + Sync>;

/// The metrics of one relay. Clones are the same ones.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: PrometheusRecorder,
    collectors: Mutex<Vec<Collector>>,
    tallies: Tallies,
    started: SystemTime,
}

impl Metrics {
    /// Nothing was counted yet. The process counts as started now.
    pub fn new() -> Self {
        let builder =
            names::HISTOGRAMS
                .iter()
                .fold(PrometheusBuilder::new(), |builder, (metric, buckets)| {
                    let name = Matcher::Full(metric.name.to_owned());
                    builder
                        .set_buckets_for_metric(name, buckets)
                        .expect("every histogram has buckets")
                });
        Self {
            inner: Arc::new(Inner {
                recorder: builder.build_recorder(),
                collectors: Mutex::default(),
                tallies: Tallies::default(),
                started: SystemTime::now(),
            }),
        }
    }

    /// A counter, rendered from now on, also while it is 0: a rate needs the first value.
    pub fn counter(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Counter {
        let recorder = &self.inner.recorder;
        recorder.describe_counter(metric.name.into(), None, metric.help.into());
        recorder.register_counter(&key(metric, labels), &METADATA)
    }

    /// The same, of which the relay itself wants to know how far it is.
    pub fn tally(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Tally {
        let counter = self.counter(metric, labels);
        self.inner.tallies.tally(key(metric, labels), counter)
    }

    /// A histogram of [`names::HISTOGRAMS`], rendered from now on.
    pub fn histogram(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Histogram {
        let recorder = &self.inner.recorder;
        recorder.describe_histogram(metric.name.into(), None, metric.help.into());
        recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    /// Has `collector` add its gauges to each look.
    pub fn collect(&self, collector: Collector) {
        self.inner
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(collector);
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut gauges = Gauges::new();
        process::collect(&mut gauges, self.inner.started);
        let collectors = self
            .inner
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        collectors.iter().for_each(|collect| collect(&mut gauges));
        drop(collectors);
        self.inner.tallies.hand_over();
        let mut text = self.inner.recorder.handle().render();
        text.push_str(&gauges.render());
        text
    }

    /// Sorts what histograms were told into their buckets. Call every few seconds: until then each value is kept, however
    /// seldom somebody looks.
    pub fn upkeep(&self) {
        self.inner.recorder.handle().run_upkeep();
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

fn key(metric: Metric, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests;
