//! The interface for operators on a listener of its own (`--admin-listen`): health, metrics, and a page at `/admin`, which
//! nobody finds on the public port.
//!
//! ```text
//! gauges, counters, hub::census, telemetry::RecentLines ─► overview ─► events (SSE, once a second) ─► page
//! ```

mod events;
mod overview;
mod page;
mod rates;

use std::sync::Arc;

use axum::Router;

use super::{HttpSettings, Shared, operations, surrounded, with_fallbacks};
use crate::auth::Gate;
use crate::pg::Database;
use crate::pg::queue::QueueUsage;
use crate::relay::Relay;
use crate::shutdown::Drain;
use crate::telemetry::RecentLines;

use events::Watched;
use overview::Overview;

/// What is shown beside the relay itself.
#[derive(Clone)]
pub struct Surroundings {
    database: Database,
    /// PostgreSQL's queue of notifications.
    queue: QueueUsage,
    /// What failed lately.
    recent: RecentLines,
}

impl Surroundings {
    pub fn new(database: &Database, queue: &QueueUsage, recent: RecentLines) -> Self {
        Self {
            database: database.clone(),
            queue: queue.clone(),
            recent,
        }
    }
}

/// All of it as one service. Who reaches the listener is trusted: nobody is asked for a token. `drain` is the listener's own,
/// which begins when that of the public port is over. The limits in `settings` are those of the public port, to be shown.
pub fn router(
    relay: Arc<Relay>,
    gate: Arc<Gate>,
    settings: HttpSettings,
    drain: Drain,
    surroundings: Surroundings,
) -> Router {
    let overview = Overview::new(relay.clone(), settings.limits.clone(), surroundings);
    let watched = Watched {
        overview: Arc::new(overview),
        retry: settings.retry,
        drain: drain.clone(),
    };
    let shared = Arc::new(Shared {
        relay,
        gate,
        settings,
        drain,
    });
    let routes = operations()
        .with_state(shared.clone())
        .merge(page::routes())
        .merge(events::routes(watched));
    surrounded(with_fallbacks(routes, &shared), &shared)
}
