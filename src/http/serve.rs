//! Sockets: listening, accepting, and sending away those who come over a limit.
//!
//! An own loop instead of `axum::serve`, for the socket options, the limits on a request's head and the drain. Nothing
//! is spawned here: [`Server::accept`] yields each connection as a future for the caller to track.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::IntoResponse;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::service_fn;

use super::connection::{Connections, Served, builder};
use super::error::ApiError;
use super::limits::Limits;
use super::request::{X_REQUEST_ID, fresh_id};
use super::tls::Certificate;
use super::wire::Wire;
use crate::config;
use crate::shutdown::Drain;

/// Connections that may wait to be accepted. Beyond it a SYN is retried after a second.
const BACKLOG: i32 = 4096;
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
    connections: Arc<Connections>,
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
            connections: Arc::new(Connections::new(router, limits.clone(), drain.clone())),
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
    pub async fn accept(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.started() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(served) = self.serve(stream, peer) {
                        return Some(served);
                    }
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

impl Server {
    /// A connection that is counted, or is told in a turn of its own why it is not; `None`: it is to be closed without a word.
    fn serve(&self, socket: TcpStream, peer: SocketAddr) -> Option<Served> {
        let tls = self
            .certificate
            .as_ref()
            .map(|certificate| certificate.acceptor());
        let connections = self.connections.clone();
        match self.limits.connection(peer.ip()) {
            Ok(held) => Some(connections.serve(socket, tls, peer, held)),
            Err(error) => {
                let turn = self.refusals.clone().try_acquire_owned().ok()?;
                Some(Served::uncounted(async move {
                    refuse(socket, tls, error, connections.settings()).await;
                    drop(turn);
                }))
            }
        }
    }
}

/// Answers the first request of a connection with a problem, if one comes in time, and closes it. Over TLS it takes a
/// handshake to say anything.
async fn refuse(stream: TcpStream, tls: Option<TlsAcceptor>, error: ApiError, settings: &config::Limits) {
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut response = error.clone().into_response();
        response.headers_mut().insert(X_REQUEST_ID, fresh_id());
        if request.version() <= Version::HTTP_11 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let builder = builder(settings);
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
