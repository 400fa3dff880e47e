//! The relay as one process: wires the parts, supervises them, drains.

mod pruner;
mod supervisor;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Gate, Keyring};
use crate::config::ServeConfig;
use crate::http::limits::descriptors;
use crate::http::serve::Server;
use crate::http::tls::{Certificate, TlsError};
use crate::http::{self, HttpSettings, Limits, Metrics};
use crate::hub::{HubLimits, RingLimits};
use crate::pg::bell::Bell;
use crate::pg::store::ReadLimits;
use crate::pg::tickets::Tickets;
use crate::pg::{Database, PgError, PoolOptions};
use crate::relay::{Relay, SourceLimits};
use crate::shutdown::{Drain, Signals};
use crate::tail::pace::PaceOptions;

use supervisor::Supervisor;
use tasks::Tasks;

/// How often the files of the certificate are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);

/// How long the start waits for the first reads.
const FIRST_READS_WITHIN: Duration = Duration::from_secs(5);

/// How long the tails may take for their last statements.
const FAREWELL_WITHIN: Duration = Duration::from_secs(3);

/// The exit code when the operator did not want to wait: as after SIGINT.
const SIGNALLED_TWICE: i32 = 130;

/// Contents of one read or page of a replay, in bytes: also what one slow socket may pin of them.
const PAGE_BYTES: usize = 1 << 20;

/// Why the relay did not start, or ended by itself. One line for a person.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("--database-url (DATABASE_URL): {0}")]
    Database(#[source] PgError),
    #[error("--listen-database-url (ROWCAST_LISTEN_DATABASE_URL): {0}")]
    ListenDatabase(#[source] PgError),
    #[error("--database-url (DATABASE_URL): the sources can't be read: {0}")]
    Registry(#[source] PgError),
    #[error("--listen (ROWCAST_LISTEN) {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// `--authorize-sql` fits none of the sources.
    #[error("{0}")]
    Question(String),
    #[error("--allow-origin (ROWCAST_ALLOW_ORIGIN) {0:?} can't stand in a header")]
    Origin(String),
    #[error("signals can't be listened for: {0}")]
    Signals(#[source] std::io::Error),
    #[error("a task failed; the log says how")]
    TaskFailed,
}

/// A relay that has its socket and its database, and serves nothing yet.
pub struct App {
    server: Server,
    address: SocketAddr,
    /// `None`: without TLS.
    certificate: Option<Arc<Certificate>>,
    relay: Arc<Relay>,
    drain: Drain,
    tasks: Tasks,
    supervisor: Supervisor,
    tickets: Tickets,
    prune_interval: Duration,
}

impl App {
    /// Connects, reads the sources, and binds the socket; `wrap` may add routes to the interface's own and put layers
    /// around them. The database must have been migrated.
    ///
    /// # Errors
    /// [`AppError`], one line that names the option.
    pub async fn bind(
        config: &ServeConfig,
        keyring: Keyring,
        wrap: impl FnOnce(Router) -> Router,
    ) -> Result<Self, AppError> {
        let (database, listen) = databases(config).await?;
        let certificate = match &config.tls {
            None => None,
            Some(files) => Some(Arc::new(Certificate::load(files.clone()).await?)),
        };
        let drain = Drain::new(config.grace_period);
        let tasks = Tasks::default();
        let (bell, listening) = Bell::new(listen, database.clone(), tasks.stop.clone());
        tasks.spawn("bell", listening);
        let relay = {
            let drain = drain.clone();
            Arc::new(Relay::new(
                config.default_source.clone(),
                bell.status(),
                move || drain.is_started(),
            ))
        };
        let settings = http_settings(config)?;
        let limits = settings.limits.clone();
        let gate = Arc::new(Gate::new(keyring, &database));
        tasks.spawn("gate", {
            let (gate, bell, stop) = (gate.clone(), bell.clone(), tasks.stop.clone());
            async move { gate.watch(&bell, stop).await }
        });
        let router = http::router(relay.clone(), gate.clone(), settings, drain.clone(), wrap);
        let (mut server, address) = listen_on(&config.listen, &router, &limits, &drain)?;
        if let Some(certificate) = &certificate {
            server = server.with_tls(certificate.clone());
        }
        let tickets = Tickets::new(database.clone());
        let mut supervisor = Supervisor::new(
            database,
            bell,
            relay.clone(),
            gate.clone(),
            tasks.clone(),
            source_limits(config),
            pace_options(config),
        );
        supervisor.update().await.map_err(AppError::Registry)?;
        check_question(&relay)?;
        Ok(Self {
            server,
            address,
            certificate,
            relay,
            drain,
            tasks,
            supervisor,
            tickets,
            prune_interval: config.prune_interval,
        })
    }

    /// The address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// [`App::run`] until SIGTERM or SIGINT; a second one ends the process at once.
    ///
    /// # Errors
    /// As [`App::run`], and if signals can't be had.
    pub async fn run_until_signalled(self) -> Result<(), AppError> {
        let mut signals = Signals::new().map_err(AppError::Signals)?;
        let drained = CancellationToken::new();
        let asked = drained.clone();
        tokio::spawn(async move {
            signals.next().await;
            asked.cancel();
            signals.next().await;
            tracing::warn!("a second signal: ending at once");
            std::process::exit(SIGNALLED_TWICE);
        });
        self.run(drained.cancelled_owned()).await
    }

    /// Serves until `shutdown` completes, then drains: no new connections, streams end over the grace period, tails
    /// save their positions.
    ///
    /// # Errors
    /// [`AppError::TaskFailed`] if a task panicked.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self {
            server,
            address,
            certificate,
            relay,
            drain,
            tasks,
            supervisor,
            tickets,
            prune_interval,
        } = self;
        first_reads(&relay).await;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        tracing::info!(
            sources = relay.sources().len(),
            "listening on {scheme}://{address}"
        );
        let pruning = pruner::run(relay, tickets, prune_interval, tasks.stop.clone());
        start(&tasks, supervisor, pruning, certificate);
        let connections = TaskTracker::new();
        let accepting = accept_all(&server, &connections);
        tokio::select! {
            () = shutdown => {}
            () = tasks.failed.cancelled() => {}
            () = accepting => {}
        }
        tracing::info!(grace_period = ?drain.grace(), "ending: streams are closed");
        drain.start();
        drop(server);
        connections.close();
        if tokio::time::timeout(drain.grace(), connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = connections.len(),
                "the grace period is over: connections are cut"
            );
        }
        tasks.stop.cancel();
        tasks.tracker.close();
        if tokio::time::timeout(FAREWELL_WITHIN, tasks.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("the database does not answer: ending without its last word");
        }
        if tasks.failed.is_cancelled() {
            Err(AppError::TaskFailed)
        } else {
            Ok(())
        }
    }
}

