//! PostgreSQL: how sessions are opened, pooled and found dead. Only this module and `sql/` know SQL.
//!
//! A [`Database`] is an address with the manners of its sessions; a [`Session`] is one connection. Every connection
//! names itself `rowcast <purpose>` in `pg_stat_activity`, goes to a server that takes writes (a standby would break
//! the exactness of the cursor), and is found dead within about 10 s.

pub mod attach;
pub mod backoff;
pub mod bell;
mod error;
pub mod flag;
pub mod migrate;
pub mod publish;
pub mod script;
pub mod server;
mod session;
pub mod source;
pub mod store;

pub use error::{PgError, in_words};
pub use session::Session;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Metrics};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use error::Target;

/// How long opening a session may take in all: a stopped server's kernel still takes connections, nobody answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A pooled connection that lay idle for longer is asked whether it is alive before it is handed out.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How long that question may take.
const RECYCLE_WITHIN: Duration = Duration::from_secs(2);

/// Connections that insert what was published. Few: publishing is a convenience, each insert takes a millisecond.
const HOST_POOL_SIZE: usize = 4;

/// Bounds of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// The most connections it opens.
    pub size: usize,
    /// How long [`Database::pooled`] waits for a free one.
    pub wait: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            size: 8,
            wait: Duration::from_secs(5),
        }
    }
}

/// A database and how sessions to it are opened. Cheap to clone; clones share the pools.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    /// As the URL says, with our manners, without the pinned settings.
    plain: Config,
    /// The same with the pinned settings, where the server takes them at the start.
    pinned: Option<Config>,
    target: Target,
    pool: Pool,
    host_pool: Pool,
    wait: Duration,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("target", &self.inner.target)
            .field("pinned", &self.is_pinned())
            .finish()
    }
}

impl Database {
    /// Opens one session, to see that the database is there and whether it takes start-up options; a pooler may not.
    ///
    /// # Errors
    ///
    /// Each in one line without secrets: a malformed URL, TLS asked for, nobody at the address, no such database, wrong
    /// password, a standby.
    pub async fn connect(url: &str, options: &PoolOptions) -> Result<Self, PgError> {
        let (plain, target) = parse(url)?;
        let pinned = with_pinned_settings(&plain);
        let honoured = match open(&pinned, &target, "probe").await {
            Ok(client) => honours_options(&client).await?,
            Err(error) if refuses_options(&error) => {
                open(&plain, &target, "probe").await?;
                false
            }
            Err(error) => return Err(error),
        };
        if !honoured {
            tracing::info!(
                server = target.server,
                "start-up options are not taken (a pooler?): every read sets what it needs itself"
            );
        }
        Self::build(plain, honoured.then_some(pinned), target, options)
    }

    /// Opens nothing yet: for an address that is only listened on, whose absence is no reason to fail.
    ///
    /// # Errors
    ///
    /// A malformed URL, or one that asks for TLS.
    pub fn unconnected(url: &str) -> Result<Self, PgError> {
        let (plain, target) = parse(url)?;
        Self::build(plain, None, target, &PoolOptions::default())
    }

