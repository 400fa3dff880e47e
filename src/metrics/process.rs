//! What every program tells of itself, under the names that Prometheus' own client libraries use.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Gauges, names};

/// Adds the program's version and when it started; on Linux also its memory and descriptors.
pub(super) fn collect(gauges: &mut Gauges, started: SystemTime) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    gauges.set(names::BUILD_INFO, &version, 1.0);
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    gauges.set(names::START_TIME, &[], started.as_secs_f64());
    if let Some(bytes) = resident_bytes() {
        gauges.set(names::RESIDENT_MEMORY, &[], bytes);
    }
    if let Some(count) = open_descriptors() {
        gauges.set(names::OPEN_FDS, &[], count);
    }
}

/// The second field of /proc/self/statm, in pages (proc(5)).
fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64)
}

/// /proc/self/fd has an entry for each; the one by which it is read does not count.
fn open_descriptors() -> Option<f64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    Some(entries.count().saturating_sub(1) as f64)
}
