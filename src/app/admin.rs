//! The operators' listener: it answers until the very end, so that whoever asks during the drain is told of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AppError, accept_all};
use crate::config;
use crate::http::Limits;
use crate::http::serve::Server;
use crate::metrics::Metrics;
use crate::shutdown::Drain;

/// Connections at a time: some collectors and some people.
const CONNECTIONS: usize = 64;

/// How long answers that are under way at the end may take.
const GRACE: Duration = Duration::from_secs(1);

/// A drain of the listener's own, which begins when that of the public port is over.
pub(super) fn new_drain() -> Drain {
    Drain::new(GRACE)
}

/// A bound listener.
pub(super) struct Admin {
    server: Server,
    drain: Drain,
}

impl Admin {
    /// Binds the first of `addresses` that can be; `None` where there are none. What clients may take on the public port
    /// does not bound what operators may. `drain` is the [listener's own](new_drain).
    ///
    /// # Errors
    /// None can be bound.
    pub(super) fn bind(
        addresses: &[SocketAddr],
        router: &Router,
        metrics: &Metrics,
        drain: Drain,
    ) -> Result<Option<Self>, AppError> {
        let limits = Arc::new(Limits::new(config::Limits::default(), CONNECTIONS, metrics));
        let mut failure = None;
        for &address in addresses {
            let bound = Server::bind(address, router.clone(), limits.clone(), drain.clone())
                .and_then(|server| server.local_address().map(|local| (server, local)));
            match bound {
                Ok((server, local)) => {
                    announce(local);
                    return Ok(Some(Self { server, drain }));
                }
                Err(source) => failure = Some(AppError::AdminListen { address, source }),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Answers until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Self { server, drain } = self;
        let connections = TaskTracker::new();
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept_all(&server, &connections) => {}
        }
        drain.start();
        drop(server);
        connections.close();
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    }
}

fn announce(address: SocketAddr) {
    tracing::info!(
        "health and metrics are on http://{address} and the page for operators is at /admin there"
    );
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "--admin-listen (ROWCAST_ADMIN_LISTEN) is no loopback address, and whoever reaches it is asked for nothing: let a \
             firewall admit operators alone, or listen on 127.0.0.1"
        );
    }
}
