//! A certificate is renewed: its files change under a relay that serves.

use std::sync::Arc;
use std::time::Duration;

use rowcast::config::TlsFiles;
use rowcast::http::tls::Certificate;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio_rustls::TlsConnector;

use super::clients::Scene;
use crate::support::{Authority, Subscriber, Transport, eventually};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn new_connections_see_a_renewed_certificate_and_open_streams_go_on() {
    let scene = Scene::new(&[]).await;
    let mut subscribers = Vec::new();
    for protocol in ["h2", "http/1.1"] {
        let client = scene.client(&[protocol]);
        subscribers.push(Subscriber::new(&client, Transport::EventStream, PATH).await);
    }
    assert_eq!(scene.shown().await, scene.pair.der());
    let renewed = scene.authority.server(&["127.0.0.1"]);
    scene.replace(&renewed);
    eventually(async || scene.shown().await == renewed.der()).await;
    let id = scene.db.say("a", "after the renewal").await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next().await["id"], json!(id));
    }
}

/// The certificate that a handshake shows, between the two ends of a pipe.
async fn shown(certificate: &Certificate, authority: &Authority) -> CertificateDer<'static> {
    let (client, server) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(authority.trusted()));
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = tokio::join!(
        connector.connect(name, client),
        certificate.acceptor().accept(server)
    );
    let (client, _server) = (handshake.0.unwrap(), handshake.1.unwrap());
    client.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[tokio::test]
async fn a_pair_that_is_no_good_leaves_the_old_one_in_use_until_a_good_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
    };
    let authority = Authority::new();
    let (old, new) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    std::fs::write(&files.certificate, &old.certificate).unwrap();
    std::fs::write(&files.key, &old.key).unwrap();
    let certificate = Certificate::load(files.clone()).await.unwrap();
    let look = async || {
        certificate.look().await;
        shown(&certificate, &authority).await
    };
    assert_eq!(look().await, old.der());
    // A certificate without its key, as in the middle of a renewal; broken files; none at all.
    std::fs::write(&files.certificate, &new.certificate).unwrap();
    assert_eq!(look().await, old.der());
    std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\n").unwrap();
    assert_eq!(look().await, old.der());
    std::fs::remove_file(&files.key).unwrap();
    assert_eq!(look().await, old.der());
    std::fs::write(&files.certificate, &new.certificate).unwrap();
    std::fs::write(&files.key, &new.key).unwrap();
    let watch = certificate.watch(Duration::from_millis(1));
    let renewed = eventually(async || shown(&certificate, &authority).await == new.der());
    tokio::select! {
        () = watch => unreachable!("it watches for ever"),
        () = renewed => {}
    }
}
