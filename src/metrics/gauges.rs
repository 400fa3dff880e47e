//! One look at what is so now.

use metrics::Recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::names::Metric;
use super::{METADATA, key};

/// The gauges of one look. Each look begins with none.
pub struct Gauges {
    recorder: PrometheusRecorder,
}

impl Gauges {
    pub(super) fn new() -> Self {
        Self {
            recorder: PrometheusBuilder::new().build_recorder(),
        }
    }

    /// Notes a value. What is not known is left out rather than noted as 0.
    pub fn set(&mut self, metric: Metric, labels: &[(&'static str, &str)], value: f64) {
        self.recorder
            .describe_gauge(metric.name.into(), None, metric.help.into());
        self.recorder
            .register_gauge(&key(metric, labels), &METADATA)
            .set(value);
    }

    /// Notes one of several states: 1 for `now`, 0 for the others.
    pub fn set_one_of(&mut self, metric: Metric, source: &str, label: &'static str, all: &[&str], now: &str) {
        for state in all {
            let labels = [("source", source), (label, *state)];
            self.set(metric, &labels, f64::from(*state == now));
        }
    }

    pub(super) fn render(&self) -> String {
        self.recorder.handle().render()
    }
}
