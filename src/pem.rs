//! Certificates and private keys as PEM files hold them, for both sides that speak TLS: towards clients and towards
//! PostgreSQL. And the one implementation of cryptography that both use.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a file; the sentence goes on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("can't be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is no PEM: {0}")]
    Malformed(pem::Error),
    #[error("has no certificate in it (PEM, BEGIN CERTIFICATE)")]
    NoCertificate,
    #[error("has no private key in it (PEM: PKCS#8, PKCS#1 or SEC1, without a passphrase)")]
    NoKey,
}

/// Every certificate in `text`, in its order; at least one. Whatever else is in there is passed over.
///
/// # Errors
/// Broken PEM, or none.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match found.map_err(PemError::Malformed)? {
        none if none.is_empty() => Err(PemError::NoCertificate),
        found => Ok(found),
    }
}

/// The first private key in `text`.
///
/// # Errors
/// Broken PEM, or none; one with a passphrase counts as none.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::NoKey,
        broken => PemError::Malformed(broken),
    })
}

/// The cryptography of AWS-LC. Named wherever TLS is set up, so that no default of the process is needed.
pub fn cryptography() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_what_is_looked_for_says_so() {
        assert!(matches!(certificates(b""), Err(PemError::NoCertificate)));
        assert!(matches!(private_key(b"no PEM at all"), Err(PemError::NoKey)));
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(matches!(private_key(encrypted), Err(PemError::NoKey)));
    }

    #[test]
    fn a_file_that_breaks_off_is_no_pem() {
        let half = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(certificates(half), Err(PemError::Malformed(_))));
    }
}
