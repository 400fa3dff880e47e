//! Taking a stream out of hyper's hands.
//!
//! A connection of hyper's owns buffers and a parser for requests that a stream's client never sends: ten kilobytes for each
//! that listens. So where the answer to a request over HTTP/1.1 is [`Endless`], hyper gets an error in its stead, ends without
//! a word, and gives back the socket, on which a [`StreamWriter`](super::stream_writer::StreamWriter) writes the same answer.
//! Routing, authentication, errors and every layer around them are those of all requests. HTTP/2, where many
//! requests share a connection, stays with hyper.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Version};
use axum::response::Response;
use hyper::service::{Service, service_fn};

/// An answer's extension: its body goes on until the client leaves or it is ended, so that nothing else will come over its
/// connection.
///
/// On its way out the body stands here, where no layer of the router wraps it: none would change it, and a compressor that has
/// nothing to compress is as large as the stream itself.
#[derive(Clone)]
pub struct Endless {
    body: Arc<Mutex<Option<Body>>>,
}

impl Endless {
    /// The answer's body until [`Endless::put_back`].
    pub(super) fn new(body: Body) -> Self {
        Self {
            body: Arc::new(Mutex::new(Some(body))),
        }
    }

    /// Gives an endless answer its body, outside of all layers; does nothing where that was done, or with another answer.
    pub fn put_back(answer: &mut Response) {
        let Some(Self { body }) = answer.extensions().get() else {
            return;
        };
        let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = body {
            *answer.body_mut() = body;
        }
    }
}

/// What hyper is told instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the stream was handed over")]
pub(super) struct HandedOver;

/// Where an answer is laid that hyper does not get.
#[derive(Clone, Default)]
pub(super) struct Handover {
    answer: Arc<Mutex<Option<Response>>>,
}

/// A request on its way to its answer. Boxed: hyper's connection must be movable to be taken apart.
type Answering = Pin<Box<dyn Future<Output = Result<Response, HandedOver>> + Send>>;

impl Handover {
    /// hyper's service of one connection: `answer` answers, and what is endless is laid down here.
    pub(super) fn service<A, F>(
        &self,
        answer: A,
    ) -> impl Service<
        hyper::Request<hyper::body::Incoming>,
        Response = Response,
        Error = HandedOver,
        Future = Answering,
    > + Unpin
    + use<A, F>
    where
        A: Fn(Request) -> F + Unpin,
        F: Future<Output = Response> + Send + 'static,
    {
        let handover = self.clone();
        service_fn(
            move |request: hyper::Request<hyper::body::Incoming>| -> Answering {
                // A body in chunks, which HTTP/1.0 has not; and HEAD has none.
                let may_take = request.version() == Version::HTTP_11 && request.method() == Method::GET;
                let answer = answer(request.map(Body::new));
                let handover = handover.clone();
                Box::pin(async move {
                    let answer = answer.await;
                    match may_take && answer.extensions().get::<Endless>().is_some() {
                        true => Err(handover.lay_down(answer)),
                        false => Ok(answer),
                    }
                })
            },
        )
    }

    fn lay_down(&self, answer: Response) -> HandedOver {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        HandedOver
    }

    /// What was laid down.
    pub(super) fn take(&self) -> Option<Response> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
