//! The relay as one process: wires the parts, supervises them, drains.

mod admin;
mod gauges;
mod pruner;
mod service_manager;
mod settings;
mod supervisor;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Gate, Keyring};
use crate::config::ServeConfig;
use crate::http::admin::Surroundings;
use crate::http::serve::Server;
use crate::http::tls::{Certificate, TlsError};
use crate::http::{self, HttpSettings, Limits};
use crate::pg::bell::Bell;
use crate::pg::queue::QueueUsage;
use crate::pg::tickets::Tickets;
use crate::pg::{Database, PgError, PoolOptions};
use crate::relay::Relay;
use crate::shutdown::{Drain, Signals};
use crate::telemetry::RecentLines;

use admin::Admin;
use settings::{http_settings, pace_options, source_limits};
use supervisor::{Supervisor, Wiring};
use tasks::Tasks;

/// How often the files of the certificate are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);

/// How long the start waits for the first reads.
const FIRST_READS_WITHIN: Duration = Duration::from_secs(5);

/// How long the tails may take for their last statements.
const FAREWELL_WITHIN: Duration = Duration::from_secs(3);

/// The exit code when the operator did not want to wait: as after SIGINT.
const SIGNALLED_TWICE: i32 = 130;

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
    #[error("--admin-listen (ROWCAST_ADMIN_LISTEN) {address}: {source}")]
    AdminListen {
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
    /// `None`: operators ask on the public port.
    admin: Option<Admin>,
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
    /// around them. The database must have been migrated. Operators are shown the `recent` failures of the log.
    ///
    /// # Errors
    /// [`AppError`], one line that names the option.
    pub async fn bind(
        config: &ServeConfig,
        keyring: Keyring,
        recent: RecentLines,
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
        let relay = new_relay(config, &bell, &drain);
        let settings = http_settings(config)?;
        let (limits, metrics) = (settings.limits.clone(), settings.metrics.clone());
        let queue = QueueUsage::new();
        gauges::register(&metrics, &relay, &limits, &database, &queue);
        let gate = Arc::new(Gate::new(keyring, &database));
        tasks.spawn("gate", {
            let (gate, bell, stop) = (gate.clone(), bell.clone(), tasks.stop.clone());
            async move { gate.watch(&bell, stop).await }
        });
        let surroundings = Surroundings::new(&database, &queue, recent);
        let admin = bind_admin(config, &relay, &gate, &settings, surroundings)?;
        let router = http::router(relay.clone(), gate.clone(), settings, drain.clone(), wrap);
        let (mut server, address) = listen_on(&config.listen, &router, &limits, &drain)?;
        if let Some(certificate) = &certificate {
            server = server.with_tls(certificate.clone());
        }
        let tickets = Tickets::new(database.clone());
        let mut supervisor = Supervisor::new(Wiring {
            database,
            bell,
            relay: relay.clone(),
            gate: gate.clone(),
            limits: source_limits(config),
            pace: pace_options(config),
            tasks: tasks.clone(),
            metrics,
            queue,
        });
        supervisor.update().await.map_err(AppError::Registry)?;
        check_question(&relay)?;
        Ok(Self {
            server,
            address,
            admin,
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
            admin,
            certificate,
            relay,
            drain,
            tasks,
            supervisor,
            tickets,
            prune_interval,
        } = self;
        if let Some(admin) = admin {
            tasks.spawn("admin", admin.run(tasks.stop.clone()));
        }
        first_reads(&relay).await;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        tracing::info!(
            sources = relay.sources().len(),
            "listening on {scheme}://{address}"
        );
        service_manager::ready(relay.sources().len());
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
        service_manager::stopping();
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

fn new_relay(config: &ServeConfig, bell: &Bell, drain: &Drain) -> Arc<Relay> {
    let drain = drain.clone();
    let relay = Relay::new(config.default_source.clone(), bell.status(), move || {
        drain.is_started()
    });
    Arc::new(relay)
}

/// The listener for operators. Where it is on loopback addresses alone, pages of other sites must not come in by a name of
/// theirs, whatever holds for the public port.
fn bind_admin(
    config: &ServeConfig,
    relay: &Arc<Relay>,
    gate: &Arc<Gate>,
    settings: &HttpSettings,
    surroundings: Surroundings,
) -> Result<Option<Admin>, AppError> {
    let addresses = &config.observe.admin_listen;
    let settings = HttpSettings {
        local_names_only: addresses.iter().all(|address| address.ip().is_loopback()),
        ..settings.clone()
    };
    let metrics = settings.metrics.clone();
    let drain = admin::new_drain();
    let router = http::admin::router(relay.clone(), gate.clone(), settings, drain.clone(), surroundings);
    Admin::bind(addresses, &router, &metrics, drain)
}

/// The tasks that nobody has started before there was something to serve.
fn start(
    tasks: &Tasks,
    supervisor: Supervisor,
    pruning: impl Future<Output = ()> + Send + 'static,
    certificate: Option<Arc<Certificate>>,
) {
    let until_stopped = |task| {
        let stop = tasks.stop.clone();
        async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        }
    };
    let stop = tasks.stop.clone();
    tasks.spawn("supervisor", async move { supervisor.run(stop).await });
    tasks.spawn("pruner", pruning);
    tasks.spawn(
        "signs of life",
        until_stopped(service_manager::signs_of_life().boxed()),
    );
    if let Some(certificate) = certificate {
        let watch = async move { certificate.watch(CERTIFICATE_INTERVAL).await };
        tasks.spawn("certificate", until_stopped(watch.boxed()));
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
