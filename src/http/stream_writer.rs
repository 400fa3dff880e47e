//! The writer of a stream that was [handed over](super::handover): its connection from then on, and nothing else.

use std::future::Future;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONNECTION, DATE, HeaderValue, TRANSFER_ENCODING};
use axum::response::Response;
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::Wire;

/// What ends a body in chunks (RFC 9112, 7.1).
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");
const LINE_END: &[u8] = b"\r\n";
/// The most that a chunk's size and its line end take: a number of 64 bits in hexadecimal.
const SIZE_LINE: usize = 16 + LINE_END.len();
/// What is read at a time of one who should have nothing to say.
const READ_BYTES: usize = 256;
/// What one may say nevertheless, in all: a body that its request should not have had, or requests that it sent ahead. One who
/// sends without end would keep a core busy, and its own stream from being written.
const HEARD_BYTES: usize = 64 * 1024;

/// Writes an answer's head, and its body in chunks, each as soon as the socket has taken the one before. Completes when the
/// body has ended, the client has left, or the connection failed.
pub(super) struct StreamWriter {
    wire: Wire,
    /// `None` once it has ended.
    body: Option<Body>,
    /// What the socket has not taken yet: boxed, since it mostly takes all at once.
    waiting: Option<Box<Waiting>>,
    /// Bytes that the client has said since.
    heard: usize,
}

impl StreamWriter {
    /// A writer of `answer`, of which nothing is written yet.
    pub(super) fn new(wire: Wire, answer: Response) -> Self {
        let (mut parts, body) = answer.into_parts();
        let status = parts.status;
        debug_assert_eq!(status, axum::http::StatusCode::OK, "only streams are handed over");
        Self {
            wire,
            body: Some(body),
            waiting: Some(Box::new(Waiting::as_it_is(head(&mut parts.headers)))),
            heard: 0,
        }
    }

    /// Ready when the socket has taken what waited for it.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(waiting) = &mut self.waiting else {
            return Poll::Ready(Ok(()));
        };
        let written = ready!(waiting.poll_write(cx, &mut self.wire));
        self.waiting = None;
        Poll::Ready(written)
    }

    /// Ready when the socket has taken it; otherwise the rest waits.
    fn poll_write(&mut self, mut next: Waiting, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = next.poll_write(cx, &mut self.wire);
        if written.is_pending() {
            self.waiting = Some(Box::new(next));
        }
        written
    }

    /// Ready when the client has left, or says more than [`HEARD_BYTES`]. What it says is of no effect: there is no answer that
    /// could follow this one.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            let is_read = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut read));
            self.heard += read.filled().len();
            if is_read.is_err() || read.filled().is_empty() || self.heard > HEARD_BYTES {
                return Poll::Ready(());
            }
        }
    }
}

impl Future for StreamWriter {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.poll_left(cx).is_ready() {
            return Poll::Ready(());
        }
        if ready!(this.poll_waiting(cx)).is_err() {
            return Poll::Ready(());
        }
        loop {
            let Some(body) = &mut this.body else {
                return Pin::new(&mut this.wire).poll_shutdown(cx).map(drop);
            };
            let next = match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    // An empty chunk would end the body.
                    Ok(data) if !data.is_empty() => Waiting::chunk(data),
                    _ => continue,
                },
                // Without the last chunk, by which the client knows that something is missing.
                Poll::Ready(Some(Err(_))) => return Poll::Ready(()),
                Poll::Ready(None) => {
                    this.body = None;
                    Waiting::as_it_is(LAST_CHUNK)
                }
                // Over TLS what was written may stand in a buffer.
                Poll::Pending => {
                    let _ = ready!(Pin::new(&mut this.wire).poll_flush(cx));
                    return Poll::Pending;
                }
            };
            if ready!(this.poll_write(next, cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }
}

/// The status line and the header lines, with those that are the connection's own affair.
fn head(headers: &mut HeaderMap) -> Bytes {
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in headers.iter() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), LINE_END] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(LINE_END);
    head.into()
}

/// Bytes on their way to a socket: a chunk's size, its data, its end.
struct Waiting {
    size_line: [u8; SIZE_LINE],
    size_line_length: u8,
    data: Bytes,
    has_end: bool,
    /// How many of them all the socket has taken.
    taken: usize,
}

impl Waiting {
    /// Not a chunk.
    fn as_it_is(data: Bytes) -> Self {
        Self {
            size_line: [0; SIZE_LINE],
            size_line_length: 0,
            data,
            has_end: false,
            taken: 0,
        }
    }

    fn chunk(data: Bytes) -> Self {
        let mut size_line = [0; SIZE_LINE];
        let mut left = &mut size_line[..];
        // It has room for every number.
        let _ = write!(left, "{:x}\r\n", data.len());
        let left = left.len();
        Self {
            size_line,
            size_line_length: (SIZE_LINE - left) as u8,
            data,
            has_end: true,
            taken: 0,
        }
    }

    /// Ready when the socket has taken all of it.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_write(&mut self, cx: &mut Context<'_>, wire: &mut Wire) -> Poll<io::Result<()>> {
        while let Some(slices) = self.slices() {
            match ready!(Pin::new(&mut *wire).poll_write_vectored(cx, &slices)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(taken) => self.taken += taken,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What is left; `None`: nothing.
    fn slices(&self) -> Option<[IoSlice<'_>; 3]> {
        let mut skip = self.taken;
        let parts = [
            &self.size_line[..usize::from(self.size_line_length)],
            &self.data,
            if self.has_end { LINE_END } else { &[] },
        ];
        let left = parts.map(|part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            &part[skipped..]
        });
        left.iter()
            .any(|part| !part.is_empty())
            .then(|| left.map(IoSlice::new))
    }
}