    fn build(
        plain: Config,
        pinned: Option<Config>,
        target: Target,
        options: &PoolOptions,
    ) -> Result<Self, PgError> {
        let pool = pool(
            named(pinned.as_ref().unwrap_or(&plain), "pool"),
            options.size,
            options.wait,
        );
        let host_pool = pool_of_host(&plain, options.wait);
        let (pool, host_pool) = match (pool, host_pool) {
            (Ok(pool), Ok(host_pool)) => (pool, host_pool),
            (Err(error), _) | (_, Err(error)) => return Err(target.unanswered(error.to_string())),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                plain,
                pinned,
                target,
                pool,
                host_pool,
                wait: options.wait,
            }),
        })
    }

    /// Whether sessions carry the pinned settings from their start; if not, each read sets them itself.
    pub fn is_pinned(&self) -> bool {
        self.inner.pinned.is_some()
    }

    /// `host:port` (or the socket's path) for logs and messages; no user, no password.
    pub fn server(&self) -> &str {
        &self.inner.target.server
    }

    /// Opens a session of its own, closed when dropped. Prepared statements are cached in it.
    ///
    /// # Errors
    ///
    /// As [`Database::connect`]; at most 10 s.
    pub async fn session(&self, purpose: &str) -> Result<Session, PgError> {
        let inner = &*self.inner;
        let client = open(
            inner.pinned.as_ref().unwrap_or(&inner.plain),
            &inner.target,
            purpose,
        )
        .await?;
        Ok(Session::dedicated(client, self.is_pinned()))
    }

    /// Borrows a session from the pool, opening one if there is room.
    ///
    /// # Errors
    ///
    /// [`PgError::PoolTimeout`] when all stayed in use; as [`Database::connect`] when one must be opened.
    pub async fn pooled(&self) -> Result<Session, PgError> {
        let inner = &*self.inner;
        let object = inner
            .pool
            .get()
            .await
            .map_err(|error| inner.target.pool_error(error, inner.wait))?;
        Ok(Session::pooled(object, self.is_pinned()))
    }

    /// Borrows a session for writing into the host's tables, from a pool of four of its own. Its `search_path` and the
    /// like are those of the role, as the triggers of the host expect; do not [`Session::read`] on it.
    ///
    /// # Errors
    ///
    /// As [`Database::pooled`].
    pub async fn host_session(&self) -> Result<Session, PgError> {
        let inner = &*self.inner;
        let object = inner
            .host_pool
            .get()
            .await
            .map_err(|error| inner.target.pool_error(error, inner.wait))?;
        Ok(Session::pooled(object, false))
    }

    /// The settings of a connection that is opened by hand (the LISTEN connection). Pinned like any other: a database
    /// that is read-only by default would be taken for a standby.
    pub(super) fn config(&self, purpose: &str) -> Config {
        let inner = &*self.inner;
        named(inner.pinned.as_ref().unwrap_or(&inner.plain), purpose)
    }

    /// Sorts an error of such a connection.
    pub(super) fn connect_error(&self, error: tokio_postgres::Error) -> PgError {
        self.inner.target.connect_error(error)
    }
}

/// The URL as a configuration with our manners, and its words for messages.
fn parse(url: &str) -> Result<(Config, Target), PgError> {
    // tokio-postgres takes these for malformed values; say what is the matter instead.
    if url.contains("sslmode=verify-") || url.contains("sslrootcert") {
        return Err(PgError::TlsUnsupported);
    }
    let mut config: Config = url.parse().map_err(|error| PgError::MalformedUrl {
        reason: error::describe(&error),
    })?;
    if config.get_ssl_mode() == SslMode::Require || config.get_ssl_negotiation() == SslNegotiation::Direct {
        return Err(PgError::TlsUnsupported);
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        let reason = "it names no host (for a socket: postgres:///NAME?host=/var/run/postgresql)".to_owned();
        return Err(PgError::MalformedUrl { reason });
    }
    let target = target(&config);
    // Keepalives 10/3/3 and 12 s for unacknowledged data find a half-open connection in about 10 s (measured; the
    // default is over 75 s).
    config
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(12))
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    Ok((config, target))
}

fn target(config: &Config) -> Target {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let server = |(at, host): (usize, &Host)| match host {
        // An unescaped @ in a password would leave its tail in the host.
        Host::Tcp(host) => format!("{}:{}", host.rsplit('@').next().unwrap_or_default(), port(at)),
        Host::Unix(directory) => format!("{}/.s.PGSQL.{}", directory.display(), port(at)),
    };
    let mut servers: Vec<String> = config.get_hosts().iter().enumerate().map(server).collect();
    if servers.is_empty() {
        let address = |(at, address): (usize, &std::net::IpAddr)| format!("{address}:{}", port(at));
        servers = config.get_hostaddrs().iter().enumerate().map(address).collect();
    }
    let owned = |name: Option<&str>| name.map(str::to_owned);
    Target {
        server: servers.join(","),
        user: owned(config.get_user()),
        database: owned(config.get_dbname()),
    }
}

fn named(config: &Config, purpose: &str) -> Config {
    let mut config = config.clone();
    config.application_name(format!("rowcast {purpose}"));
    config
}

