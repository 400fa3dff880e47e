//! Faults to watch a client get over: SSE and long poll break at the flip of a switch, as behind a proxy that buffers
//! and one that does not wait. Plain polls always work.
//!
//! A layer around the relay's own routes, which know nothing of it. It listens to the switch, so what is open breaks in
//! the same moment:
//!
//! | | open ones | new ones |
//! | --- | --- | --- |
//! | SSE breaks | are cut | have a head, and then nothing gets through |
//! | SSE is mended | those that are held back are cut | work |
//! | long poll breaks | answer 504 | answer 504 |

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::http::Endless;

const SSE: &str = "text/event-stream";

/// Which transports are broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faults {
    pub sse: bool,
    pub long_poll: bool,
}

/// The layer: hands each request on, and breaks its answer where its transport is to be broken.
pub(super) async fn break_transports(
    State(faults): State<watch::Receiver<Faults>>,
    request: Request,
    next: Next,
) -> Response {
    if is_long_poll(&request) {
        return tokio::select! {
            biased;
            () = once(faults, |faults| faults.long_poll) => StatusCode::GATEWAY_TIMEOUT.into_response(),
            response = next.run(request) => response,
        };
    }
    let mut response = next.run(request).await;
    Endless::put_back(&mut response);
    if !has(response.headers(), &CONTENT_TYPE, SSE) {
        return response;
    }
    let held = faults.borrow().sse;
    response.map(|inner| {
        Body::new(Breakable {
            inner,
            held,
            switched: Box::pin(once(faults, move |faults| faults.sse != held)),
        })
    })
}

fn is_long_poll(request: &Request) -> bool {
    let waits = |query: &str| form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "wait");
    request.method() == Method::GET
        && request.uri().path().ends_with("/events")
        && request.uri().query().is_some_and(waits)
        && !has(request.headers(), &ACCEPT, SSE)
}

/// Whether a header has this media type among its values.
fn has(headers: &HeaderMap, name: &HeaderName, media_type: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains(media_type))
}

/// Completes once the faults are such; never where nobody is left who could switch them.
async fn once(mut faults: watch::Receiver<Faults>, such: impl Fn(&Faults) -> bool + Send) {
    if faults.wait_for(|faults| such(faults)).await.is_err() {
        pending().await
    }
}

/// A stream's body that is cut at the switch.
struct Breakable {
    inner: Body,
    /// Nothing of it gets through. It is still read, so that it ends when the relay ends it.
    held: bool,
    switched: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What the connection is told: it breaks off in the middle, without the end of a body.
#[derive(Debug, thiserror::Error)]
#[error("the demo cuts this stream")]
struct Cut;

impl http_body::Body for Breakable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.switched.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(Cut))));
        }
        loop {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(_)) if self.held => {}
                frame => return Poll::Ready(frame),
            }
        }
    }
}
