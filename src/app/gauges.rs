//! What the metrics are told each time somebody looks: sources, pools, connections, PostgreSQL's queue of notifications.

use std::sync::{Arc, Weak};

use crate::http::Limits;
use crate::metrics::{Gauges, Metrics, names};
use crate::pg::Database;
use crate::pg::queue::QueueUsage;
use crate::relay::Relay;

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
        if let Some(usage) = queue.known() {
            gauges.set(names::QUEUE_USAGE, &[], usage);
        }
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