/// The tasks that nobody has started before there was something to serve.
fn start(
    tasks: &Tasks,
    supervisor: Supervisor,
    pruning: impl Future<Output = ()> + Send + 'static,
    certificate: Option<Arc<Certificate>>,
) {
    let stop = tasks.stop.clone();
    tasks.spawn("supervisor", async move { supervisor.run(stop).await });
    tasks.spawn("pruner", pruning);
    if let Some(certificate) = certificate {
        let stop = tasks.stop.clone();
        tasks.spawn("certificate", async move {
            let watch = certificate.watch(CERTIFICATE_INTERVAL);
            let _ = stop.run_until_cancelled(watch).await;
        });
    }
}

/// Who connects the moment the address is logged finds the sources followed.
async fn first_reads(relay: &Relay) {
    let reads = async {
        for source in relay.sources() {
            source.control().started().await;
        }
    };
    if tokio::time::timeout(FIRST_READS_WITHIN, reads).await.is_err() {
        tracing::warn!("a source is still catching up");
    }
}

async fn accept_all(server: &Server, connections: &TaskTracker) {
    while let Some(connection) = server.accept().await {
        connections.spawn(connection);
    }
}

fn listen_on(
    addresses: &[SocketAddr],
    router: &Router,
    limits: &Arc<Limits>,
    drain: &Drain,
) -> Result<(Server, SocketAddr), AppError> {
    let mut failure = None;
    for &address in addresses {
        let bound = Server::bind(address, router.clone(), limits.clone(), drain.clone())
            .and_then(|server| server.local_address().map(|local| (server, local)));
        match bound {
            Ok(bound) => return Ok(bound),
            Err(source) => failure = Some(AppError::Listen { address, source }),
        }
    }
    Err(failure.expect("there is at least one address"))
}

/// The database, and the one to LISTEN on.
async fn databases(config: &ServeConfig) -> Result<(Database, Database), AppError> {
    let pool = PoolOptions {
        size: config.pool_size,
        ..PoolOptions::default()
    };
    let database = Database::connect(&config.database_url, &pool)
        .await
        .map_err(AppError::Database)?;
    let listen = match &config.listen_database_url {
        None => database.clone(),
        // Should nobody answer there, tails poll, and it is tried again and again.
        Some(url) => Database::unconnected(url).map_err(AppError::ListenDatabase)?,
    };
    Ok((database, listen))
}

/// A question that fits none of the attached tables is a mistake of whoever starts the relay. One that fits some must not
/// keep it from starting: an application may attach another table at any time. The log and `/health/ready` name those.
fn check_question(relay: &Relay) -> Result<(), AppError> {
    let mut misfits = relay.misfits();
    match misfits.pop() {
        Some(reason) if misfits.len() + 1 == relay.sources().len() => Err(AppError::Question(reason)),
        _ => Ok(()),
    }
}

fn http_settings(config: &ServeConfig) -> Result<HttpSettings, AppError> {
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

fn source_limits(config: &ServeConfig) -> SourceLimits {
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

fn pace_options(config: &ServeConfig) -> PaceOptions {
    PaceOptions {
        poll_interval: config.poll_interval,
        busy_bells_per_second: config.busy_bells_per_second,
        quiet_after: config.quiet_after,
    }
}
