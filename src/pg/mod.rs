//! PostgreSQL: how sessions are opened, pooled and found dead. Only this module and `sql/` know SQL.
//!
//! A [`Database`] is an address with the manners of its sessions; a [`Session`] is one connection. Every connection
//! names itself `rowcast <purpose>` in `pg_stat_activity`, goes to a server that takes writes (a standby would break
//! the exactness of the cursor), and is found dead within some 20 s.

pub mod answer;
pub mod attach;
pub mod authorize;
pub mod backoff;
pub mod bell;
mod dial;
mod error;
pub mod examine;
pub mod flag;
pub mod migrate;
pub mod publish;
pub mod queue;
pub mod reauthorize;
pub mod script;
mod secret;
pub mod server;
mod session;
pub mod source;
mod statements;
pub mod store;
mod template;
pub mod tickets;
mod tls;
mod tls_files;
mod url;
mod verify;

pub use dial::open_unpinned;
pub use error::{PgError, in_words};
pub use session::Session;
pub use tls::TlsSettingError;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Metrics};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use dial::{CONNECT_WITHIN, honours_options, named, open, parse, refuses_options, with_pinned_settings};
use error::Target;
use tls::{Driver, Tls};

/// A pooled connection that lay idle for longer is asked whether it is alive before it is handed out.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How long that question may take.
const RECYCLE_WITHIN: Duration = Duration::from_secs(2);

/// Connections that insert what was published. Few: publishing is a convenience, each insert takes a millisecond.
pub const HOST_POOL_SIZE: usize = 4;

/// Connections that ask who may read. Apart from the others, since the operator's statement may be slow.
pub const AUTHORIZE_POOL_SIZE: usize = 4;

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

/// How a pool is used at the moment.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    /// Connections that may be open.
    pub most: usize,
    /// That are open.
    pub open: usize,
    /// Of them, that nobody uses.
    pub available: usize,
    /// Those who wait for one.
    pub waiting: usize,
}

impl PoolUse {
    fn of(pool: &Pool) -> Self {
        let status = pool.status();
        Self {
            most: status.max_size,
            open: status.size,
            available: status.available,
            waiting: status.waiting,
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
    tls: Tls,
    target: Target,
    pool: Pool,
    host_pool: Pool,
    authorize_pool: Pool,
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
    /// Each in one line without secrets: a malformed URL, a parameter of TLS or a file of it that is no good, nobody at the
    /// address, TLS that fails, no such database, wrong password, a standby.
    pub async fn connect(url: &str, options: &PoolOptions) -> Result<Self, PgError> {
        let (plain, tls, target) = parse(url)?;
        let pinned = with_pinned_settings(&plain);
        let honoured = match open(&pinned, &tls, &target, "probe").await {
            Ok(client) => honours_options(&client).await?,
            Err(error) if refuses_options(&error) => {
                open(&plain, &tls, &target, "probe").await?;
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
        Self::build(plain, honoured.then_some(pinned), tls, target, options)
    }

    /// Opens nothing yet: for an address that is only listened on, whose absence is no reason to fail.
    ///
    /// # Errors
    ///
    /// A malformed URL, or a parameter of TLS or a file of it that is no good.
    pub fn unconnected(url: &str) -> Result<Self, PgError> {
        let (plain, tls, target) = parse(url)?;
        Self::build(plain, None, tls, target, &PoolOptions::default())
    }

    fn build(
        plain: Config,
        pinned: Option<Config>,
        tls: Tls,
        target: Target,
        options: &PoolOptions,
    ) -> Result<Self, PgError> {
        let pool = pool(
            named(pinned.as_ref().unwrap_or(&plain), "pool"),
            tls.clone(),
            options.size,
            options.wait,
        );
        let unbuilt = |error: deadpool_postgres::BuildError| target.unanswered(error.to_string());
        let of_host = |purpose, size| self::pool(named(&plain, purpose), tls.clone(), size, options.wait);
        let (pool, host_pool, authorize_pool) = (
            pool.map_err(unbuilt)?,
            of_host("publish", HOST_POOL_SIZE).map_err(unbuilt)?,
            of_host("authorize", AUTHORIZE_POOL_SIZE).map_err(unbuilt)?,
        );
        Ok(Self {
            inner: Arc::new(Inner {
                plain,
                pinned,
                tls,
                target,
                pool,
                host_pool,
                authorize_pool,
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
            &inner.tls,
            &inner.target,
            purpose,
        )
        .await?;
        Ok(Session::dedicated(client, self.is_pinned()))
    }

    /// The pools, by name: replays and polls; publishing; who may read.
    pub fn pools(&self) -> [(&'static str, PoolUse); 3] {
        let inner = &*self.inner;
        let pools = [
            ("main", &inner.pool),
            ("publish", &inner.host_pool),
            ("authorize", &inner.authorize_pool),
        ];
        pools.map(|(name, pool)| (name, PoolUse::of(pool)))
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
        self.unpinned(&self.inner.host_pool).await
    }

    /// Borrows a session for the operator's statement of who may read, from a pool of four of its own. Its settings are
    /// those of the role, too.
    pub(super) async fn authorize_session(&self) -> Result<Session, PgError> {
        self.unpinned(&self.inner.authorize_pool).await
    }

    async fn unpinned(&self, pool: &Pool) -> Result<Session, PgError> {
        let inner = &*self.inner;
        let object = pool
            .get()
            .await
            .map_err(|error| inner.target.pool_error(error, inner.wait))?;
        Ok(Session::pooled(object, false))
    }

    /// A connection that the caller drives (the LISTEN connection). Pinned like any other: a database that is read-only by
    /// default would be taken for a standby. The caller bounds its time.
    pub(super) async fn dial(&self, purpose: &str) -> Result<(Client, Driver), PgError> {
        let inner = &*self.inner;
        let config = named(inner.pinned.as_ref().unwrap_or(&inner.plain), purpose);
        let connected = inner.tls.connect(&config).await;
        connected.map_err(|error| inner.target.connect_error(error))
    }
}

/// Opens no connection until one is asked for. Dead connections are replaced when they are next asked for, so that a pool
/// recovers by itself from a database that went away.
fn pool(
    config: Config,
    tls: Tls,
    size: usize,
    wait: Duration,
) -> Result<Pool, deadpool_postgres::BuildError> {
    // `Fast` looks only whether the socket is known to be closed; the hook asks those that lay idle.
    let manager = Manager::from_connect(
        config,
        tls,
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
