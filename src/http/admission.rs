//! Who asks, in one request: its credential brought before the gate, and what the gate says as an answer.

use std::sync::Arc;

use axum::http::request::Parts;

use super::Shared;
use super::client_address::ClientAddress;
use super::credentials::{Credential, Places, find};
use super::error::{ApiError, ErrorCode};
use super::limits::{Key, Subscribed};
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
}

impl Asker {
    /// Finds out who asks and counts the request. `takes_tickets`: whether a ticket will do.
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
        let access = match access(shared, parts, takes_tickets).await {
            Ok(access) => access,
            Err(refusal) => {
                // Whoever guesses is counted, too.
                limits.request(&address)?;
                return Err(refusal);
            }
        };
        let key = access.subject.clone().map_or(address, Key::Subject);
        limits.request(&key)?;
        Ok(Self { access, key })
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

async fn access(shared: &Shared, parts: &Parts, takes_tickets: bool) -> Result<Access, ApiError> {
    let gate = &shared.gate;
    let Some(config) = gate.config() else {
        return Ok(Access::open());
    };
    let places = Places {
        ticket: takes_tickets,
        query_token: config.query_token,
        cookie: config.cookie.as_deref(),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let access = match find(&parts.headers, &query, places)? {
        Credential::Token(token) => gate.admit_token(&token, Via::Token).await?,
        Credential::Ticket(ticket) => gate.admit_ticket(&ticket).await?,
        Credential::Cookie(token) => {
            let allowed = &shared.settings.allow_origins;
            check_origin(&parts.headers, host(parts), allowed, true)?;
            gate.admit_token(&token, Via::Cookie).await?
        }
        Credential::Absent => return Err(Refusal::Absent.into()),
    };
    Ok(access)
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => Self::token_wanted(),
            Refusal::Bad(reason) => {
                tracing::debug!(reason, "a credential was refused");
                Self::token_refused("The token or ticket is not valid, or no longer.")
            }
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
