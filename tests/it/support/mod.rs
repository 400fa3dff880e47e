//! What the tests stand on: a server, a database per test, relays as child processes, HTTP clients, and waiting.

// A helper that no test calls at the moment is no mistake.
#![allow(dead_code, unused_imports)]

pub mod database;
pub mod dump;
pub mod haproxy;
pub mod http;
pub mod ndjson;
pub mod pki;
pub mod pooler;
pub mod relay;
pub mod roles;
pub mod scene;
pub mod sse;
pub mod subscriber;
pub mod swallow;
pub mod wait;

pub use database::{TestDatabase, connect, database, empty_database, own_server, role, server, test_options};
pub use http::{Answer, Client};
pub use ndjson::Lines;
pub use pki::{Authority, Pair, plain_http};
pub use relay::Relay;
pub use roles::{Urls, grant_attached, grant_publishing};
pub use scene::{MESSAGES, attach, messages, run, scene};
pub use sse::{Frame, Stream};
pub use subscriber::{Subscriber, Transport, with_query};
pub use wait::{TIMEOUT, eventually, within};
