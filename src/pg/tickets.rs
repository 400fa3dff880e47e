//! Tickets: each stands in for a token once, on whichever relay of the database, for a client that can't send headers.
//!
//! A ticket is 32 random bytes. The database has only their SHA-256, so that who reads its table can't use what is there
//! (no salt and no slow hash: there are no likely tickets to try). It is used by deleting its row, which one can do.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};

use super::secret::Unlogged;
use super::{Database, PgError};
use crate::room::Room;

const ISSUE: &str = include_str!("../../sql/issue_ticket.sql");
const REDEEM: &str = include_str!("../../sql/redeem_ticket.sql");
const PRUNE: &str = include_str!("../../sql/prune_tickets.sql");

/// The entropy of a ticket in bytes: nobody guesses one.
const TICKET_BYTES: usize = 32;

/// The latest time that is kept, the end of the year 9999 in seconds since 1970: a token may name any.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// The tickets of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tickets {
    database: Database,
}

/// What a ticket was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The source that its rooms are of.
    pub source: String,
    /// It is good for these rooms, and for any of them.
    pub rooms: Vec<Room>,
    /// The token's claims: JSON text, as PostgreSQL renders `jsonb` (same values, other spaces and order).
    pub claims: String,
    /// When the token expires; it may have by now.
    pub token_expires_at: Option<SystemTime>,
}

impl Tickets {
    /// The tickets of this database, which stand in its table `rowcast.tickets`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Issues a ticket for these rooms of a source: 43 characters of base64url. It can be used once, within `lifetime` by the
    /// database's clock.
    ///
    /// # Errors
    /// As [`super::Session::read`] and [`Database::pooled`]; also where `claims` is no JSON that `jsonb` takes (`\u0000` is not).
    pub async fn issue(
        &self,
        source: &str,
        rooms: &[Room],
        claims: &str,
        token_expires_at: Option<SystemTime>,
        lifetime: Duration,
    ) -> Result<String, PgError> {
        let mut ticket = [0; TICKET_BYTES];
        OsRng
            .try_fill_bytes(&mut ticket)
            .expect("the operating system has random bytes");
        let rooms: Vec<&str> = rooms.iter().map(Room::as_str).collect();
        let latest = SystemTime::UNIX_EPOCH + LATEST;
        let token_expires_at = token_expires_at.map(|at| at.min(latest));
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&hash(&ticket), Type::BYTEA),
            (&source, Type::TEXT),
            (&rooms, Type::TEXT_ARRAY),
            (&Unlogged(claims), Type::JSONB),
            (&token_expires_at, Type::TIMESTAMPTZ),
            (&lifetime_ms.min(LATEST.as_millis() as i64), Type::INT8),
        ];
        self.database.pooled().await?.read(ISSUE, &params).await?;
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// Uses a ticket up and returns what it was for. `None`: there is none such, any more, or it has expired. What can't be a
    /// ticket is `None` without asking the database.
    ///
    /// # Errors
    /// As [`super::Session::read`] and [`Database::pooled`]; the ticket may be used up when a connection broke.
    pub async fn redeem(&self, ticket: &str) -> Result<Option<Redeemed>, PgError> {
        let Some(bytes) = decode(ticket) else {
            return Ok(None);
        };
        let session = self.database.pooled().await?;
        let taken = session.read(REDEEM, &[(&hash(&bytes), Type::BYTEA)]).await?;
        let Some(row) = taken.first() else { return Ok(None) };
        if !row.try_get::<_, bool>("alive")? {
            return Ok(None);
        }
        let rooms: Vec<&str> = row.try_get("rooms")?;
        Ok(Some(Redeemed {
            source: row.try_get("source")?,
            rooms: rooms.into_iter().map(Room::canonical).collect(),
            claims: row.try_get("claims")?,
            token_expires_at: row.try_get("token_expires_at")?,
        }))
    }

    /// Deletes at most `batch` tickets that expired unused, and returns how many.
    ///
    /// # Errors
    /// As [`super::Session::read`] and [`Database::pooled`].
    pub async fn prune(&self, batch: i64) -> Result<i64, PgError> {
        let session = self.database.pooled().await?;
        let answer = session.read(PRUNE, &[(&batch, Type::INT8)]).await?;
        let row = answer.first().ok_or(PgError::NoAnswer)?;
        Ok(row.try_get("deleted")?)
    }
}

fn hash(ticket: &[u8; TICKET_BYTES]) -> Vec<u8> {
    Sha256::digest(ticket).to_vec()
}

/// The bytes of what looks like a ticket. One text for each, so that the last letter has no room for variants.
fn decode(ticket: &str) -> Option<[u8; TICKET_BYTES]> {
    let mut bytes = [0; TICKET_BYTES];
    match URL_SAFE_NO_PAD.decode_slice(ticket, &mut bytes) {
        Ok(TICKET_BYTES) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_base64url_of_32_bytes_is_no_ticket() {
        let ticket = URL_SAFE_NO_PAD.encode([0xfb; TICKET_BYTES]);
        assert_eq!(decode(&ticket), Some([0xfb; TICKET_BYTES]));
        let (head, last) = ticket.split_at(42);
        for wrong in [
            String::new(),
            head.to_owned(),
            format!("{ticket}A"),
            format!("{ticket}="),
            format!("{head}{}", char::from(last.as_bytes()[0] + 1)),
            ticket.replace('-', "+").replace('_', "/"),
            format!(" {ticket}"),
            "\0".repeat(43),
            "A".repeat(10_000),
        ] {
            assert_eq!(decode(&wrong), None, "{wrong:?}");
        }
    }
}
