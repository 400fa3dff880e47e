//! HTTP: the routes and what stands before them. Only this module knows status codes.
//!
//! ```text
//! serve (sockets, TLS, limits) ─► CORS ─► panics ─► gzip ─► host ─► drain gate ─► routes: events (SSE | NDJSON | long poll | poll)
//!                                                                                   publish, health, metrics, problems
//! ```
//!
//! The paths stand in [`routes`], their description in [`openapi`]. It and the client's code ([`client`]) stand beside CORS: every
//! origin may load them. What one client may take is counted in
//! [`limits`]; who a client is without a token says [`client_address`], which pages may post says [`origin`],
//! and by which names an open relay of one machine is called, [`host`].

mod accept;
pub mod admin;
mod admission;
mod body;
mod client;
mod client_address;
mod connection;
mod cors;
mod credentials;
mod error;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handover;
mod health;
mod host;
pub mod limits;
mod metrics;
mod ndjson;
mod openapi;
mod origin;
mod params;
mod poll;
mod publish;
mod request;
mod routes;
pub mod serve;
mod sse;
mod stream;
mod stream_writer;
mod tickets;
pub mod tls;
mod wire;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONNECTION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

pub use error::{ApiError, ErrorCode};
pub use handover::Endless;
pub use limits::Limits;
pub use openapi::description;

use routes::Part;

use crate::auth::Gate;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::shutdown::Drain;

/// What the operator chose about HTTP.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Origins whose pages may read answers, as browsers send them (`https://app.example.com`).
    pub allow_origins: Vec<HeaderValue>,
    /// The path that everything stands under, as `/live`; empty: none.
    pub base_path: String,
    /// Whether `POST` inserts rows.
    pub allow_publish: bool,
    /// Whether one may follow all rooms of a source at once (`room=*`).
    pub allow_firehose: bool,
    /// Whether requests must call the relay by a name that leads to it alone: where everybody on its machine may do everything,
    /// pages of other sites must not come in by a name of theirs.
    pub local_names_only: bool,
    /// The period of the signs of life on streams.
    pub heartbeat: Duration,
    /// How long an EventSource waits before it reconnects; `None`: random, from one to three seconds.
    pub retry: Option<Duration>,
    /// What clients may take. The accept loop counts in the same.
    pub limits: Arc<Limits>,
    /// What `GET /metrics` renders.
    pub metrics: Metrics,
    /// Health and metrics are on a listener of their own, [`admin`].
    pub operations_apart: bool,
    /// Each request is logged at its end.
    pub access_log: bool,
}

impl Default for HttpSettings {
    /// The defaults of the command line, and connections without a bound.
    fn default() -> Self {
        let metrics = Metrics::new();
        let limits = Limits::new(crate::config::Limits::default(), usize::MAX, &metrics);
        Self {
            allow_origins: Vec::new(),
            base_path: String::new(),
            allow_publish: false,
            allow_firehose: false,
            local_names_only: false,
            heartbeat: Duration::from_secs(15),
            retry: None,
            limits: Arc::new(limits),
            metrics,
            operations_apart: false,
            access_log: false,
        }
    }
}

/// What every handler sees.
struct Shared {
    relay: Arc<Relay>,
    gate: Arc<Gate>,
    settings: HttpSettings,
    drain: Drain,
}

/// All of the HTTP interface as one service. `wrap` gets the routes and may add some, outside of the base path, and put
/// layers around all of them; problems, compression and CORS stand around what it gives back. A layer that
/// is to see the body of a stream calls [`Endless::put_back`].
pub fn router(
    relay: Arc<Relay>,
    gate: Arc<Gate>,
    settings: HttpSettings,
    drain: Drain,
    wrap: impl FnOnce(Router) -> Router,
) -> Router {
    let base = settings.base_path.trim_matches('/').to_owned();
    let cors = cors::layer(&settings.allow_origins);
    let shared = Arc::new(Shared {
        relay,
        gate,
        settings,
        drain,
    });

    let operations = match shared.settings.operations_apart {
        true => Router::new(),
        false => operations(),
    };
    let (events, files) = (events_routes(&shared), routes::of(Part::Files));
    let (routes, files) = if base.is_empty() {
        (operations.merge(events), files)
    } else {
        let base = format!("/{base}");
        let routes = operations.clone().nest(&base, operations.merge(events));
        (routes, Router::new().nest(&base, files))
    };
    let routes = with_fallbacks(wrap(routes.with_state(shared.clone())), &shared);
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    let files = files.layer(compression()).with_state(shared.clone());
    surrounded(routes.merge(files), &shared)
}

/// What operators ask for.
fn operations() -> Router<Arc<Shared>> {
    routes::of(Part::Operations)
}

/// Answers what no route does and who comes by a strange name, compresses, and survives panics of handlers.
fn with_fallbacks(routes: Router, shared: &Arc<Shared>) -> Router {
    let routes = routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found);
    let routes = match shared.settings.local_names_only {
        true => routes.layer(from_fn_with_state(shared.clone(), host::refuse_strange_names)),
        false => routes,
    };
    routes.layer(compression()).layer(from_fn(answer_panics))
}

/// A compressor holds back what a stream has sent; SSE is left alone by default.
fn compression() -> CompressionLayer<impl Predicate> {
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new(ndjson::CONTENT_TYPE));
    CompressionLayer::new().compress_when(compressible)
}

/// What stands around every answer: the request's id, and its headers.
fn surrounded(routes: Router, shared: &Arc<Shared>) -> Router {
    routes.layer(from_fn_with_state(shared.clone(), request::identify))
}

/// What every answer tells browsers, whatever it is: its media type is meant, and addresses (they name rooms) stay here. A page
/// may say otherwise of itself.
fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The routes of events. Each layer is a future and two allocations for every request: these are one.
fn events_routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    routes::of(Part::Events).layer(from_fn_with_state(shared.drain.clone(), answer_events))
}

async fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "There is nothing at this path.")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "This path does not have this method; `Allow` lists those it has.",
    )
}

/// Answers vary with `Accept`, and nothing new is taken during the drain.
async fn answer_events(State(drain): State<Drain>, request: Request, next: Next) -> Response {
    let mut response = match drain.is_started() {
        true => refused_while_draining(request.version()),
        false => next.run(request).await,
    };
    response.headers_mut().append(VARY, HeaderValue::from(ACCEPT));
    response
}

/// During the drain new requests are sent away, with their connection, to another relay.
fn refused_while_draining(version: Version) -> Response {
    let mut response = ApiError::shutting_down().into_response();
    // HTTP/2 has no such header; there the connection's own end says it.
    if version <= Version::HTTP_11 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A panic of a handler is a defect: it is logged by the panic hook, and the client gets an answer.
async fn answer_panics(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request handler panicked");
            ApiError::new(ErrorCode::Internal, "The relay failed.").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
