//! The interface for operators on a listener of its own (`--admin-listen`): health, metrics, and whatever else is not for
//! the public.

use std::sync::Arc;

use axum::Router;

use super::{HttpSettings, Shared, operations, surrounded, with_fallbacks};
use crate::auth::Gate;
use crate::relay::Relay;
use crate::shutdown::Drain;

/// All of it as one service. Who reaches the listener is trusted: nobody is asked for a token.
pub fn router(relay: Arc<Relay>, gate: Arc<Gate>, settings: HttpSettings, drain: Drain) -> Router {
    let shared = Arc::new(Shared {
        relay,
        gate,
        settings,
        drain,
    });
    surrounded(
        with_fallbacks(routes().with_state(shared.clone()), &shared),
        &shared,
    )
}

/// What stands there. Pages for operators are merged in here.
fn routes() -> Router<Arc<Shared>> {
    operations()
}
