//! The accept loop and its connections over real sockets: limits, time-outs, HTTP/2, slow readers, the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::auth::Lease;
use crate::config;
use crate::cursor::{Cursor, OpenSet};
use crate::feed::{FeedError, Step};
use crate::http::Limits;
use crate::http::handover::Endless;
use crate::http::serve::Server;
use crate::http::stream::{EventStream, StreamFormat, response};
use crate::metrics::Metrics;
use crate::shutdown::Drain;

use super::counted;

const GLOBAL: Duration = Duration::from_secs(20);
const CHUNK_BYTES: usize = 64 * 1024;

/// A server of `/` (says hello), `/stream` (an event stream: ready, then silence) and `/flood` (a body without an end).
struct Running {
    address: SocketAddr,
    drain: Drain,
    /// Chunks that floods handed out.
    flooded: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

fn serve() -> Running {
    let settings = config::Limits {
        head_timeout: Duration::from_millis(300),
        ..config::Limits::default()
    };
    let drain = Drain::new(Duration::from_millis(500));
    let flooded = Arc::new(AtomicUsize::new(0));
    let (drains, floods) = (drain.clone(), flooded.clone());
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/stream",
            get(move || async move { response(quiet_stream(&drains)) }),
        )
        .route("/flood", get(move || async move { Body::new(Flood(floods)) }))
        .layer(map_response(|mut response: Response| async {
            Endless::put_back(&mut response);
            response
        }));
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let limits = Limits::new(settings, usize::MAX, &Metrics::new());
    let server = Server::bind(address, router, Arc::new(limits), drain.clone()).unwrap();
    let address = server.local_address().unwrap();
    let accepting = tokio::spawn(async move {
        while let Some(connection) = server.accept().await {
            tokio::spawn(connection);
        }
    });
    Running {
        address,
        drain,
        flooded,
        accepting,
    }
}

fn quiet_stream(
    drain: &Drain,
) -> EventStream<impl FnMut(&mut Context<'_>) -> Poll<Result<Step, FeedError>> + use<>> {
    let mut ready = Some(Cursor {
        epoch: 7,
        open: OpenSet::above(1),
    });
    let steps = move |_: &mut Context<'_>| match ready.take() {
        Some(cursor) => Poll::Ready(Ok(Step::Ready(cursor))),
        None => Poll::Pending,
    };
    EventStream::new(
        steps,
        StreamFormat::Sse,
        Duration::from_secs(15),
        None,
        drain,
        Lease::endless(),
        counted(),
    )
}

/// A body that always has a chunk more.
struct Flood(Arc<AtomicUsize>);

impl http_body::Body for Flood {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&ZEROS)))))
    }
}

/// Of a client that trusts nobody: for plain HTTP.
fn http() -> reqwest::ClientBuilder {
    let tls = rustls::ClientConfig::builder_with_provider(crate::pem::cryptography())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls)
}

/// Sends `text` over a new connection and reads until the server closes it.
async fn exchange(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too: the server may close while bytes of ours are unread.
    let _ = timeout(GLOBAL, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_is_answered_over_both_versions_of_http() {
    let running = serve();
    let url = format!("http://{}/", running.address);
    let one = http().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(
        (one.version(), one.text().await.unwrap().as_str()),
        (reqwest::Version::HTTP_11, "hello")
    );
    let client = http().http2_prior_knowledge().build().unwrap();
    let two = client.get(&url).send().await.unwrap();
    assert_eq!(
        (two.version(), two.text().await.unwrap().as_str()),
        (reqwest::Version::HTTP_2, "hello")
    );
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let running = serve();
    for begun in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    ] {
        exchange(running.address, begun).await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = serve();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert!(
        exchange(running.address, &head)
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Large: {}\r\n\r\n",
        "x".repeat(15_000)
    );
    assert!(
        exchange(running.address, &head)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_the_body_back() {
    let running = serve();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let still = timeout(GLOBAL, async {
        let mut last = (0, Instant::now());
        while last.0 == 0 || last.1.elapsed() < Duration::from_millis(500) {
            let now = running.flooded.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        last.0
    });
    let still = still.await.expect("the body stops being asked");
    assert!(still * CHUNK_BYTES < 64 << 20, "{still} chunks");
    let mut sink = vec![0; 1 << 20];
    let resumed = async {
        while running.flooded.load(Ordering::Relaxed) == still {
            stream.read_exact(&mut sink).await.unwrap();
        }
    };
    timeout(GLOBAL, resumed)
        .await
        .expect("the body goes on when the client reads on");
}

#[tokio::test]
async fn the_drain_ends_idle_connections_streams_and_accepting() {
    let running = serve();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    let http2 = http().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/stream", running.address);
    let mut streams = vec![
        http().build().unwrap().get(&url).send().await.unwrap(),
        http2.get(&url).send().await.unwrap(),
    ];
    let mut flood = TcpStream::connect(running.address).await.unwrap();
    flood
        .write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    flood.read_exact(&mut byte).await.unwrap();

    running.drain.start();
    timeout(GLOBAL, running.accepting)
        .await
        .expect("accepting ends")
        .unwrap();
    let mut rest = Vec::new();
    timeout(GLOBAL, idle.read_to_end(&mut rest))
        .await
        .expect("an idle connection closes")
        .unwrap();
    for stream in streams.drain(..) {
        let text = timeout(GLOBAL, stream.text())
            .await
            .expect("a stream ends")
            .unwrap();
        assert!(
            text.ends_with("event: end\ndata: {\"code\":\"shutting_down\"}\n\n"),
            "{text}"
        );
    }
    // A body that never ends is cut when the grace period is over.
    let mut sink = vec![0; CHUNK_BYTES];
    let cut = async { while flood.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {} };
    timeout(GLOBAL, cut).await.expect("the rest is cut");
}

#[tokio::test]
async fn a_stream_ends_for_a_client_that_does_not_stop_talking() {
    let running = serve();
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client
        .write_all(b"GET /stream HTTP/1.1\r\nhost: relay\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 64];
    client.read_exact(&mut head).await.unwrap();
    let talks = async { while client.write_all(&[b'x'; 4096]).await.is_ok() {} };
    timeout(GLOBAL, talks).await.expect("it is heard for ever");
}

/// What comes for `request`, up to where `end` stands in it.
async fn answer(running: &Running, request: &str, end: &str) -> String {
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let ended = async {
        while !String::from_utf8_lossy(&seen).contains(end) {
            assert!(socket.read_buf(&mut seen).await.unwrap() > 0, "{seen:?}");
        }
    };
    timeout(GLOBAL, ended).await.expect("an answer");
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_stream_ends_its_connection_and_says_so_and_is_in_chunks_only_over_http_1_1() {
    let running = serve();
    let request = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    let handed_over = answer(&running, request, "event: ready").await;
    for line in [
        "transfer-encoding: chunked\r\n",
        "connection: close\r\n",
        "date: ",
    ] {
        assert!(handed_over.contains(line), "{handed_over}");
    }
    let old = answer(&running, "GET /stream HTTP/1.0\r\n\r\n", "event: ready").await;
    assert!(!old.contains("transfer-encoding"), "{old}");
}

#[tokio::test]
async fn the_head_of_a_stream_leaves_its_connection_open() {
    let running = serve();
    let requests = "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = answer(&running, requests, "hello").await;
    assert!(!answers.contains("event: ready"), "{answers}");
}
