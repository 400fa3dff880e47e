//! Streams: a feed as a response body, in one of two formats.
//!
//! The body owns its feed and asks it only when the connection wants more, so a stream goes at its client's speed and
//! nothing waits in a queue. What the feed hands out in one step is one chunk. The stream ends itself when its source is
//! gone, and on the drain: such a body would block a graceful shutdown for ever. Pace, heartbeats and ends are the same
//! in both formats; how they are written is the matter of [`sse`] and [`ndjson`].

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use super::handover::Endless;
use super::{ndjson, sse};
use crate::auth::Lease;
use crate::feed::{FeedError, Step};
use crate::metrics::{End, Subscriber, Transport};
use crate::shutdown::{Drain, Listener};

/// The pause before a feed is asked again after its database was away, or had no time for it: doubled each time up to the second, then
/// multiplied with a random factor from a half to one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// Server-Sent Events.
    Sse,
    /// A JSON text in each line.
    Ndjson,
}

impl StreamFormat {
    /// As it is counted.
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Sse => Transport::Sse,
            Self::Ndjson => Transport::Ndjson,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Sse => sse::CONTENT_TYPE,
            Self::Ndjson => ndjson::CONTENT_TYPE,
        }
    }

    /// What goes before everything else.
    fn opening(self, retry: Option<Duration>) -> Option<Bytes> {
        match self {
            Self::Sse => Some(sse::opening(retry)),
            Self::Ndjson => None,
        }
    }

    /// What keeps intermediaries from closing a quiet stream and lets both ends notice a dead peer.
    fn heartbeat(self) -> Bytes {
        match self {
            Self::Sse => sse::HEARTBEAT,
            Self::Ndjson => ndjson::HEARTBEAT,
        }
    }

    fn step(self, step: &Step) -> Bytes {
        match self {
            Self::Sse => sse::step(step),
            Self::Ndjson => ndjson::step(step),
        }
    }

    /// The last words, with a stable `code`.
    fn end(self, code: &str) -> Bytes {
        match self {
            Self::Sse => sse::end(code),
            Self::Ndjson => ndjson::end(code),
        }
    }
}

/// The response with the head of a stream.
pub(super) fn response<P>(body: EventStream<P>) -> Response
where
    P: FnMut(&mut Context<'_>) -> Poll<Result<Step, FeedError>> + Unpin + Send + 'static,
{
    let content_type = HeaderValue::from_static(body.format.content_type());
    let mut response = Response::default();
    response
        .extensions_mut()
        .insert(Endless::new(axum::body::Body::new(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // nginx buffers proxied answers unless told otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A stream's body. `poll_step` is its feed's.
pub(super) struct EventStream<P> {
    poll_step: P,
    format: StreamFormat,
    /// What the format begins with, until it is sent: boxed, since it is gone for nearly all of a stream's life.
    opening: Option<Box<Bytes>>,
    heartbeat: Duration,
    heartbeat_at: Instant,
    /// When the feed may be asked again, and how often in a row it was unavailable.
    retry_at: Option<Instant>,
    failures: u32,
    /// When this stream ends, once the drain has begun.
    end_at: Option<Instant>,
    draining: Listener,
    /// The right to it.
    lease: Lease,
    counted: Subscriber,
    /// One timer for the earliest of the three instants above; it is not touched by a delivery.
    timer: Pin<Box<Sleep>>,
    over: bool,
}

impl<P> EventStream<P>
where
    P: FnMut(&mut Context<'_>) -> Poll<Result<Step, FeedError>> + Unpin,
{
    /// A stream of what `poll_step` yields, with a sign of life every `heartbeat`. `retry`: how long an EventSource
    /// waits before it reconnects; `None` is random from one to three seconds. It ends with its `lease`, and is counted.
    pub(super) fn new(
        poll_step: P,
        format: StreamFormat,
        heartbeat: Duration,
        retry: Option<Duration>,
        drain: &Drain,
        lease: Lease,
        counted: Subscriber,
    ) -> Self {
        let heartbeat_at = Instant::now() + heartbeat;
        Self {
            poll_step,
            format,
            opening: format.opening(retry).map(Box::new),
            heartbeat,
            heartbeat_at,
            retry_at: None,
            failures: 0,
            end_at: None,
            draining: drain.listener(),
            lease,
            counted,
            timer: Box::pin(tokio::time::sleep_until(heartbeat_at)),
            over: false,
        }
    }

    /// The next chunk, or pending with the feed, the timer and the drain all set to wake the task.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.end_at.is_none() && self.draining.poll_started(cx).is_ready() {
            self.end_at = Some(Instant::now() + self.draining.stagger());
            self.set_timer();
        }
        if let Poll::Ready(ended) = self.lease.poll_ended(cx) {
            return Poll::Ready(self.end(ended.into()));
        }
        loop {
            while self.timer.as_mut().poll(cx).is_ready() {
                if let Some(chunk) = self.on_timer() {
                    return Poll::Ready(chunk);
                }
            }
            if self.retry_at.is_some() {
                return Poll::Pending;
            }
            match (self.poll_step)(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(step)) => {
                    self.failures = 0;
                    count(&self.counted, &step);
                    let chunk = self.format.step(&step);
                    // An empty chunk would end a chunked body.
                    if !chunk.is_empty() {
                        return Poll::Ready(chunk);
                    }
                }
                Poll::Ready(Err(FeedError::Gone)) => return Poll::Ready(self.end(End::UnknownSource)),
                Poll::Ready(Err(FeedError::Unavailable | FeedError::Overloaded)) => {
                    self.retry_at = Some(Instant::now() + back_off(self.failures));
                    self.failures += 1;
                    self.set_timer();
                }
            }
        }
    }

    /// Does what has come due, the end first, and sets the timer anew.
    fn on_timer(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if self.end_at.is_some_and(|at| at <= now) {
            return Some(self.end(End::ShuttingDown));
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        let due = self.heartbeat_at <= now;
        if due {
            self.heartbeat_at = now + self.heartbeat;
        }
        self.set_timer();
        due.then(|| self.format.heartbeat())
    }

    fn set_timer(&mut self) {
        let others = self.retry_at.into_iter().chain(self.end_at);
        let earliest = others.fold(self.heartbeat_at, Instant::min);
        self.timer.as_mut().reset(earliest);
    }

    fn end(&mut self, end: End) -> Bytes {
        self.over = true;
        self.counted.ends(end);
        self.format.end(end.label())
    }
}

impl<P> Body for EventStream<P>
where
    P: FnMut(&mut Context<'_>) -> Poll<Result<Step, FeedError>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(opening) = self.opening.take() {
            self.counted.sent(opening.len());
            return Poll::Ready(Some(Ok(Frame::data(*opening))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.poll_chunk(cx).map(|chunk| {
            self.counted.sent(chunk.len());
            Some(Ok(Frame::data(chunk)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

/// Counts what a step brings to a client, at the moment it is handed over.
pub(super) fn count(counted: &Subscriber, step: &Step) {
    match step {
        Step::Events(batch) => {
            counted.delivered(batch.len(), batch.is_replayed());
            batch
                .take_times()
                .for_each(|times| counted.first_delivered(times));
        }
        Step::Reset { code, .. } => counted.reset((*code).into()),
        Step::Ready(_) => {}
    }
}

/// The pause after `failures` failures that came before this one.
fn back_off(failures: u32) -> Duration {
    let (first, most) = BACK_OFF;
    let pause = first.saturating_mul(2u32.saturating_pow(failures)).min(most);
    pause.mul_f64(rand::random_range(0.5..=1.0))
}
