//! TLS towards clients: the certificate and its key, read again when their files change.
//!
//! Files are looked at by their contents: a renewal may write them in place, rename others over them, or turn a link
//! round (as Kubernetes does), and the two never change in one moment. So a pair that does not fit is no reason to
//! end: what was good stays in use until a good pair is there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::pem::{self, PemError};

/// What clients may choose from (ALPN), best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS can't be served with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("--tls-cert (ROWCAST_TLS_CERT) {} {reason}", file.display())]
    Certificate { file: PathBuf, reason: PemError },
    #[error("--tls-key (ROWCAST_TLS_KEY) {} {reason}", file.display())]
    Key { file: PathBuf, reason: PemError },
    #[error(
        "--tls-key (ROWCAST_TLS_KEY) {} is not the key of the first certificate in --tls-cert (ROWCAST_TLS_CERT) {}",
        key.display(), certificate.display()
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("--tls-cert (ROWCAST_TLS_CERT) {} can't be used: {reason}", file.display())]
    Unusable { file: PathBuf, reason: rustls::Error },
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What new connections are served with, and what was last seen of the files.
struct State {
    config: Arc<ServerConfig>,
    /// The last pair that was looked at, good or not.
    seen: Contents,
    /// What was wrong at the last look: it is logged once.
    failure: Option<String>,
}

/// The certificate in use. Shared by the connections and the task that watches the files.
pub struct Certificate {
    files: TlsFiles,
    state: Mutex<State>,
}

impl Certificate {
    /// Reads both files: a chain of certificates, the server's own first, and its private key.
    ///
    /// # Errors
    /// In one line that names the option and the file.
    pub async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = Contents::read(&files).await?;
        let state = State {
            config: Arc::new(server_config(&files, &seen)?),
            seen,
            failure: None,
        };
        Ok(Self {
            files,
            state: Mutex::new(state),
        })
    }

    /// For one new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.state().config.clone())
    }

    /// Looks at the files every `interval`, until it is dropped.
    pub async fn watch(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.look().await;
        }
    }

    /// Looks at the files once. Open connections keep the certificate they began with.
    pub async fn look(&self) {
        let read = Contents::read(&self.files).await;
        self.take(read);
    }

    /// Takes a new pair if it is good; else the old one stays, and the log says why, once.
    fn take(&self, read: Result<Contents, TlsError>) {
        let mut state = self.state();
        let config = match read {
            Ok(contents) if contents == state.seen => return,
            Ok(contents) => {
                let config = server_config(&self.files, &contents);
                state.seen = contents;
                config
            }
            Err(error) => Err(error),
        };
        match config {
            Ok(config) => {
                state.config = Arc::new(config);
                state.failure = None;
                tracing::info!(file = %self.files.certificate.display(), "a new certificate is in use");
            }
            Err(error) => {
                let failure = Some(error.to_string());
                if state.failure != failure {
                    tracing::warn!(%error, "the certificate in use is kept");
                    state.failure = failure;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    async fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificate = read(&files.certificate)
            .await
            .map_err(|reason| TlsError::Certificate {
                file: files.certificate.clone(),
                reason,
            })?;
        let key = read(&files.key).await.map_err(|reason| TlsError::Key {
            file: files.key.clone(),
            reason,
        })?;
        Ok(Self { certificate, key })
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, PemError> {
    Ok(tokio::fs::read(file).await?)
}

/// TLS 1.2 and 1.3, without certificates of clients. A configuration of its own for each certificate, since sessions
/// are resumed within one: nobody resumes a session of the certificate that was replaced.
fn server_config(files: &TlsFiles, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let chain = pem::certificates(&contents.certificate).map_err(|reason| TlsError::Certificate {
        file: files.certificate.clone(),
        reason,
    })?;
    let key = pem::private_key(&contents.key).map_err(|reason| TlsError::Key {
        file: files.key.clone(),
        reason,
    })?;
    let config = ServerConfig::builder_with_provider(pem::cryptography())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|reason| match reason {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        },
        reason => TlsError::Unusable {
            file: files.certificate.clone(),
            reason,
        },
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
