//! Opening one connection: the URL with our manners, the start-up options, and whether they were taken.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Connect};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::error::{self, PgError, Target};
use super::session;
use super::tls::{Driver, Tls};
use super::url;

/// How long opening a session may take in all: a stopped server's kernel still takes connections, nobody answers.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The URL as a configuration with our manners, its TLS, and its words for messages.
pub(super) fn parse(url: &str) -> Result<(Config, Tls, Target), PgError> {
    let (url, parameters) = url::without_tls(url);
    let mut config: Config = url.parse().map_err(|error| PgError::MalformedUrl {
        reason: error::describe(&error),
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        let reason = "it names no host (for a socket: postgres:///NAME?host=/var/run/postgresql)".to_owned();
        return Err(PgError::MalformedUrl { reason });
    }
    let target = target(&config);
    let tls = Tls::new(parameters, &mut config)?;
    // A half-open connection is found by keepalives (10 s idle, then three probes 3 s apart) or by 12 s without an
    // acknowledgement: within some 20 s, where the defaults take hours.
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
    Ok((config, tls, target))
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

pub(super) fn named(config: &Config, purpose: &str) -> Config {
    let mut config = config.clone();
    config.application_name(format!("rowcast {purpose}"));
    config
}

/// Ours come last and win over those that the URL has.
pub(super) fn with_pinned_settings(plain: &Config) -> Config {
    let ours = session::startup_options(&session::pinned_settings());
    let mut config = plain.clone();
    config.options(match plain.get_options() {
        Some(theirs) => format!("{theirs} {ours}"),
        None => ours,
    });
    config
}

pub(super) async fn open(
    config: &Config,
    tls: &Tls,
    target: &Target,
    purpose: &str,
) -> Result<ClientWrapper, PgError> {
    let (client, driver) = dial(config, tls, target, purpose).await?;
    Ok(ClientWrapper::new(client, driver))
}

/// A session for setting things up, with the settings that the role has: a table that a person names is looked up on
/// their search path. Never pooled, nothing prepared.
///
/// # Errors
///
/// As [`super::Database::connect`].
pub async fn open_unpinned(url: &str, purpose: &str) -> Result<Client, PgError> {
    let (mut config, tls, target) = parse(url)?;
    // What is read-only by default is no standby; a relay's own sessions tell the two apart, by pinning that setting.
    config.target_session_attrs(TargetSessionAttrs::Any);
    let (client, _driver) = dial(&config, &tls, &target, purpose).await?;
    Ok(client)
}

/// Connects, and drives the connection in a task that ends with its client.
async fn dial(
    config: &Config,
    tls: &Tls,
    target: &Target,
    purpose: &str,
) -> Result<(Client, JoinHandle<()>), PgError> {
    let config = named(config, purpose);
    let (client, driver) = match timeout(CONNECT_WITHIN, tls.connect(&config)).await {
        Ok(connected) => connected.map_err(|error| target.connect_error(error))?,
        Err(_) => return Err(target.unanswered(format!("no answer within {CONNECT_WITHIN:?}"))),
    };
    Ok((client, tokio::spawn(drive(driver, purpose.to_owned()))))
}

async fn drive(driver: Driver, purpose: String) {
    if let Err(error) = driver.await {
        tracing::debug!(
            purpose,
            reason = error::describe(&error),
            "a connection to PostgreSQL broke"
        );
    }
}

/// How a pool connects.
impl Connect for Tls {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        let purpose = config.get_application_name().unwrap_or_default().to_owned();
        async move {
            let (client, driver) = Tls::connect(self, &config).await?;
            Ok((client, tokio::spawn(drive(driver, purpose))))
        }
        .boxed()
    }
}

/// Poolers answer an option they don't know with `unsupported startup parameter` (PgBouncer, any version) while the
/// session is opened.
pub(super) fn refuses_options(error: &PgError) -> bool {
    let Some(db) = error.db_error() else { return false };
    let message = db.message();
    message.contains("startup parameter") || message.contains("startup option")
}

/// Some poolers take start-up options and drop them (`ignore_startup_parameters = options`): look at what arrived.
pub(super) async fn honours_options(client: &ClientWrapper) -> Result<bool, PgError> {
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
