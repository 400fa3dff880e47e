//! What the page may switch: the faults of the transports, and whether the writer rests.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::faults::Faults;
use super::json;
use crate::http::ApiError;

/// The switches. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    faults: watch::Sender<Faults>,
    writing: watch::Sender<Writing>,
}

/// How the writer is told to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writing {
    pub paused: bool,
}

impl Switches {
    pub(super) fn faults(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    /// For the writer.
    pub fn writing(&self) -> watch::Receiver<Writing> {
        self.writing.subscribe()
    }
}

/// `GET` and `PUT /demo/faults` (`{"sse","long_poll"}`; true: broken) and `/demo/writer` (`{"paused"}`).
pub(super) fn routes(switches: Switches) -> Router {
    Router::new()
        .route("/demo/faults", switch(switches.faults))
        .route("/demo/writer", switch(switches.writing))
}

/// `GET` shows how it stands, `PUT` sets all of it and shows it again.
fn switch<T>(state: watch::Sender<T>) -> MethodRouter
where
    T: Copy + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    get(read::<T>).put(set::<T>).with_state(state)
}

async fn read<T: Copy + Serialize>(State(state): State<watch::Sender<T>>) -> impl IntoResponse {
    let state = *state.borrow();
    ([(CACHE_CONTROL, "no-store")], Json(state))
}

async fn set<T: Copy + Serialize>(
    State(state): State<watch::Sender<T>>,
    wanted: Result<Json<T>, JsonRejection>,
) -> Result<impl IntoResponse, ApiError> {
    state.send_replace(json(wanted)?);
    Ok(read(State(state)).await)
}
