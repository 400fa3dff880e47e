//! Who asks, in one request: its credential brought before the gate, and what the gate says as an answer.

use std::sync::Arc;

use axum::http::request::Parts;

use super::Shared;
use super::client_address::ClientAddress;
use super::credentials::{Credential, Places, find};
use super::error::{ApiError, ErrorCode};
use super::limits::{Key, Limits, Subscribed};
use super::origin::{check_origin, host};
use super::params::Query;
use crate::auth::{Access, Ended, Lease, Refusal, Via};
use crate::relay::LiveSource;
use crate::room::Room;

/// One who asks, admitted.
pub(super) struct Asker {
    pub access: Access,
    /// Whom the limits count.
    pub key: Key,
    /// What they showed, where that is good once.
    ticket: Option<String>,
    address: Key,
}

impl Asker {
    /// Finds out who asks and counts the request. `takes_tickets`: whether a ticket will do; it is left as it is until
    /// [`Asker::enter`].
    ///
    /// # Errors
    /// `unauthenticated`, `rate_limited`, `forbidden` for a cookie that a page of another origin sends along,
    /// `database_unavailable` where it can't be found out.
    pub(super) async fn admit(
        shared: &Shared,
        parts: &Parts,
        ClientAddress(address): ClientAddress,
        takes_tickets: bool,
    ) -> Result<Self, ApiError> {
        let limits = &shared.settings.limits;
        let address = Key::address(address);
        let credential = credential(shared, parts, takes_tickets)?;
        if let Credential::Ticket(_) = credential {
            // Before the database is troubled with it. A token costs about what reading its request did, so that one is always
            // looked at: nobody behind the same address can keep a good one out.
            limits.may_look_up(&address)?;
        }
        let access = admitted(shared, &credential).await;
        let access = access.map_err(|refusal| refused(limits, &address, refusal))?;
        let key = access.subject.clone().map_or(address.clone(), Key::Subject);
        limits.request(&key)?;
        let ticket = match credential {
            Credential::Ticket(ticket) => Some(ticket),
            _ => None,
        };
        Ok(Self {
            access,
            key,
            ticket,
            address,
        })
    }

    /// Uses up the ticket that they came with, if it was one. To be called last, when nothing else can refuse them any more:
    /// only an answer is worth a ticket.
    ///
    /// # Errors
    /// `unauthenticated` where somebody else was faster, `rate_limited`, `database_unavailable`.
    pub(super) async fn enter(&self, shared: &Shared) -> Result<(), ApiError> {
        let Some(ticket) = &self.ticket else { return Ok(()) };
        let used = shared.gate.use_up(ticket).await;
        used.map_err(|refusal| refused(&shared.settings.limits, &self.address, refusal))
    }

    /// Lets them read these rooms, for as long as the lease lasts.
    ///
    /// # Errors
    /// `forbidden`, `database_unavailable`.
    pub(super) async fn read(
        &self,
        shared: &Shared,
        source: &Arc<LiveSource>,
        rooms: &[Room],
    ) -> Result<Lease, ApiError> {
        Ok(shared.gate.read(&self.access, source, rooms).await?)
    }

    /// Counts a stream or a long poll of theirs.
    ///
    /// # Errors
    /// `too_many_connections`.
    pub(super) fn subscribe(&self, shared: &Shared) -> Result<Subscribed, ApiError> {
        shared.settings.limits.subscription(&self.key)
    }
}

/// What the request shows, where somebody wants to see it; a cookie only from a page that may use it.
fn credential(shared: &Shared, parts: &Parts, takes_tickets: bool) -> Result<Credential, ApiError> {
    let Some(config) = shared.gate.config() else {
        return Ok(Credential::Absent);
    };
    let places = Places {
        ticket: takes_tickets,
        query_token: config.query_token,
        cookie: config.cookie.as_deref(),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let credential = find(&parts.headers, &query, places)?;
    if let Credential::Cookie(_) = credential {
        check_origin(&parts.headers, host(parts), &shared.settings.allow_origins, true)?;
    }
    Ok(credential)
}

async fn admitted(shared: &Shared, credential: &Credential) -> Result<Access, Refusal> {
    let gate = &shared.gate;
    match credential {
        Credential::Token(token) => gate.admit_token(token, Via::Token).await,
        Credential::Ticket(ticket) => gate.admit_ticket(ticket).await,
        Credential::Cookie(token) => gate.admit_token(token, Via::Cookie).await,
        Credential::Absent if gate.config().is_none() => Ok(Access::open()),
        Credential::Absent => Err(Refusal::Absent),
    }
}

/// The answer to a credential that does not let in. One that was never good counts for the address: whoever shows too many of
/// those is told to wait. One that is over is told so in any case, for then its bearer gets another.
fn refused(limits: &Limits, address: &Key, refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Bad(_) => limits
            .failed(address.clone())
            .map_or_else(|too_many| too_many, |()| refusal.into()),
        _ => refusal.into(),
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => Self::token_wanted(),
            Refusal::Bad(reason) => {
                tracing::debug!(reason, "a credential was refused");
                Self::token_refused("The token or ticket is not valid, or no longer.")
            }
            Refusal::Over => Self::token_refused("The token or ticket is not valid, or no longer."),
            Refusal::TooMuch => Self::parameter(
                "These rooms, and the claims of the token, are too much for one ticket: name fewer rooms.",
            ),
            Refusal::Forbidden => Self::forbidden(),
            Refusal::Unavailable => Self::new(
                ErrorCode::DatabaseUnavailable,
                "Whether you may do this can't be found out at the moment. Try again.",
            ),
        }
    }
}

impl From<Ended> for ApiError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Expired => Self::token_refused("The token is not valid any longer."),
            Ended::Revoked => Self::forbidden(),
        }
    }
}
