//! What a crowd of subscribers has observed since it was last asked.

use hdrhistogram::Histogram;

use crate::seen::Counts;

/// Latencies that are told apart: from a microsecond to a minute, to a thousandth.
const LEAST: u64 = 1_000;
const MOST: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

pub struct Measured {
    pub counts: Counts,
    /// From just before a row's INSERT until its delivery was read, in nanoseconds.
    pub latency: Histogram<u64>,
    /// From the return of a row's INSERT, in nanoseconds; a delivery before it counts as the least.
    pub after_return: Histogram<u64>,
    /// Long polls that were answered.
    pub answers: u64,
}

impl Measured {
    pub fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(LEAST, MOST, DIGITS).expect("the bounds are a histogram's");
        Self {
            counts: Counts::default(),
            latency: histogram(),
            after_return: histogram(),
            answers: 0,
        }
    }

    /// This quantile of the latencies in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        milliseconds(&self.latency, quantile)
    }

    /// The same from the return of the INSERT.
    pub fn after_return_ms(&self, quantile: f64) -> f64 {
        milliseconds(&self.after_return, quantile)
    }
}

fn milliseconds(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e6
}
