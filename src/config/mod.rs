//! What `serve` runs with: options, validated once, so that nothing behind this file asks again.
//!
//! Flags win over the environment. An error is one line that names the flag and the variable.

mod access;
mod args;
mod file;
mod limits;
mod observe;
mod secret;
mod values;

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{Args as _, FromArgMatches as _};

pub use access::{Auth, AuthArg, JwtAlgorithm, JwtConfig, KeySource};
pub use args::{DatabaseArgs, ServeArgs, SessionArgs};
pub use file::{FileError, SettingsFile, render};
pub use limits::{Limits, Network, TlsFiles};
pub use observe::Observe;
pub use secret::Secret;
pub use values::{duration, source_name};

/// Everything a relay can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    pub database_url: String,
    /// For LISTEN, where it can't go through the first one's pooler.
    pub listen_database_url: Option<String>,
    /// Connections for replays and polls.
    pub pool_size: usize,
    /// Never empty: more than one where a name has several addresses; the first that can be bound is served.
    pub listen: Vec<SocketAddr>,
    /// `None`: without TLS.
    pub tls: Option<TlsFiles>,
    pub auth: Auth,
    pub limits: Limits,
    pub observe: Observe,
    /// Exact, as browsers send them.
    pub allow_origins: Vec<String>,
    /// Empty, or with a slash before and none behind.
    pub base_path: String,
    pub allow_publish: bool,
    /// Whether clients may follow all rooms of a source at once.
    pub allow_firehose: bool,
    /// `None`: the first attached.
    pub default_source: Option<String>,
    pub heartbeat: Duration,
    /// `None`: random, 1 to 3 s.
    pub retry: Option<Duration>,
    pub grace_period: Duration,
    pub max_event_bytes: usize,
    pub busy_bells_per_second: u32,
    pub poll_interval: Duration,
    pub quiet_after: Duration,
    pub prune_interval: Duration,
    /// Of one room.
    pub ring_events: usize,
    /// Of one room.
    pub ring_bytes: usize,
    /// Of all rooms.
    pub ring_total_bytes: usize,
    pub room_linger: Duration,
    pub replays_at_once: usize,
}

/// Options that don't go together; each names the flag and the variable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{0}")]
    Demo(String),
    #[error("no database: give --database-url or DATABASE_URL, as postgresql://user:password@host:5432/name")]
    NoDatabase,
    #[error(
        "--listen (ROWCAST_LISTEN) {value:?} is no address: {reason}; give one like 127.0.0.1:8080 or [::1]:8080"
    )]
    Listen { value: String, reason: String },
    #[error(
        "--admin-listen (ROWCAST_ADMIN_LISTEN) {value:?} is no address: {reason}; give one like 127.0.0.1:8081 or [::1]:8081"
    )]
    AdminListen { value: String, reason: String },
    #[error(
        "--auth (ROWCAST_AUTH) must be given, since --listen (ROWCAST_LISTEN) {0} is not a loopback address and everybody \
         who reaches it could subscribe; --auth none says that this is meant"
    )]
    AuthMissing(SocketAddr),
    #[error("{0} is for --auth (ROWCAST_AUTH) jwt, which is not given: without it everybody could subscribe")]
    NeedsJwt(&'static str),
    #[error(
        "--auth (ROWCAST_AUTH) jwt needs the keys of tokens: exactly one of --jwt-secret (ROWCAST_JWT_SECRET), --jwt-public-key \
         (ROWCAST_JWT_PUBLIC_KEY) and --jwks-url (ROWCAST_JWKS_URL)"
    )]
    JwtKeys,
    #[error(
        "--jwt-secret (ROWCAST_JWT_SECRET) is too short: give 32 bytes or more, as of `openssl rand -base64 48`"
    )]
    ShortSecret,
    #[error(
        "--jwks-url (ROWCAST_JWKS_URL), of {0:?}, must be https, since whoever is in between could give keys of their own"
    )]
    OpenJwks(String),
    #[error(
        "--jwt-algorithms (ROWCAST_JWT_ALGORITHMS): {0:?} does not go with these keys: HS256, HS384 and HS512 are for --jwt-secret, \
         the others for public keys"
    )]
    Algorithm(JwtAlgorithm),
    #[error(
        "--tls-cert (ROWCAST_TLS_CERT) and --tls-key (ROWCAST_TLS_KEY) go together: give both, or neither"
    )]
    HalfTls,
    #[error(
        "--ring-bytes (ROWCAST_RING_BYTES) is {ring}, more than --ring-total-bytes (ROWCAST_RING_TOTAL_BYTES), {total}"
    )]
    RingTotal { ring: usize, total: usize },
}

