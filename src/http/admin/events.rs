//! `GET /admin/events`: the overview as Server-Sent Events, at once and then every second, until the relay ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::{method_not_allowed, sse};
use super::overview::Overview;
use super::page::OURS_ALONE;
use crate::shutdown::Drain;

/// Between two overviews.
const PERIOD: Duration = Duration::from_secs(1);

/// What such a stream shows, and when it ends.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) overview: Arc<Overview>,
    /// How long an EventSource waits before it reconnects; `None`: random.
    pub(super) retry: Option<Duration>,
    pub(super) drain: Drain,
}

/// Where a stream is.
enum Place {
    Opening,
    Following(Interval),
    Over,
}

pub(super) fn routes(watched: Watched) -> Router {
    Router::new()
        .route("/admin/events", get(events).fallback(method_not_allowed))
        .with_state(watched)
}

async fn events(State(watched): State<Watched>) -> Response {
    let chunks = stream::unfold(Place::Opening, move |place| next(watched.clone(), place));
    let headers = [
        (CONTENT_TYPE, sse::CONTENT_TYPE),
        (CACHE_CONTROL, "no-store, no-transform"),
        // nginx buffers proxied answers unless told otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        OURS_ALONE,
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

/// The next chunk, and where the stream is then. Asked for only when the connection wants more: nothing waits for a slow one.
async fn next(watched: Watched, place: Place) -> Option<(Result<Bytes, Infallible>, Place)> {
    let mut ticks = match place {
        Place::Over => return None,
        Place::Following(ticks) => ticks,
        Place::Opening => {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
            let mut chunk = BytesMut::from(sse::opening(watched.retry));
            chunk.extend_from_slice(&overview(&watched));
            return Some((Ok(chunk.freeze()), Place::Following(ticks)));
        }
    };
    // Those who look are few, and the process waits for them: they are not sent away one after the other.
    tokio::select! {
        biased;
        () = watched.drain.started() => Some((Ok(sse::end("shutting_down")), Place::Over)),
        _ = ticks.tick() => Some((Ok(overview(&watched)), Place::Following(ticks))),
    }
}

fn overview(watched: &Watched) -> Bytes {
    sse::named("overview", &watched.overview.json())
}
