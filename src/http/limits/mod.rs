//! Bounds on what clients take: counted here, refused with a problem, and each refusal counted as a metric.
//!
//! ```text
//! accept ─► connections in all, per address, new ones per second     ([`Limits::connection`])
//!   token shown ─► an address that shows bad ones is told to wait    ([`Limits::failed`])
//!   ticket shown ─► few looked up at a time, bad ones per second     ([`Limits::look_up`])
//!   request ─► requests per second of a key                          ([`Limits::request`])
//!     stream, long poll ─► subscriptions at a time of a key          ([`Limits::subscription`])
//!     ticket asked for ─► tickets per second of a key                ([`Limits::ticket`])
//! ```
//!
//! What is held at a time is a guard: dropping it gives it back. A bound that is not set costs nothing. Sizes and times of
//! heads and bodies are enforced where those are read; what they refuse is counted by [`Limits::over`], too.

mod buckets;
mod counts;
pub mod descriptors;
mod look_ups;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::client_address::TrustedProxies;
use super::error::{ApiError, ErrorCode};
use super::metrics::LimitHits;
use crate::config;
use crate::metrics::{Gauges, Metrics, names};

use buckets::Buckets;
use counts::{Counts, Held};
use look_ups::{LookUps, Turn};

/// What can be exceeded. The label of the metric is [`Limit::label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Connections,
    ConnectionsPerAddress,
    NewConnections,
    Subscriptions,
    Requests,
    FailedCredentials,
    Tickets,
    Rooms,
    WaitingReplays,
    HeadBytes,
    HeadTime,
    BodyBytes,
    BodyTime,
}

impl Limit {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::NewConnections,
        Self::Subscriptions,
        Self::Requests,
        Self::FailedCredentials,
        Self::Tickets,
        Self::Rooms,
        Self::WaitingReplays,
        Self::HeadBytes,
        Self::HeadTime,
        Self::BodyBytes,
        Self::BodyTime,
    ];

    /// The stable text of the metric's label: the option's name where there is one, without `max`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::NewConnections => "new_connections_per_second",
            Self::Subscriptions => "subscriptions_per_subject",
            Self::Requests => "requests_per_second",
            Self::FailedCredentials => "failed_credentials_per_second",
            Self::Tickets => "tickets_per_second",
            Self::Rooms => "rooms",
            Self::WaitingReplays => "waiting_replays",
            Self::HeadBytes => "head_bytes",
            Self::HeadTime => "head_timeout",
            Self::BodyBytes => "body_bytes",
            Self::BodyTime => "body_timeout",
        }
    }
}

/// Who is counted: the subject of a token, or without one the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Subject(Arc<str>),
    /// As [`Key::address`] makes it.
    Address(IpAddr),
}

impl Key {
    /// The key of an address. Of IPv6 it is the /64: one client has all of it, and could otherwise be as many clients as
    /// it likes (RFC 6177 has sites get at least that).
    pub fn address(address: IpAddr) -> Self {
        Self::Address(counted(address))
    }
}

/// What counts as one address.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub struct Connection {
    in_all: Arc<AtomicUsize>,
    /// Only where addresses are bounded.
    _of_address: Option<Held<IpAddr>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.in_all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A subscription that is counted, until it is dropped.
#[derive(Debug)]
pub struct Subscribed {
    /// Only where they are bounded; boxed, for where they are not.
    _of_key: Option<Box<Held<Key>>>,
}

/// A credential that is being looked up in the database. A token of its address' bucket is taken for it, and lost with it
/// unless it turns out [good](LookUp::good): also where nobody waited for the answer, or there was none, so that breaking off
/// saves a guesser nothing.
#[derive(Debug)]
pub struct LookUp<'a> {
    failed: &'a Buckets<Key>,
    address: Key,
    _turn: Turn<'a>,
}

impl LookUp<'_> {
    /// It was no guess, and costs nothing.
    pub fn good(self) {
        self.failed.give_back(&self.address);
    }
}

/// What may come at once after silence, where the operator counts in seconds: a second's worth.
const SECOND: Duration = Duration::from_secs(1);

/// The same of what is on by default: with ten seconds' worth at once, no page load and no restart of a relay is near it.
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The bounds, and what of them is taken now.
#[derive(Debug)]
pub struct Limits {
    settings: config::Limits,
    most_connections: usize,
    trusted: TrustedProxies,
    connections: Arc<AtomicUsize>,
    of_address: Option<Counts<IpAddr>>,
    new_connections: Option<Buckets<()>>,
    subscriptions: Option<Counts<Key>>,
    requests: Option<Buckets<Key>>,
    failed: Buckets<Key>,
    look_ups: LookUps,
    tickets: Buckets<Key>,
    hits: LimitHits,
}

impl Limits {
    /// `most_connections` is what holds where the settings do not say: see [`descriptors`].
    pub fn new(settings: config::Limits, most_connections: usize, metrics: &Metrics) -> Self {
        let rate = |rate: u32| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        let optional = |per_second: Option<u32>| per_second.map(rate);
        Self {
            most_connections: settings.connections.unwrap_or(most_connections),
            trusted: TrustedProxies::new(settings.trusted_proxies.clone()),
            connections: Arc::default(),
            of_address: settings.connections_per_address.map(Counts::new),
            new_connections: optional(settings.new_connections_per_second)
                .map(|rate| Buckets::new(rate, SECOND)),
            subscriptions: settings.subscriptions_per_subject.map(Counts::new),
            requests: optional(settings.requests_per_second).map(|rate| Buckets::new(rate, SECOND)),
            failed: Buckets::new(rate(settings.failed_credentials_per_second), TEN_SECONDS),
            look_ups: LookUps::new(),
            tickets: Buckets::new(rate(settings.tickets_per_second), TEN_SECONDS),
            hits: LimitHits::new(metrics),
            settings,
        }
    }

