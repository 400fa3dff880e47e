//! One connection's life: its socket's options, TLS, the protocol it speaks, and hyper over it until either side is done, or
//! until a stream is [handed over](super::handover).

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::client_address::Peer;
use super::handover::Handover;
use super::limits::{Connection, Limit, Limits};
use super::stream_writer::StreamWriter;
use super::wire::{Beginning, Wire};
use crate::config;
use crate::shutdown::Drain;

/// How long a peer may leave sent bytes unacknowledged, or its window shut, before its connection is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time before the first keep-alive probe, and between probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// Connections at a time whose first request is read and answered. What that takes for a moment (hyper's buffers, a handler's
/// future) would be left in the allocator for good, between what stays of each, if thousands came at once.
const FIRST_REQUESTS: usize = 64;
/// How long one may keep its place among those, and how long another waits for it at most. Together they bound what places can
/// cost: 3,200 a second are given at least, and who gets none is served after two.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_millis(20);
const FIRST_REQUEST_WAIT: Duration = Duration::from_secs(2);

/// The connections of a listener: what is served on all of them.
pub(super) struct Connections {
    router: Router,
    limits: Arc<Limits>,
    drain: Drain,
    first_requests: Arc<Semaphore>,
}

impl Connections {
    /// Connections whose requests `router` answers, and counts in `limits`.
    pub(super) fn new(router: Router, limits: Arc<Limits>, drain: Drain) -> Self {
        Self {
            router,
            limits,
            drain,
            first_requests: Arc::new(Semaphore::new(FIRST_REQUESTS)),
        }
    }

    /// What is bounded, for those who are only sent away.
    pub(super) fn settings(&self) -> &config::Limits {
        self.limits.settings()
    }