impl DatabaseArgs {
    /// The URL, which every command but `demo` needs.
    pub fn url(&self) -> Result<&str, ConfigError> {
        self.database_url
            .as_deref()
            .filter(|url| !url.is_empty())
            .ok_or(ConfigError::NoDatabase)
    }
}

impl ServeConfig {
    /// Validates the options of `serve`. Looks `--listen` up where it is a name.
    pub fn new(args: ServeArgs) -> Result<Self, ConfigError> {
        let database_url = args.sessions.database.url()?.to_owned();
        let listen = addresses(&args.listen).map_err(|reason| ConfigError::Listen {
            value: args.listen.clone(),
            reason,
        })?;
        let auth = Auth::new(args.access, &listen)?;
        let tls = TlsFiles::new(args.tls)?;
        if args.ring_bytes > args.ring_total_bytes {
            return Err(ConfigError::RingTotal {
                ring: args.ring_bytes,
                total: args.ring_total_bytes,
            });
        }
        Ok(Self {
            database_url,
            listen_database_url: args.sessions.listen_database_url.filter(|url| !url.is_empty()),
            pool_size: args.sessions.pool_size.into(),
            listen,
            tls,
            auth,
            limits: args.limits.into(),
            observe: Observe::new(args.observe)?,
            allow_origins: args.allow_origins,
            base_path: args.base_path,
            allow_publish: args.allow_publish,
            allow_firehose: args.allow_firehose,
            default_source: args.default_source,
            heartbeat: args.heartbeat,
            retry: args.retry,
            grace_period: args.grace_period,
            max_event_bytes: args.max_event_bytes,
            busy_bells_per_second: args.busy_bells_per_second,
            poll_interval: args.poll_interval,
            quiet_after: args.quiet_after,
            prune_interval: args.prune_interval,
            ring_events: args.ring_events as usize,
            ring_bytes: args.ring_bytes,
            ring_total_bytes: args.ring_total_bytes,
            room_linger: args.room_linger,
            replays_at_once: args.replays_at_once.into(),
        })
    }
}

impl ServeConfig {
    /// Whether everybody may subscribe, but only from this machine.
    pub fn is_open_to_its_machine_alone(&self) -> bool {
        self.auth == Auth::None && self.listen.iter().all(|address| address.ip().is_loopback())
    }

    /// The demo's: the defaults, its own database and address, everybody, and publishing; it ends within a second. What the
    /// environment says is for the relay of its user (keys of tokens, another database to listen at): nothing of it is read.
    pub fn for_demo(database_url: &str, listen: SocketAddr) -> Result<Self, ConfigError> {
        let listen = listen.to_string();
        let words = [
            "demo",
            "--database-url",
            database_url,
            "--listen",
            &listen,
            "--auth",
            "none",
            "--allow-publish",
            "--grace-period",
            "1s",
        ];
        let command = ServeArgs::augment_args(clap::Command::new("demo")).mut_args(|option| option.env(None));
        let matches = command
            .try_get_matches_from(words)
            .map_err(|error| ConfigError::Demo(error.to_string()))?;
        let args =
            ServeArgs::from_arg_matches(&matches).map_err(|error| ConfigError::Demo(error.to_string()))?;
        Self::new(args)
    }
}