    /// The sizes and times that are enforced elsewhere.
    pub fn settings(&self) -> &config::Limits {
        &self.settings
    }

    /// Connections at a time, in all.
    pub fn most_connections(&self) -> usize {
        self.most_connections
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Adds the gauges of what is taken.
    pub fn collect(&self, gauges: &mut Gauges) {
        gauges.set(names::CONNECTIONS, &[], self.open_connections() as f64);
        if self.most_connections < usize::MAX {
            gauges.set(names::CONNECTIONS_MAX, &[], self.most_connections as f64);
        }
    }

    /// Whose word counts for where a request comes from.
    pub fn trusted(&self) -> &TrustedProxies {
        &self.trusted
    }

    /// A new connection of `peer`. Never waits. A trusted proxy brings the connections of many clients: its address is not
    /// bounded, only all together.
    ///
    /// # Errors
    /// `too_many_connections` (503 in all, 429 of one address) or `rate_limited`.
    pub fn connection(&self, peer: IpAddr) -> Result<Connection, ApiError> {
        let of_address = match &self.of_address {
            Some(counts) if !self.trusted.contains(peer) => match counts.hold(counted(peer)) {
                Some(held) => Some(held),
                None => {
                    let detail = "Your address has as many connections as it may. Close some.";
                    let error = ApiError::new(ErrorCode::TooManyConnections, detail);
                    return Err(self.over(Limit::ConnectionsPerAddress, error));
                }
            },
            _ => None,
        };
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            in_all: self.connections.clone(),
            _of_address: of_address,
        };
        if before >= self.most_connections {
            let detail = "The relay has as many connections as it may. Try another relay, or again.";
            return Err(self.over(Limit::Connections, ApiError::new(ErrorCode::TooManyInAll, detail)));
        }
        // Last, so that who is over another bound takes nothing from the others.
        if let Some(new) = &self.new_connections
            && !new.take((), Instant::now())
        {
            let detail = "New connections come faster than the relay takes them.";
            return Err(self.over(
                Limit::NewConnections,
                ApiError::new(ErrorCode::RateLimited, detail),
            ));
        }
        Ok(connection)
    }

    /// A request of `key`.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn request(&self, key: &Key) -> Result<(), ApiError> {
        match &self.requests {
            Some(requests) if !requests.take(key.clone(), Instant::now()) => {
                let error = ApiError::new(
                    ErrorCode::RateLimited,
                    "Requests come faster than they may. Wait, then try again.",
                );
                Err(self.over(Limit::Requests, error))
            }
            _ => Ok(()),
        }
    }

    /// Waits until what `address` shows may be looked up in the database. Good ones cost it nothing, and few are looked up at a
    /// time: so a crowd behind one address passes, one after the other, while who shows bad ones there has as many look-ups as
    /// may fail, and not one more.
    ///
    /// # Errors
    /// `rate_limited`; `database_unavailable` where those before it take too long.
    pub async fn look_up(&self, address: &Key) -> Result<LookUp<'_>, ApiError> {
        let refused = || self.over(Limit::FailedCredentials, too_many_failed());
        // Nobody waits for what would be refused now.
        if !self.failed.has(address, Instant::now()) {
            return Err(refused());
        }
        let turn = self.look_ups.turn(address).await;
        let turn = turn.ok_or_else(ApiError::cannot_find_out)?;
        // Those before it may have failed since.
        if !self.failed.take(address.clone(), Instant::now()) {
            return Err(refused());
        }
        Ok(LookUp {
            failed: &self.failed,
            address: address.clone(),
            _turn: turn,
        })
    }

    /// `address` showed a credential that is no good, for which no token was taken before.
    ///
    /// # Errors
    /// `rate_limited`, instead of what it would be told otherwise.
    pub fn failed(&self, address: Key) -> Result<(), ApiError> {
        let now = Instant::now();
        let within = self.failed.has(&address, now);
        self.failed.spend(address, now);
        match within {
            true => Ok(()),
            false => Err(self.over(Limit::FailedCredentials, too_many_failed())),
        }
    }

    /// `key` asks for a ticket.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn ticket(&self, key: &Key) -> Result<(), ApiError> {
        if self.tickets.take(key.clone(), Instant::now()) {
            return Ok(());
        }
        let detail = "You ask for tickets faster than you may. Wait, then try again.";
        let error = ApiError::new(ErrorCode::RateLimited, detail);
        Err(self.over(Limit::Tickets, error))
    }

    /// A stream or a long poll of `key`, for as long as the guard lives.
    ///
    /// # Errors
    /// `too_many_connections`.
    pub fn subscription(&self, key: &Key) -> Result<Subscribed, ApiError> {
        let Some(counts) = &self.subscriptions else {
            return Ok(Subscribed { _of_key: None });
        };
        match counts.hold(key.clone()) {
            Some(held) => Ok(Subscribed {
                _of_key: Some(Box::new(held)),
            }),
            None => {
                let detail = "You have as many subscriptions as you may. Close some.";
                let error = ApiError::new(ErrorCode::TooManyConnections, detail);
                Err(self.over(Limit::Subscriptions, error))
            }
        }
    }

    /// Counts that a limit was exceeded, and hands on what the client is told.
    pub fn over<E>(&self, limit: Limit, error: E) -> E {
        self.hits.add(limit);
        tracing::debug!(limit = limit.label(), "a limit was exceeded");
        error
    }
}

fn too_many_failed() -> ApiError {
    ApiError::new(
        ErrorCode::RateLimited,
        "Your address shows too many tokens and tickets that are no good, or can't be looked up. Wait, then try again.",
    )
}

#[cfg(test)]
mod tests;