    /// Serves one connection until either side closes it, or until the grace period of the drain is over.
    pub(super) fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        tls: Option<TlsAcceptor>,
        peer: SocketAddr,
        counted: Connection,
    ) -> Served {
        let requests = async move {
            let (wire, first) = Box::pin(self.open(socket, tls)).await?;
            Box::pin(self.serve_requests(wire, peer, first)).await
        };
        Served {
            stage: Stage::Requests(Box::pin(requests)),
            _counted: Some(counted),
        }
    }

    /// The connection when it has something to say that is HTTP, and it is its turn; `None` if nothing came in time, or no TLS,
    /// or the drain has begun.
    async fn open(&self, socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<(Wire, First)> {
        if let Err(error) = set_options(&socket, self.limits.settings()) {
            tracing::debug!(%error, "socket options");
        }
        let opened = async {
            let wire = Wire::open(socket, tls).await?;
            let beginning = wire.beginning().await?;
            io::Result::Ok((wire, beginning))
        };
        let opened = tokio::select! {
            biased;
            opened = tokio::time::timeout(self.limits.settings().head_timeout, opened) => opened,
            () = self.drain.started() => return None,
        };
        match opened {
            Ok(Ok((wire, beginning))) => {
                let first = First::wait(&self.first_requests, &beginning).await;
                Some((wire, first))
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection without a request");
                None
            }
            Err(_) => self.limits.over(Limit::HeadTime, None),
        }
    }

    /// The requests of a connection, until one's answer is to be written without hyper.
    async fn serve_requests(&self, wire: Wire, peer: SocketAddr, first: First) -> Option<StreamWriter> {
        let answer = {
            let (router, first) = (self.router.clone(), first.clone());
            move |mut request: Request| {
                first.begins();
                request.extensions_mut().insert(Peer(peer));
                request.extensions_mut().insert(first.clone());
                let (answer, first) = (router.clone().oneshot(request), first.clone());
                async move {
                    let Ok(answer) = answer.await;
                    first.is_over();
                    answer
                }
            }
        };
        match first.is_http1 {
            true => self.serve_http1(wire, answer, &first).await,
            false => {
                self.serve_any(wire, answer, &first).await;
                None
            }
        }
    }

    /// HTTP/1.1, up to a stream.
    async fn serve_http1<A, F>(&self, wire: Wire, answer: A, first: &First) -> Option<StreamWriter>
    where
        A: Fn(Request) -> F + Unpin,
        F: Future<Output = Response> + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.settings().head_timeout)
            .max_buf_size(self.limits.settings().head_bytes);
        let handover = Handover::default();
        let mut served = builder.serve_connection(TokioIo::new(wire), handover.service(answer));
        let outcome = self
            .drive(
                &mut served,
                |served, cx| served.poll_without_shutdown(cx),
                |served| Pin::new(served).graceful_shutdown(),
                first,
            )
            .await?;
        let mut wire = served.into_parts().io.into_inner();
        if let Some(answer) = handover.take() {
            return Some(StreamWriter::new(wire, answer));
        }
        match outcome {
            // It may have closed it already.
            Ok(()) => wire.shutdown().await.unwrap_or_default(),
            Err(error) => self.failed(&error, first),
        }
        None
    }

    /// HTTP/1.1 or HTTP/2, as the client begins.
    async fn serve_any<A, F>(&self, wire: Wire, answer: A, first: &First)
    where
        A: Fn(Request) -> F + Clone + Send + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let builder = builder(self.limits.settings());
        let answer = tower::service_fn(move |request: hyper::Request<Incoming>| {
            let answer = answer(request.map(Body::new));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut served =
            Box::pin(builder.serve_connection(TokioIo::new(wire), TowerToHyperService::new(answer)));
        let outcome = self
            .drive(
                &mut served,
                |served, cx| served.as_mut().poll(cx),
                |served| served.as_mut().graceful_shutdown(),
                first,
            )
            .await;
        if let Some(Err(error)) = outcome {
            self.failed(error.as_ref(), first);
        }
    }

    /// Polls a connection of hyper's until it is over, and tells it of the drain; `None`: no request came in time, or an answer
    /// did not end within the grace period.
    async fn drive<C, O>(
        &self,
        served: &mut C,
        poll: impl Fn(&mut C, &mut Context<'_>) -> Poll<O>,
        shut_down: impl Fn(&mut C),
        first: &First,
    ) -> Option<O> {
        let silence = first.silence(self.limits.settings().head_timeout);
        let mut draining = self.drain.listener();
        tokio::select! {
            outcome = poll_fn(|cx| poll(served, cx)) => return Some(outcome),
            () = silence => return self.limits.over(Limit::HeadTime, None),
            () = draining.started() => shut_down(served),
        }
        let rest = poll_fn(|cx| poll(served, cx));
        tokio::time::timeout(self.drain.grace(), rest).await.ok()
    }

    /// Counts a head that hyper refused. One that idles after a request meets the same time-out, and is no offence.
    fn failed(&self, error: &(dyn Error + 'static), first: &First) {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => self.limits.over(Limit::HeadBytes, ()),
            Some(error) if error.is_timeout() && !first.has_begun() => self.limits.over(Limit::HeadTime, ()),
            _ => {}
        }
        // Mostly clients that went away.
        tracing::debug!(error, "connection ended");
    }
}

/// A connection that is served, a future. One that waits for its turn, or listens, is small: what a request takes is boxed, and
/// gone with its answer.
pub(super) struct Served {
    stage: Stage,
    _counted: Option<Connection>,
}

enum Stage {
    Requests(Pin<Box<dyn Future<Output = Option<StreamWriter>> + Send>>),
    Stream(StreamWriter),
}

impl Served {
    /// One that is only told something.
    pub(super) fn uncounted(told: impl Future<Output = ()> + Send + 'static) -> Self {
        let told = async move {
            told.await;
            None
        };
        Self {
            stage: Stage::Requests(Box::pin(told)),
            _counted: None,
        }
    }
}

impl Future for Served {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Requests(requests) = &mut self.stage {
            match ready!(requests.as_mut().poll(cx)) {
                Some(stream) => self.stage = Stage::Stream(stream),
                None => return Poll::Ready(()),
            }
        }
        match &mut self.stage {
            Stage::Stream(stream) => Pin::new(stream).poll(cx),
            Stage::Requests(_) => Poll::Ready(()),
        }
    }
}

/// The first request of a connection, and its place among those of all.
#[derive(Clone)]
pub(super) struct First {
    /// It can be nothing else.
    is_http1: bool,
    begun: Arc<AtomicBool>,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl First {
    /// Waits for a place, not for ever: then it goes without, as one whose head comes in pieces does, who could keep a place
    /// for as long as they like.
    pub(super) async fn wait(places: &Arc<Semaphore>, beginning: &Beginning) -> Self {
        let place = match beginning.is_whole {
            true => tokio::time::timeout(FIRST_REQUEST_WAIT, places.clone().acquire_owned())
                .await
                .ok(),
            false => None,
        };
        Self {
            is_http1: beginning.is_http1,
            begun: Arc::default(),
            place: Arc::new(Mutex::new(place.and_then(Result::ok))),
        }
    }

    fn begins(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Gives the place back: it has its answer, or will wait for it.
    pub(super) fn is_over(&self) {
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Completes if no request has begun when its time is over, else never. hyper's own limit begins only when it knows the
    /// protocol. The place is given back before.
    async fn silence(&self, head_timeout: Duration) {
        let begun = Instant::now();
        tokio::time::sleep_until(begun + FIRST_REQUEST_WITHIN.min(head_timeout)).await;
        self.is_over();
        tokio::time::sleep_until(begun + head_timeout).await;
        if self.has_begun() {
            std::future::pending().await
        }
    }
}

/// HTTP/1.1 or HTTP/2, as the client begins, with limits on heads and on what is buffered.
pub(super) fn builder(settings: &config::Limits) -> auto::Builder<TokioExecutor> {
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

#[cfg(test)]
mod tests;
