//! The files that a database URL names for TLS, what is trusted by them, and the connector made of that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::Mode;
use super::verify::{AnyName, AnyServer};
use crate::pem::{self, PemError};

/// What PostgreSQL 17 asks of clients that begin with TLS (`sslnegotiation=direct`); older servers don't look (ALPN).
const PROTOCOL: &[u8] = b"postgresql";

/// A parameter of TLS in the database URL is no good.
#[derive(Debug, thiserror::Error)]
pub enum TlsSettingError {
    #[error("sslmode {0:?} is none of disable, allow, prefer, require, verify-ca and verify-full")]
    Mode(String),
    #[error("sslnegotiation {0:?} is neither postgres nor direct")]
    Negotiation(String),
    #[error(
        "sslrootcert=system needs sslmode=verify-full: anybody has a certificate of some public authority"
    )]
    WeakSystem,
    #[error("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")]
    WeakDirect,
    #[error("sslmode=verify-ca needs sslrootcert=FILE with the certificate of your authority (PEM)")]
    NoAuthority,
    #[error("sslcert and sslkey go together: give both, or neither")]
    HalfClient,
    #[error("{parameter} {} {reason}", file.display())]
    File {
        parameter: &'static str,
        file: PathBuf,
        reason: PemError,
    },
    #[error(
        "sslkey {} can be read by others: chmod 0600 (or, where root owns it, 0640)",
        .0.display()
    )]
    OpenKey(PathBuf),
    #[error("sslkey {} does not go with sslcert {}: {reason}", key.display(), certificate.display())]
    Client {
        key: PathBuf,
        certificate: PathBuf,
        reason: rustls::Error,
    },
    #[error("sslrootcert {} can't be used: {reason}", file.display())]
    Authority { file: PathBuf, reason: String },
    #[error("sslrootcert=system: this machine has no certificates of authorities (Debian: ca-certificates)")]
    NoSystem,
}

/// Who may have signed the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authorities {
    /// Anybody.
    Any,
    /// Those that this machine trusts.
    System,
    /// Those in a file.
    File(PathBuf),
}

/// The certificate that is shown to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

/// What connections are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    authorities: Authorities,
    /// Whether the certificate must have the server's name.
    checks_name: bool,
    identity: Option<Identity>,
}

impl Settings {
    /// `require` with a file of authorities is `verify-ca`, as in libpq. Other than there, `verify-full` without one trusts
    /// the authorities of the machine, and nothing is read from `~/.postgresql`.
    pub(super) fn new(
        mode: Mode,
        root: Option<String>,
        certificate: Option<String>,
        key: Option<String>,
    ) -> Result<Self, TlsSettingError> {
        let authorities = match (mode, root) {
            (Mode::Disable | Mode::Allow | Mode::Prefer, _) | (Mode::Require, None) => Authorities::Any,
            (Mode::VerifyCa, None) => return Err(TlsSettingError::NoAuthority),
            (Mode::VerifyFull, None) => Authorities::System,
            (_, Some(system)) if system == "system" => Authorities::System,
            (_, Some(file)) => Authorities::File(file.into()),
        };
        let identity = match (mode, certificate, key) {
            (Mode::Disable, _, _) | (_, None, None) => None,
            (_, Some(certificate), Some(key)) => Some(Identity {
                certificate: certificate.into(),
                key: key.into(),
            }),
            _ => return Err(TlsSettingError::HalfClient),
        };
        Ok(Self {
            authorities,
            checks_name: mode == Mode::VerifyFull,
            identity,
        })
    }
}

/// The bytes of the files; `None` where there is none.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    authorities: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Contents {
    /// # Errors
    /// One can't be read, or the key can be read by others.
    pub(super) fn read(settings: &Settings) -> Result<Self, TlsSettingError> {
        let authorities = match &settings.authorities {
            Authorities::File(file) => Some(read("sslrootcert", file)?),
            Authorities::Any | Authorities::System => None,
        };
        let (certificate, key) = match &settings.identity {
            Some(Identity { certificate, key }) => {
                let certificate = read("sslcert", certificate)?;
                refuse_open_key(key)?;
                (Some(certificate), Some(read("sslkey", key)?))
            }
            None => (None, None),
        };
        Ok(Self {
            authorities,
            certificate,
            key,
        })
    }
}

fn read(parameter: &'static str, file: &Path) -> Result<Vec<u8>, TlsSettingError> {
    fs::read(file).map_err(|error| file_error(parameter, file, error.into()))
}

fn file_error(parameter: &'static str, file: &Path, reason: PemError) -> TlsSettingError {
    TlsSettingError::File {
        parameter,
        file: file.to_owned(),
        reason,
    }
}

/// As libpq: nobody but the owner; a key of root's may be read by its group.
fn refuse_open_key(key: &Path) -> Result<(), TlsSettingError> {
    let metadata = fs::metadata(key).map_err(|error| file_error("sslkey", key, error.into()))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(TlsSettingError::OpenKey(key.to_owned()));
    }
    Ok(())
}

/// What connections are opened with.
///
/// # Errors
/// Contents that are no certificates, no key, or don't go together.
pub(super) fn connector(
    settings: &Settings,
    contents: &Contents,
) -> Result<MakeRustlsConnect, TlsSettingError> {
    let config = ClientConfig::builder_with_provider(pem::cryptography())
        .with_safe_default_protocol_versions()
        .expect("AWS-LC speaks both versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(verifier(settings, contents)?);
    let mut config = match (&settings.identity, &contents.certificate, &contents.key) {
        (Some(files), Some(certificate), Some(key)) => {
            let chain = pem::certificates(certificate)
                .map_err(|reason| file_error("sslcert", &files.certificate, reason))?;
            let key = pem::private_key(key).map_err(|reason| file_error("sslkey", &files.key, reason))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|reason| TlsSettingError::Client {
                    key: files.key.clone(),
                    certificate: files.certificate.clone(),
                    reason,
                })?
        }
        _ => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    settings: &Settings,
    contents: &Contents,
) -> Result<Arc<dyn ServerCertVerifier>, TlsSettingError> {
    let mut trusted = RootCertStore::empty();
    let file = match (&settings.authorities, &contents.authorities) {
        (Authorities::File(file), Some(text)) => {
            let authorities =
                pem::certificates(text).map_err(|reason| file_error("sslrootcert", file, reason))?;
            for authority in authorities {
                trusted
                    .add(authority)
                    .map_err(|error| authority_error(file, &error))?;
            }
            file.as_path()
        }
        (Authorities::System, _) => {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if trusted.is_empty() {
                return Err(TlsSettingError::NoSystem);
            }
            Path::new("system")
        }
        _ => return Ok(Arc::new(AnyServer::new(pem::cryptography()))),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(trusted.into(), pem::cryptography())
        .build()
        .map_err(|error| authority_error(file, &error))?;
    Ok(if settings.checks_name {
        verifier
    } else {
        Arc::new(AnyName::new(verifier))
    })
}

fn authority_error(file: &Path, error: &dyn std::error::Error) -> TlsSettingError {
    TlsSettingError::Authority {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}
