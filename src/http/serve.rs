//! Sockets: listening, accepting, and one connection's life, over HTTP/1.1 and HTTP/2, with TLS or without (h2c).
//!
//! An own loop instead of `axum::serve`, for the socket options, the limits on a request's head and the drain. Nothing
//! is spawned here: [`Server::accept`] yields each connection as a future for the caller to track.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::shutdown::Drain;

use super::tls::Certificate;
use super::wire::Wire;

/// Connections that may wait to be accepted. Beyond it a SYN is retried after a second.
const BACKLOG: i32 = 4096;
/// The longest request head. hyper's buffer, and with it what is pinned for a client that does not read, has the same
/// limit.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Unsent bytes at which a socket counts as full: what the kernel holds for a slow client is otherwise megabytes. (A
/// fixed SO_SNDBUF would bound it, too, but ends auto-tuning and costs latency.)
const NOT_SENT_LOW_WATER_BYTES: u32 = 64 * 1024;
/// How long a peer may leave sent bytes unacknowledged, or its window shut, before its connection is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time before the first keep-alive probe, and between probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// The pause of the loop when accepting fails for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket and what is served on it.
pub struct Server {
    listener: TcpListener,
    router: Router,
    /// `None`: without TLS.
    certificate: Option<Arc<Certificate>>,
    head_timeout: Duration,
    drain: Drain,
}

impl Server {
    /// Listens on `address`; port 0 picks one. `head_timeout`: how long a request's head may take (10 s by default).
    ///
    /// # Errors
    /// What the system says: mostly that the address is in use.
    pub fn bind(
        address: SocketAddr,
        router: Router,
        head_timeout: Duration,
        drain: Drain,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self {
            listener: TcpListener::from_std(socket.into())?,
            router,
            certificate: None,
            head_timeout,
            drain,
        })
    }

    /// The same over TLS, which clients must speak then. A handshake has the time of a head.
    pub fn with_tls(self, certificate: Arc<Certificate>) -> Self {
        Self {
            certificate: Some(certificate),
            ..self
        }
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, as a future to be spawned on the tracker of tasks; `None` once the drain has begun: then
    /// drop the server, which closes the socket. Failures to accept are survived.
    pub async fn accept(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.started() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let tls = self
                        .certificate
                        .as_ref()
                        .map(|certificate| certificate.acceptor());
                    return Some(connection(
                        stream,
                        tls,
                        self.router.clone(),
                        self.head_timeout,
                        self.drain.clone(),
                    ));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "can't accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether accepting failed because that one connection is gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Serves one connection until either side closes it, or until the grace period of the drain is over.
async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    head_timeout: Duration,
    drain: Drain,
) {
    if let Err(error) = set_options(&stream) {
        tracing::debug!(%error, "socket options");
    }
    let Some(wire) = opened(stream, tls, head_timeout, &drain).await else {
        return;
    };
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = begun.clone();
        router.map_request(move |request: hyper::Request<hyper::body::Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.map(axum::body::Body::new)
        })
    };
    let builder = builder(head_timeout);
    // Boxed, so that the future that is moved about and stored is small.
    let mut served =
        Box::pin(builder.serve_connection(TokioIo::new(wire), TowerToHyperService::new(service)));
    let mut draining = pin!(drain.listener());
    // hyper's own limit begins only when it knows the protocol: a client that says nothing is bounded here.
    let first_head = tokio::time::sleep(head_timeout);
    let outcome = tokio::select! {
        outcome = served.as_mut() => Some(outcome),
        () = silent(first_head, &begun) => return,
        () = draining.as_mut() => None,
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(drain.grace(), served).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        // Mostly clients that went away.
        tracing::debug!(
            error = error.as_ref() as &dyn std::error::Error,
            "connection ended"
        );
    }
}

/// The connection when it is ready for HTTP; `None` if the client gave no TLS, or not in time, or the drain has begun.
async fn opened(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    within: Duration,
    drain: &Drain,
) -> Option<Wire> {
    let opened = tokio::select! {
        biased;
        opened = tokio::time::timeout(within, Wire::open(stream, tls)) => opened,
        () = drain.started() => return None,
    };
    match opened {
        Ok(Ok(wire)) => Some(wire),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS");
            None
        }
        Err(_) => None,
    }
}

/// Completes if no request has begun when `first_head` is over, else never.
async fn silent(first_head: tokio::time::Sleep, begun: &AtomicBool) {
    first_head.await;
    if begun.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// HTTP/1.1 or HTTP/2, as the client begins, with limits on heads and on what is buffered.
fn builder(head_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(NOT_SENT_LOW_WATER_BYTES as usize)
        .keep_alive_interval(KEEPALIVE.1)
        .keep_alive_timeout(KEEPALIVE.1);
    builder
}

/// Events leave at once, dead peers are noticed, and the kernel holds little for a slow one.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let (idle, interval) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)?;
    }
    Ok(())
}