/// What `value` means, or why it is no address.
fn addresses(value: &str) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = value
        .to_socket_addrs()
        .map_err(|error| error.to_string())?
        .collect();
    if found.is_empty() {
        Err("the name has none".to_owned())
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(args: &[&str]) -> Result<ServeConfig, ConfigError> {
        let all = ["rowcast", "--database-url", "postgresql://localhost/x"]
            .iter()
            .chain(args);
        ServeConfig::new(Program::parse_from(all).serve)
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let config = config(&[]).expect("the defaults go together");
        assert_eq!(config.listen, ["127.0.0.1:8080".parse().expect("an address")]);
        assert_eq!(config.heartbeat, Duration::from_secs(15));
        assert_eq!(config.retry, None);
        assert_eq!(config.max_event_bytes, 1 << 20);
        assert_eq!(config.base_path, "");
        assert!(!config.allow_publish && !config.allow_firehose);
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn an_open_address_needs_auth_to_be_given() {
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            assert!(
                matches!(config(&["--listen", listen]), Err(ConfigError::AuthMissing(_))),
                "{listen}"
            );
            assert!(
                config(&["--listen", listen, "--auth", "none"]).is_ok(),
                "{listen}"
            );
        }
        assert!(config(&["--listen", "[::1]:0"]).is_ok());
    }

    /// A name may have several, and the first that can be bound is served.
    #[test]
    fn one_open_address_among_others_is_enough() {
        let access = || Program::parse_from(["rowcast"]).serve.access;
        let [local, open] = ["127.0.0.1:80", "192.0.2.1:80"].map(|text| text.parse().expect("an address"));
        for listen in [[local, open], [open, local]] {
            assert_eq!(Auth::new(access(), &listen), Err(ConfigError::AuthMissing(open)));
        }
        assert_eq!(Auth::new(access(), &[local, local]), Ok(Auth::None));
    }

    #[test]
    fn only_loopback_addresses_without_auth_are_open_to_their_machine_alone() {
        let is_so = |args: &[&str]| {
            config(args)
                .expect("they go together")
                .is_open_to_its_machine_alone()
        };
        assert!(is_so(&[]) && is_so(&["--listen", "[::1]:0", "--auth", "none"]));
        assert!(!is_so(&["--listen", "0.0.0.0:0", "--auth", "none"]));
        let secret = "x".repeat(32);
        assert!(!is_so(&["--auth", "jwt", "--jwt-secret", &secret]));
    }

    #[test]
    fn tls_does_not_make_an_open_address_closed() {
        let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        let open = [&tls[..], &["--listen", "0.0.0.0:0"]].concat();
        assert!(matches!(config(&open), Err(ConfigError::AuthMissing(_))));
        let said = [&open[..], &["--auth", "none"]].concat();
        assert!(config(&said).is_ok_and(|config| config.tls.is_some()));
        for half in [&tls[..2], &tls[2..]] {
            assert_eq!(config(half), Err(ConfigError::HalfTls));
        }
    }

    #[test]
    fn what_speaks_of_tokens_is_never_open() {
        for option in [
            ["--jwt-secret", "x"],
            ["--authorize-sql", "select true"],
            ["--auth-cookie", "session"],
        ] {
            assert!(
                matches!(config(&option), Err(ConfigError::NeedsJwt(_))),
                "{option:?}"
            );
        }
    }

    #[test]
    fn an_address_needs_a_port() {
        assert!(matches!(
            config(&["--listen", "127.0.0.1"]),
            Err(ConfigError::Listen { .. })
        ));
    }

    #[test]
    fn origins_repeat() {
        let config = config(&[
            "--allow-origin",
            "https://a.org",
            "--allow-origin",
            "https://b.org",
        ]);
        assert_eq!(
            config.map(|c| c.allow_origins),
            Ok(vec!["https://a.org".to_owned(), "https://b.org".to_owned()])
        );
    }
}
