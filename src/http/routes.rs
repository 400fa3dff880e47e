//! The paths of the interface, each once: the router is made of them, and so is its description ([`super::openapi`]), so that
//! neither has a path that the other lacks. What a layer around the routes adds (the demo's page) is not among them.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::{Shared, client, events, health, method_not_allowed, metrics, openapi, publish, tickets};

/// Declares the routes with their paths in one table.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $path:literal, $part:ident;)*) => {
        /// A path, as a template whose names stand in braces; under the base path, where there is one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Route {
            $($(#[$doc])* $name,)*
        }

        impl Route {
            /// All of them, in the order of their declaration.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The template.
            pub(super) fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// What it belongs to.
            pub(super) fn part(self) -> Part {
                match self { $(Self::$name => Part::$part,)* }
            }
        }
    };
}

/// What layers a route stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Clients of events: nothing new begins there during the drain.
    Events,
    /// Operators.
    Operations,
    /// The same for everyone, and no secret: pages of every origin may load it.
    Files,
}

routes! {
    RoomEvents = "/v1/rooms/{room}/events", Events;
    Events = "/v1/events", Events;
    SourceRoomEvents = "/v1/sources/{source}/rooms/{room}/events", Events;
    SourceEvents = "/v1/sources/{source}/events", Events;
    Tickets = "/v1/tickets", Events;
    SourceTickets = "/v1/sources/{source}/tickets", Events;
    Live = "/health/live", Operations;
    Ready = "/health/ready", Operations;
    Metrics = "/metrics", Operations;
    Client = "/rowcast.js", Files;
    Description = "/openapi.json", Files;
}

impl Route {
    fn handlers(self) -> MethodRouter<Arc<Shared>> {
        match self {
            Self::RoomEvents | Self::SourceRoomEvents => get(events::subscribe).post(publish::publish),
            Self::Events | Self::SourceEvents => get(events::subscribe),
            Self::Tickets | Self::SourceTickets => post(tickets::issue),
            Self::Live => get(health::live),
            Self::Ready => get(health::ready),
            Self::Metrics => get(metrics::render),
            Self::Client => client::handler(),
            Self::Description => get(openapi::answer),
        }
    }
}

/// The routes of one part. Other methods are answered with a problem. (axum adds `Allow`.)
pub(super) fn of(part: Part) -> Router<Arc<Shared>> {
    let routes = Route::ALL.iter().filter(|route| route.part() == part);
    routes.fold(Router::new(), |router, route| {
        router.route(route.path(), route.handlers().fallback(method_not_allowed))
    })
}