/// Ours come last and win over those that the URL has.
fn with_pinned_settings(plain: &Config) -> Config {
    let ours = session::startup_options(&session::pinned_settings());
    let mut config = plain.clone();
    config.options(match plain.get_options() {
        Some(theirs) => format!("{theirs} {ours}"),
        None => ours,
    });
    config
}

async fn open(config: &Config, target: &Target, purpose: &str) -> Result<ClientWrapper, PgError> {
    let (client, driver) = dial(config, target, purpose).await?;
    Ok(ClientWrapper::new(client, driver))
}

/// A session for setting things up, with the settings that the role has: a table that a person names is looked up on
/// their search path. Never pooled, nothing prepared.
///
/// # Errors
///
/// As [`Database::connect`].
pub async fn open_unpinned(url: &str, purpose: &str) -> Result<Client, PgError> {
    let (config, target) = parse(url)?;
    let (client, _driver) = dial(&config, &target, purpose).await?;
    Ok(client)
}

/// Connects, and drives the connection in a task that ends with its client.
async fn dial(config: &Config, target: &Target, purpose: &str) -> Result<(Client, JoinHandle<()>), PgError> {
    let config = named(config, purpose);
    let (client, connection) = match timeout(CONNECT_WITHIN, config.connect(NoTls)).await {
        Ok(connected) => connected.map_err(|error| target.connect_error(error))?,
        Err(_) => return Err(target.unanswered(format!("no answer within {CONNECT_WITHIN:?}"))),
    };
    let purpose = purpose.to_owned();
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(
                purpose,
                reason = error::describe(&error),
                "a connection to PostgreSQL broke"
            );
        }
    });
    Ok((client, driver))
}

/// Poolers answer an option they don't know with `unsupported startup parameter` (PgBouncer, any version) while the
/// session is opened.
fn refuses_options(error: &PgError) -> bool {
    let Some(db) = error.db_error() else { return false };
    let message = db.message();
    message.contains("startup parameter") || message.contains("startup option")
}

/// Some poolers take start-up options and drop them (`ignore_startup_parameters = options`): look at what arrived.
async fn honours_options(client: &ClientWrapper) -> Result<bool, PgError> {
    for (name, wanted) in session::pinned_settings() {
        let messages = client.simple_query(&format!("show {name}")).await?;
        let shown = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        // PostgreSQL shows a duration in the largest unit that fits.
        let same = match (name, shown) {
            (_, None) => false,
            ("lock_timeout" | "statement_timeout", Some(shown)) => in_ms(shown) == in_ms(&wanted),
            (_, Some(shown)) => shown.trim_matches('"') == wanted,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A duration as PostgreSQL shows it, in milliseconds.
fn in_ms(shown: &str) -> Option<u64> {
    let digits = shown
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(shown.len());
    let unit = match &shown[digits..] {
        "ms" | "" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => return None,
    };
    Some(shown[..digits].parse::<u64>().ok()? * unit)
}

fn pool_of_host(plain: &Config, wait: Duration) -> Result<Pool, deadpool_postgres::BuildError> {
    pool(named(plain, "publish"), HOST_POOL_SIZE, wait)
}

/// Opens no connection until one is asked for. Dead connections are replaced when they are next asked for, so that a pool
/// recovers by itself from a database that went away.
fn pool(config: Config, size: usize, wait: Duration) -> Result<Pool, deadpool_postgres::BuildError> {
    // `Fast` looks only whether the socket is known to be closed; the hook asks those that lay idle.
    let manager = Manager::from_config(
        config,
        NoTls,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    let hook = Hook::async_fn(|client: &mut ClientWrapper, metrics: &Metrics| Box::pin(ask(client, metrics)));
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait))
        .create_timeout(Some(CONNECT_WITHIN))
        .recycle_timeout(Some(RECYCLE_WITHIN))
        .pre_recycle(hook)
        .build()
}

/// Asks a connection that lay idle whether it is alive; what fails here is replaced by a new one.
async fn ask(client: &ClientWrapper, metrics: &Metrics) -> Result<(), HookError> {
    if metrics.last_used() < TRUSTED_IDLE {
        return Ok(());
    }
    match timeout(RECYCLE_WITHIN, client.simple_query("")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(HookError::Backend(error)),
        Err(_) => Err(HookError::message("no answer")),
    }
}
