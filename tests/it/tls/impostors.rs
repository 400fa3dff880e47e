//! Servers that are not who they seem to be, or not any more, before each `sslmode`.

use std::sync::Arc;

use rowcast::pem;
use rowcast::pg::{PgError, TlsSettingError};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::server::{NAME, TlsServer, open};
use crate::support::{Pair, within};

/// Shows the certificate of `shown` and signs with the key of `signing`, in front of the server's port; the port that it
/// listens on. It takes connections that begin with TLS.
pub async fn front(
    server: &TlsServer,
    shown: &Pair,
    signing: &Pair,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> u16 {
    let chain = pem::certificates(shown.certificate.as_bytes()).expect("a certificate");
    let key = pem::private_key(signing.key.as_bytes()).expect("a key");
    let certified = CertifiedKey::new(chain, any_supported_type(&key).expect("a signing key"));
    let mut config = ServerConfig::builder_with_provider(pem::cryptography())
        .with_protocol_versions(versions)
        .expect("the versions of TLS")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let behind = server.postgres.port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever is not taken in goes away in the middle of the handshake.
                let Ok(mut front) = acceptor.accept(socket).await else {
                    return;
                };
                assert_eq!(front.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
                let mut back = TcpStream::connect(("127.0.0.1", behind)).await.expect("connect");
                let _ = copy_bidirectional(&mut front, &mut back).await;
            });
        }
    });
    port
}

/// A URL for a connection that begins with TLS at this port.
pub fn direct(server: &TlsServer, port: u16, mode: &str) -> String {
    let root = server.root();
    let mut parameters = vec![("sslmode", mode), ("sslnegotiation", "direct")];
    // With it `require` verifies as well.
    if mode != "require" {
        parameters.push(("sslrootcert", root.to_str().expect("UTF-8")));
    }
    let behind = server.postgres.port();
    let url = server.url(&parameters, "postgres");
    url.replace(&format!(":{behind}/"), &format!(":{port}/"))
}

/// Whether each mode connects to the server that `front` made.
async fn is_trusted(server: &TlsServer, port: u16, mode: &str) -> bool {
    match open(&direct(server, port, mode)).await {
        Ok(_) => true,
        Err(PgError::Tls { .. }) => false,
        Err(error) => panic!("{mode}: {error:?}"),
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_takes_nobody_in() {
    let server = TlsServer::shared().await;
    let pair = server.authority.server(&[NAME]);
    let stolen = server.authority.server(&[NAME]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for mode in ["require", "verify-ca", "verify-full"] {
            let honest = front(server, &pair, &pair, &[version]).await;
            assert!(is_trusted(server, honest, mode).await, "{mode} {version:?}");
            let thief = front(server, &stolen, &pair, &[version]).await;
            assert!(!is_trusted(server, thief, mode).await, "{mode} {version:?}");
        }
    }
}

#[tokio::test]
async fn certificates_that_are_over_or_no_servers_are_for_those_who_do_not_look() {
    let server = TlsServer::shared().await;
    for (pair, what) in [
        (server.authority.expired(&[NAME]), "expired"),
        (server.authority.client(NAME), "a client's"),
    ] {
        let port = front(server, &pair, &pair, rustls::DEFAULT_VERSIONS).await;
        for (mode, trusted) in [("require", true), ("verify-ca", false), ("verify-full", false)] {
            let found = within(is_trusted(server, port, mode)).await;
            assert_eq!(found, trusted, "{mode}: {what}");
        }
    }
}

#[tokio::test]
async fn without_a_file_of_authorities_the_machines_own_are_asked_who_know_nothing_of_ours() {
    let server = TlsServer::shared().await;
    for parameters in [
        &[("sslmode", "verify-full")][..],
        &[("sslrootcert", "system")],
        &[("sslmode", "verify-full"), ("sslrootcert", "system")],
    ] {
        let refused = server.session(parameters, "closed").await;
        let is_refused = matches!(
            refused,
            // A machine may have no authorities at all.
            Err(PgError::Tls { .. } | PgError::TlsSetting(TlsSettingError::NoSystem))
        );
        assert!(is_refused, "{parameters:?}: {refused:?}");
    }
}
