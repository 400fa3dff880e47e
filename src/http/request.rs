//! Each request's id, which stands on its answer and in every line of the log about it, and its line in the access log.
//!
//! Neither ever has the path or the query: rooms, tickets and tokens stand in them. The access log has the route's template.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::client_address::Peer;
use super::handover::Endless;
use super::{Shared, add_security_headers};
use crate::metrics::Transport;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a proxy: a UUID has 36 characters.
const LONGEST: usize = 64;

/// An id that nobody has used: 64 random bits in hexadecimal.
pub(super) fn fresh_id() -> HeaderValue {
    let id = format!("{:016x}", rand::random::<u64>());
    HeaderValue::try_from(id).expect("digits can stand in a header")
}

/// A request's id, for what goes on after its answer has begun.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// What puts the id into the lines of the log, of every level that is logged. It takes more memory than the id: a stream that
    /// has nothing to log for hours keeps the id alone.
    pub(super) fn span(&self) -> Span {
        tracing::error_span!("request", request_id = &*self.0)
    }
}

/// Gives the request its id and every answer its headers, and logs it at its end where that is asked for. Stands around all else.
pub(super) async fn identify(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let value = given_id(&shared, &request).unwrap_or_else(fresh_id);
    let id = RequestId(value.to_str().unwrap_or_default().into());
    let span = id.span();
    let line = shared
        .settings
        .access_log
        .then(|| Line::of(&shared, &request, &span));
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(span).await;
    Endless::put_back(&mut response);
    response.headers_mut().insert(X_REQUEST_ID, value);
    add_security_headers(response.headers_mut());
    match line {
        Some(line) => line.attached_to(response),
        None => response,
    }
}

/// The id that a trusted proxy gave the request. Anybody else could make two requests look like one.
fn given_id(shared: &Shared, request: &Request) -> Option<HeaderValue> {
    let Peer(peer) = request.extensions().get()?;
    let id = request.headers().get(X_REQUEST_ID)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let is_good = (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(is_plain);
    let is_trusted = shared.settings.limits.trusted().contains(peer.ip());
    (is_good && is_trusted).then(|| id.clone())
}

/// A line of the access log, written when the answer's body has ended: all of it was handed over, or the client left.
struct Line {
    method: Method,
    /// As the routes have it: `/v1/rooms/{room}/events`.
    route: Option<MatchedPath>,
    client: String,
    began: Instant,
    span: Span,
    status: StatusCode,
    transport: Option<Transport>,
    bytes: u64,
}

impl Line {
    fn of(shared: &Shared, request: &Request, span: &Span) -> Self {
        let peer = request.extensions().get::<Peer>();
        let trusted = shared.settings.limits.trusted();
        let client = peer.map(|Peer(peer)| trusted.client(peer.ip(), request.headers()));
        Self {
            method: request.method().clone(),
            route: request.extensions().get().cloned(),
            client: client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
            began: Instant::now(),
            span: span.clone(),
            status: StatusCode::OK,
            transport: None,
            bytes: 0,
        }
    }

    fn attached_to(mut self, response: Response) -> Response {
        self.status = response.status();
        self.transport = response.extensions().get().copied();
        response.map(|body| Body::new(Logged { body, line: self }))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self { client, bytes, .. } = self;
        let method = self.method.as_str();
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        let status = self.status.as_u16();
        let transport = self.transport.map_or("-", Transport::label);
        let duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.span.in_scope(|| {
            tracing::info!(target: "rowcast::access", method, route, status, bytes, duration_ms, transport, client, "request");
        });
    }
}

/// An answer's body that is counted for its line.
struct Logged {
    body: Body,
    line: Line,
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.line.bytes += data.len() as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
