//! Sockets: listening, accepting, and one connection's life, over HTTP/1.1 and HTTP/2, with TLS or without (h2c).
//!
//! An own loop instead of `axum::serve`, for the socket options, the limits on a request's head and the drain. Nothing
//! is spawned here: [`Server::accept`] yields each connection as a future for the caller to track.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::IntoResponse;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tower::service_fn;

use super::client_address::Peer;
use super::error::ApiError;
use super::limits::{Connection, Limit, Limits};
use super::request::{X_REQUEST_ID, fresh_id};
use super::tls::Certificate;
use super::wire::Wire;
use crate::config;
use crate::shutdown::Drain;

/// Connections that may wait to be accepted. Beyond it a SYN is retried after a second.
const BACKLOG: i32 = 4096;
/// How long a peer may leave sent bytes unacknowledged, or its window shut, before its connection is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time before the first keep-alive probe, and between probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// The pause of the loop when accepting fails for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are told at a time why they are refused; the rest are closed without a word. The reserve of
/// [`super::limits::descriptors`] has room for them.
const REFUSALS: usize = 64;
/// How long telling one may take: a round trip to the other side of the world, a few times over.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// A listening socket and what is served on it.
pub struct Server {
    listener: TcpListener,
    router: Router,
    limits: Arc<Limits>,
    /// `None`: without TLS.
    certificate: Option<Arc<Certificate>>,
    /// For connections that are only told that they are refused.
    refusals: Arc<Semaphore>,
    drain: Drain,
}

impl Server {
    /// Listens on `address`; port 0 picks one. The requests of `router` are counted in the same `limits`.
    ///
    /// # Errors
    /// What the system says: mostly that the address is in use.
    pub fn bind(address: SocketAddr, router: Router, limits: Arc<Limits>, drain: Drain) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self {
            listener: TcpListener::from_std(socket.into())?,
            router,
            limits,
            certificate: None,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
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
    /// drop the server, which closes the socket. Failures to accept are survived, and those who come over a limit are sent
    /// away without a wait.
    pub async fn accept(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.started() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(admission) = self.admit(peer) else {
                        continue;
                    };
                    let tls = self
                        .certificate
                        .as_ref()
                        .map(|certificate| certificate.acceptor());
                    let (router, limits) = (self.router.clone(), self.limits.clone());
                    let drain = self.drain.clone();
                    return Some(async move {
                        match admission {
                            Admission::Admitted(held) => {
                                connection(stream, tls, peer, router, &limits, drain).await;
                                drop(held);
                            }
                            Admission::Refused(error, _turn) => refuse(stream, tls, error, &limits).await,
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "can't accept connections: too many open files ask for a higher limit (ulimit -n, LimitNOFILE)");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What becomes of a connection.
enum Admission {
    Admitted(Connection),
    /// It is told why, in a turn of its own.
    Refused(ApiError, OwnedSemaphorePermit),
}

impl Server {
    /// Counts a connection; `None`: it is to be closed without a word.
    fn admit(&self, peer: SocketAddr) -> Option<Admission> {
        match self.limits.connection(peer.ip()) {
            Ok(held) => Some(Admission::Admitted(held)),
            Err(error) => {
                let turn = self.refusals.clone().try_acquire_owned().ok()?;
                Some(Admission::Refused(error, turn))
            }
        }
    }
}

/// Answers the first request of a connection with a problem, if one comes in time, and closes it. Over TLS it takes a
/// handshake to say anything.
async fn refuse(stream: TcpStream, tls: Option<TlsAcceptor>, error: ApiError, limits: &Limits) {
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut response = error.clone().into_response();
        response.headers_mut().insert(X_REQUEST_ID, fresh_id());
        if request.version() <= Version::HTTP_11 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let builder = builder(limits.settings());
    let served = async {
        if let Ok(wire) = Wire::open(stream, tls).await {
            let served = builder.serve_connection(TokioIo::new(wire), TowerToHyperService::new(answer));
            let _ = served.await;
        }
    };
    // Whether it heard us is its own affair.
    let _ = tokio::time::timeout(REFUSED_WITHIN, served).await;
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
    peer: SocketAddr,
    router: Router,
    limits: &Limits,
    drain: Drain,
) {
    let settings = limits.settings();
    if let Err(error) = set_options(&stream, settings) {
        tracing::debug!(%error, "socket options");
    }
    let Some(wire) = opened(stream, tls, limits, &drain).await else {
        return;
    };
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = begun.clone();
        router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            request.map(axum::body::Body::new)
        })
    };
    let builder = builder(settings);
    // Boxed, so that the future that is moved about and stored is small.
    let mut served =
        Box::pin(builder.serve_connection(TokioIo::new(wire), TowerToHyperService::new(service)));
    let mut draining = pin!(drain.listener());
    // hyper's own limit begins only when it knows the protocol: a client that says nothing is bounded here.
    let first_head = tokio::time::sleep(settings.head_timeout);
    let outcome = tokio::select! {
        outcome = served.as_mut() => Some(outcome),
        () = silent(first_head, &begun) => return limits.over(Limit::HeadTime, ()),
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
        count_bad_head(limits, error.as_ref(), &begun);
        // Mostly clients that went away.
        tracing::debug!(
            error = error.as_ref() as &dyn std::error::Error,
            "connection ended"
        );
    }
}

/// Counts a head that hyper refused. One that idles after a request meets the same time-out, and is no offence.
fn count_bad_head(limits: &Limits, error: &(dyn Error + 'static), begun: &AtomicBool) {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse_too_large() => limits.over(Limit::HeadBytes, ()),
        Some(error) if error.is_timeout() && !begun.load(Ordering::Relaxed) => {
            limits.over(Limit::HeadTime, ());
        }
        _ => {}
    }
}

/// The connection when it is ready for HTTP; `None` if the client gave no TLS, or not in time, or the drain has begun.
async fn opened(stream: TcpStream, tls: Option<TlsAcceptor>, limits: &Limits, drain: &Drain) -> Option<Wire> {
    let within = limits.settings().head_timeout;
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
        Err(_) => limits.over(Limit::HeadTime, None),
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
fn builder(settings: &config::Limits) -> auto::Builder<TokioExecutor> {
    // More than 4 GiB is no bound worth the name; the setting ends far below.
    let bytes = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        // With it what is pinned for a client that does not read.
        .max_buf_size(settings.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(bytes(settings.head_bytes))
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(settings.waiting_bytes)
        .keep_alive_interval(KEEPALIVE.1)
        .keep_alive_timeout(KEEPALIVE.1);
    builder
}

/// Events leave at once, dead peers are noticed, and the kernel holds little for a slow one.
fn set_options(stream: &TcpStream, settings: &config::Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let (idle, interval) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        // What the kernel holds for a slow client is otherwise megabytes. (A fixed SO_SNDBUF would bound it, too, but ends
        // auto-tuning and costs latency.)
        socket.set_tcp_notsent_lowat(u32::try_from(settings.waiting_bytes).unwrap_or(u32::MAX))?;
    }
    Ok(())
}
