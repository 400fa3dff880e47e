//! TLS to PostgreSQL: what a URL asks for (as libpq's manual has it, "SSL Support"), and connecting as it asks.
//!
//! Files are read again for each connection, as libpq does, so that a renewed certificate is used by the next one. A file
//! that is broken by then is no reason to be without a database: what was good stays in use, and the log says so.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls_files::{Contents, Settings, connector};
use super::url::TlsParameters;

pub use super::tls_files::TlsSettingError;

/// A connection as it is driven: plain, or over TLS.
pub(super) type Driver = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// How much TLS is asked for (`sslmode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    /// Only where the server does not let one in without.
    Allow,
    /// Where the server has it. libpq's default.
    #[default]
    Prefer,
    /// Encrypted; nobody is verified, unless `sslrootcert` is given.
    Require,
    /// The authority is verified.
    VerifyCa,
    /// The authority and the name.
    VerifyFull,
}

impl Mode {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "disable" => Some(Self::Disable),
            "allow" => Some(Self::Allow),
            "prefer" => Some(Self::Prefer),
            "require" => Some(Self::Require),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }

    /// What tokio-postgres is to try, one after the other.
    fn attempts(self) -> &'static [SslMode] {
        match self {
            Self::Disable => &[SslMode::Disable],
            Self::Allow => &[SslMode::Disable, SslMode::Require],
            Self::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[SslMode::Require],
        }
    }

    /// Whether it does without TLS if need be.
    fn is_weak(self) -> bool {
        matches!(self, Self::Disable | Self::Allow | Self::Prefer)
    }
}

/// The TLS of one URL. Clones share it.
#[derive(Clone)]
pub(super) struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    mode: Mode,
    settings: Settings,
    /// The files as they were when this connector was made of them, and the connector.
    current: Mutex<(Contents, MakeRustlsConnect)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("mode", &self.inner.mode)
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads what the URL says, and the files that it names. What tokio-postgres has to know is set in `config`.
    ///
    /// # Errors
    /// A parameter that is none, parameters that don't go together, a file that is no good.
    pub(super) fn new(parameters: TlsParameters, config: &mut Config) -> Result<Self, TlsSettingError> {
        let system = parameters.sslrootcert.as_deref() == Some("system");
        let mode = match parameters.sslmode {
            None if system => Mode::VerifyFull,
            None => Mode::default(),
            Some(word) => Mode::parse(&word).ok_or(TlsSettingError::Mode(word))?,
        };
        if system && mode != Mode::VerifyFull {
            return Err(TlsSettingError::WeakSystem);
        }
        match parameters.sslnegotiation.as_deref() {
            None | Some("postgres") => {}
            Some("direct") if mode.is_weak() => return Err(TlsSettingError::WeakDirect),
            Some("direct") => {
                config.ssl_negotiation(SslNegotiation::Direct);
            }
            Some(other) => return Err(TlsSettingError::Negotiation(other.to_owned())),
        }
        let mode = if is_local(config) { Mode::Disable } else { mode };
        name_addresses(config);
        let settings = Settings::new(
            mode,
            parameters.sslrootcert,
            parameters.sslcert,
            parameters.sslkey,
        )?;
        let contents = Contents::read(&settings)?;
        let connector = connector(&settings, &contents)?;
        Ok(Self {
            inner: Arc::new(Inner {
                mode,
                settings,
                current: Mutex::new((contents, connector)),
            }),
        })
    }

    /// Connects, with TLS or without, as the mode has it.
    ///
    /// # Errors
    /// The driver's. Where a second attempt was turned away at the door like the first, the first one's.
    pub(super) async fn connect(&self, config: &Config) -> Result<(Client, Driver), Error> {
        let connector = self.connector();
        let mut refusal = None;
        for mode in self.inner.mode.attempts() {
            let mut config = config.clone();
            config.ssl_mode(*mode);
            match config.connect(connector.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(error) if !is_turned_away(&error) => return Err(error),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.expect("there is at least one attempt, and it was refused"))
    }

    /// Of the files as they are now, or as they were when they were good. (A few kilobytes: not worth a thread.)
    fn connector(&self) -> MakeRustlsConnect {
        let settings = &self.inner.settings;
        let mut current = self.inner.current.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = Contents::read(settings).and_then(|contents| {
            let is_news = contents != current.0;
            is_news
                .then(|| connector(settings, &contents).map(|connector| (contents, connector)))
                .transpose()
        });
        match renewed {
            Ok(None) => {}
            Ok(Some(renewed)) => *current = renewed,
            Err(error) => tracing::warn!(%error, "the certificates in use are kept"),
        }
        current.1.clone()
    }
}

/// Over Unix sockets there is no TLS; libpq ignores its parameters then.
fn is_local(config: &Config) -> bool {
    let hosts = config.get_hosts();
    config.get_hostaddrs().is_empty()
        && !hosts.is_empty()
        && hosts.iter().all(|host| matches!(host, Host::Unix(_)))
}

/// tokio-postgres has no TLS for an address without a name: give it the address as its name, which certificates may
/// have, too.
fn name_addresses(config: &mut Config) {
    if config.get_hosts().is_empty() {
        for address in config.get_hostaddrs().to_vec() {
            config.host(address.to_string());
        }
    }
}

/// Why there was no session: TLS failed, in words; `None` if it is something else.
pub(super) fn failure(error: &Error) -> Option<String> {
    let cause = std::error::Error::source(error)?;
    let of_rustls = cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| inner.is::<rustls::Error>());
    // The driver tells its kinds of errors apart by their words alone.
    let is_handshake = error.to_string().starts_with("error performing TLS handshake");
    (of_rustls || is_handshake).then(|| cause.to_string())
}

/// Whether the server might let one in with TLS instead of without, or the other way round: TLS failed, or
/// `pg_hba.conf` has no entry.
fn is_turned_away(error: &Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) || failure(error).is_some()
}
