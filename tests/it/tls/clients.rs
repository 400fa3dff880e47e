//! HTTP over TLS: every transport by both versions, those who speak no TLS or stop half-way, the drain.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Method, Version};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{
    Authority, Client, Pair, Relay, Subscriber, TestDatabase, Transport, grant_publishing, messages, within,
};

const PATH: &str = "/v1/rooms/a/events";

/// A relay with a certificate for 127.0.0.1.
pub struct Scene {
    pub db: TestDatabase,
    pub relay: Relay,
    pub authority: Authority,
    pub pair: Pair,
    files: TempDir,
}

impl Scene {
    pub async fn new(arguments: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        let pair = authority.server(&["127.0.0.1"]);
        let db = messages().await;
        write(&files, &pair);
        let (certificate, key) = paths(&files);
        let all = [&["--tls-cert", &certificate, "--tls-key", &key], arguments].concat();
        grant_publishing(&db).await;
        let relay = Relay::serve(&db.relay_url, &all).await;
        Self {
            db,
            relay,
            authority,
            pair,
            files,
        }
    }

    /// Puts another certificate and key into the files.
    pub fn replace(&self, pair: &Pair) {
        write(&self.files, pair);
    }

    /// A client that offers these versions (ALPN).
    pub fn client(&self, protocols: &[&str]) -> Client {
        self.relay.client.with(self.authority.http_client(protocols))
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.relay.url.strip_prefix("https://").expect("https in the log");
        address.parse().expect("an address")
    }

    /// A new connection that has its handshake behind it.
    pub async fn connect(&self, config: ClientConfig) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.address()).await.expect("connect");
        let name = ServerName::from(self.address().ip());
        let connector = TlsConnector::from(Arc::new(config));
        within(connector.connect(name, socket))
            .await
            .expect("a handshake")
    }

    /// The certificate that a new connection is shown.
    pub async fn shown(&self) -> CertificateDer<'static> {
        let stream = self.connect(self.authority.trusted()).await;
        let certificates = stream.get_ref().1.peer_certificates().expect("certificates");
        certificates[0].clone().into_owned()
    }
}

fn paths(files: &TempDir) -> (String, String) {
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    (path("tls.crt"), path("tls.key"))
}

fn write(files: &TempDir, pair: &Pair) {
    let (certificate, key) = paths(files);
    std::fs::write(certificate, &pair.certificate).expect("write the certificate");
    std::fs::write(key, &pair.key).expect("write the key");
}

#[tokio::test]
async fn every_transport_works_over_tls_by_both_versions_of_http() {
    let scene = Scene::new(&["--allow-publish"]).await;
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let client = scene.client(protocols);
        let answer = within(client.request(Method::GET, PATH).send())
            .await
            .expect("an answer");
        assert_eq!(answer.version(), version, "{protocols:?}");
        let mut subscribers = Vec::new();
        for transport in Transport::ALL {
            subscribers.push(Subscriber::new(&client, transport, PATH).await);
        }
        let published = client.post(PATH, &json!({"body": "hello"})).await;
        assert_eq!(published.status, 201, "{}", published.body);
        for subscriber in &mut subscribers {
            assert_eq!(
                subscriber.next().await["row"]["body"],
                json!("hello"),
                "{protocols:?}"
            );
        }
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_the_protocol_is_agreed_on() {
    let scene = Scene::new(&[]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for protocol in ["h2", "http/1.1"] {
            let mut config = scene.authority.trusted_by(&[version]);
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            let stream = scene.connect(config).await;
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), Some(protocol.as_bytes()));
        }
    }
}

#[tokio::test]
async fn an_unknown_authority_is_the_clients_to_refuse() {
    let scene = Scene::new(&[]).await;
    let stranger = scene.relay.client.with(Authority::new().http_client(&[]));
    let refused = within(stranger.request(Method::GET, PATH).send()).await;
    assert!(refused.is_err_and(|error| error.is_connect()));
    assert_eq!(scene.client(&[]).get(PATH).await.status, 200);
}

#[tokio::test]
async fn handshakes_that_hang_hold_up_nobody() {
    let scene = Scene::new(&[]).await;
    let mut hanging = Vec::new();
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"].repeat(50) {
        let mut socket = TcpStream::connect(scene.address()).await.expect("connect");
        socket.write_all(begun).await.expect("write");
        hanging.push(socket);
    }
    let mut subscriber = Subscriber::new(&scene.client(&["h2"]), Transport::EventStream, PATH).await;
    let id = scene.db.say("a", "hello").await;
    assert_eq!(subscriber.next().await["id"], json!(id));
    // They end when the time of a head is over.
    for socket in &mut hanging {
        let mut rest = Vec::new();
        let _ = within(socket.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls_is_told_so() {
    let scene = Scene::new(&[]).await;
    let exchange = async |text: &[u8]| {
        let mut socket = TcpStream::connect(scene.address()).await.expect("connect");
        socket.write_all(text).await.expect("write");
        let mut answer = Vec::new();
        within(socket.read_to_end(&mut answer))
            .await
            .expect("a clean end");
        answer
    };
    for request in [
        &b"GET /v1/rooms/a/events HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = String::from_utf8(exchange(request).await).expect("text");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nThis port speaks TLS: use https://.\n"),
            "{answer}"
        );
        assert!(answer.contains("content-length: 36\r\n"), "{answer}");
    }
    // What is neither gets TLS's own word of an error (a record of kind 21: alert).
    assert_eq!(exchange(&[0; 64]).await.first(), Some(&21));
}

#[tokio::test]
async fn the_drain_ends_streams_over_tls_and_the_relay_is_gone() {
    let mut scene = Scene::new(&["--grace-period", "2s"]).await;
    let mut streams = Vec::new();
    for protocols in [&["h2"][..], &["http/1.1"]] {
        let mut stream = scene.client(protocols).stream(PATH).await;
        assert_eq!(stream.next_event().await.event.as_deref(), Some("ready"));
        streams.push(stream);
    }
    scene.relay.terminate();
    for stream in &mut streams {
        let end = stream.next_event().await;
        assert_eq!(end.event.as_deref(), Some("end"), "{end:?}");
        assert_eq!(end.json()["code"], json!("shutting_down"));
    }
    assert_eq!(scene.relay.exit_status().await.code(), Some(0));
}

#[tokio::test]
async fn a_handshake_that_hangs_does_not_hold_up_the_end() {
    // It would for ten minutes.
    let mut scene = Scene::new(&["--grace-period", "10m", "--head-timeout", "10m"]).await;
    let mut hanging = TcpStream::connect(scene.address()).await.expect("connect");
    hanging.write_all(b"\x16").await.expect("write");
    // Connections are accepted in their order: it is by now.
    assert_eq!(scene.client(&[]).get(PATH).await.status, 200);
    scene.relay.terminate();
    assert_eq!(scene.relay.exit_status().await.code(), Some(0));
}
