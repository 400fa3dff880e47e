//! Streams: a feed as a response body, in one of two formats.
//!
//! The body owns its feed and asks it only when the connection wants more, so a stream goes at its client's speed and
//! nothing waits in a queue. What the feed hands out in one step is one chunk. The stream ends itself when its source is
//! gone, and on the drain: such a body would block a graceful shutdown for ever. Pace, heartbeats and ends are the same
//! in both formats; how they are written is the matter of [`sse`] and [`ndjson`].

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
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

/// A stream's body. `poll_step` is its feed's. A relay may have tens of thousands: what one needs seldom is boxed.
pub(super) struct EventStream<P> {
    poll_step: P,
    format: StreamFormat,
    opening: Option<Box<Opening>>,
    /// The next sign of life; not touched by a delivery.
    heartbeat: Pin<Box<Sleep>>,
    /// From one to the next, in milliseconds: half the size of a duration, and enough for weeks.
    heartbeat_ms: u32,
    /// Until the feed may be asked again, and how often in a row it was unavailable.
    retry: Option<Pin<Box<Sleep>>>,
    failures: u8,
    draining: Draining,
    /// The right to it.
    lease: Lease,
    counted: Subscriber,
    over: bool,
}

/// What goes before all that the feed is asked for.
#[derive(Default)]
struct Opening {
    /// What the format begins with, until it is sent.
    words: Option<Bytes>,
    /// What the feed has said already.
    first: Option<Result<Step, FeedError>>,
}

enum Draining {
    NotYet(Listener),
    /// It has begun: until this stream ends.
    Ends(Pin<Box<Sleep>>),
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
        let opening = format.opening(retry).map(|words| Opening {
            words: Some(words),
            first: None,
        });
        let heartbeat_ms = u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX).max(1);
        Self {
            poll_step,
            format,
            opening: opening.map(Box::new),
            heartbeat: Box::pin(tokio::time::sleep(heartbeat)),
            heartbeat_ms,
            retry: None,
            failures: 0,
            draining: Draining::NotYet(drain.listener()),
            lease,
            counted,
            over: false,
        }
    }

    /// The same of a feed that has been asked once, and said this.
    pub(super) fn with_first(mut self, first: Result<Step, FeedError>) -> Self {
        self.opening.get_or_insert_default().first = Some(first);
        self
    }

    /// The next chunk, or pending with the feed, the timers and the drain all set to wake the task.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Poll::Ready(ended) = self.lease.poll_ended(cx) {
            return Poll::Ready(self.end(ended.into()));
        }
        loop {
            if self.poll_end(cx).is_ready() {
                return Poll::Ready(self.end(End::ShuttingDown));
            }
            if self.heartbeat.as_mut().poll(cx).is_ready() {
                let pause = Duration::from_millis(self.heartbeat_ms.into());
                self.heartbeat.as_mut().reset(Instant::now() + pause);
                return Poll::Ready(self.format.heartbeat());
            }
            if let Some(retry) = &mut self.retry {
                ready!(retry.as_mut().poll(cx));
                self.retry = None;
            }
            let first = self.opening.take().and_then(|opening| opening.first);
            let step = match first {
                Some(first) => first,
                None => ready!((self.poll_step)(cx)),
            };
            match step {
                Ok(step) => {
                    self.failures = 0;
                    count(&self.counted, &step);
                    let chunk = self.format.step(&step);
                    // An empty chunk would end a chunked body.
                    if !chunk.is_empty() {
                        return Poll::Ready(chunk);
                    }
                }
                Err(FeedError::Gone) => return Poll::Ready(self.end(End::UnknownSource)),
                Err(FeedError::Unavailable | FeedError::Overloaded) => {
                    self.retry = Some(Box::pin(tokio::time::sleep(back_off(self.failures))));
                    self.failures = self.failures.saturating_add(1);
                }
            }
        }
    }

    /// Ready when the drain has begun and it is this stream's turn to end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.draining {
                Draining::NotYet(listener) => {
                    ready!(listener.poll_started(cx));
                    let end = tokio::time::sleep(listener.stagger());
                    self.draining = Draining::Ends(Box::pin(end));
                }
                Draining::Ends(end) => return end.as_mut().poll(cx),
            }
        }
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
        let words = self.opening.as_mut().and_then(|opening| opening.words.take());
        if let Some(words) = words {
            self.counted.sent(words.len());
            return Poll::Ready(Some(Ok(Frame::data(words))));
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
fn back_off(failures: u8) -> Duration {
    let (first, most) = BACK_OFF;
    let pause = first
        .saturating_mul(2u32.saturating_pow(failures.into()))
        .min(most);
    pause.mul_f64(rand::random_range(0.5..=1.0))
}
