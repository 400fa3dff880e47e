//! The configuration as the parts take it.

use std::sync::Arc;

use axum::http::HeaderValue;

use super::AppError;
use crate::config::ServeConfig;
use crate::http::limits::descriptors;
use crate::http::{HttpSettings, Limits};
use crate::hub::{HubLimits, RingLimits};
use crate::metrics::Metrics;
use crate::pg::store::ReadLimits;
use crate::relay::SourceLimits;
use crate::tail::pace::PaceOptions;

/// Contents of one read or page of a replay, in bytes: also what one slow socket may pin of them.
const PAGE_BYTES: usize = 1 << 20;

pub(super) fn http_settings(config: &ServeConfig) -> Result<HttpSettings, AppError> {
    let origin =
        |origin: &String| HeaderValue::from_str(origin).map_err(|_| AppError::Origin(origin.clone()));
    let metrics = Metrics::new();
    let limits = limits(config, &metrics);
    Ok(HttpSettings {
        allow_origins: config
            .allow_origins
            .iter()
            .map(origin)
            .collect::<Result<_, _>>()?,
        base_path: config.base_path.clone(),
        allow_publish: config.allow_publish,
        allow_firehose: config.allow_firehose,
        local_names_only: config.is_open_to_its_machine_alone(),
        heartbeat: config.heartbeat,
        retry: config.retry,
        limits: Arc::new(limits),
        metrics,
        operations_apart: !config.observe.admin_listen.is_empty(),
        access_log: config.observe.access_log,
    })
}

/// The bounds on clients. How many connections there may be follows from the limit of descriptors, which is raised as far
/// as the system lets us.
fn limits(config: &ServeConfig, metrics: &Metrics) -> Limits {
    let descriptors = descriptors::raise();
    let left = descriptors::connections(descriptors, config.pool_size);
    let limits = Limits::new(config.limits.clone(), left, metrics);
    let connections = limits.most_connections();
    tracing::info!(connections, descriptors, "connections at a time");
    if connections > left {
        tracing::warn!(
            connections,
            left,
            "--max-connections (ROWCAST_MAX_CONNECTIONS) is more than the limit of descriptors leaves: raise that (ulimit -n, \
             LimitNOFILE)"
        );
    }
    limits
}

pub(super) fn source_limits(config: &ServeConfig) -> SourceLimits {
    SourceLimits {
        hub: HubLimits {
            ring: RingLimits {
                events: config.ring_events,
                bytes: config.ring_bytes,
            },
            total_bytes: config.ring_total_bytes,
            linger: config.room_linger,
        },
        reads: ReadLimits {
            event_bytes: config.max_event_bytes,
            page_bytes: PAGE_BYTES,
        },
        replays_at_once: config.replays_at_once,
        waiting_replays: config.limits.waiting_replays,
    }
}

pub(super) fn pace_options(config: &ServeConfig) -> PaceOptions {
    PaceOptions {
        poll_interval: config.poll_interval,
        busy_bells_per_second: config.busy_bells_per_second,
        quiet_after: config.quiet_after,
    }
}
