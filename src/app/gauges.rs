//! What the metrics are told each time somebody looks: sources, pools, connections, PostgreSQL's queue of notifications.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::http::Limits;
use crate::metrics::{Gauges, Metrics, names};
use crate::pg::Database;
use crate::relay::Relay;

/// How full PostgreSQL's queue of notifications was when it was last asked. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct QueueUsage(Arc<AtomicU64>);

impl QueueUsage {
    /// Not known yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }

    /// Notes the answer; `None`: it is not known any longer.
    pub(super) fn note(&self, usage: Option<f64>) {
        self.0
            .store(usage.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    fn collect(&self, gauges: &mut Gauges) {
        let usage = f64::from_bits(self.0.load(Ordering::Relaxed));
        if !usage.is_nan() {
            gauges.set(names::QUEUE_USAGE, &[], usage);
        }
    }
}

/// Has every look at `metrics` show what is so then. The relay is held by others.
pub(super) fn register(
    metrics: &Metrics,
    relay: &Arc<Relay>,
    limits: &Arc<Limits>,
    database: &Database,
    queue: &QueueUsage,
) {
    let relay: Weak<Relay> = Arc::downgrade(relay);
    let (limits, database, queue) = (limits.clone(), database.clone(), queue.clone());
    metrics.collect(Box::new(move |gauges| {
        if let Some(relay) = relay.upgrade() {
            relay.collect(gauges);
        }
        limits.collect(gauges);
        pools(&database, gauges);
        queue.collect(gauges);
    }));
}

fn pools(database: &Database, gauges: &mut Gauges) {
    for (name, pool) in database.pools() {
        let labels = [("pool", name)];
        gauges.set(names::POOL_CONNECTIONS, &labels, pool.open as f64);
        gauges.set(names::POOL_CONNECTIONS_MAX, &labels, pool.most as f64);
        gauges.set(names::POOL_AVAILABLE, &labels, pool.available as f64);
        gauges.set(names::POOL_WAITING, &labels, pool.waiting as f64);
    }
}
