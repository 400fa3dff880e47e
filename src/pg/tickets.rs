//! Tickets: each stands in for a token once, on whichever relay of the database, for a client that can't send headers.
//!
//! A ticket is 32 random bytes. The database has only their SHA-256, so that who reads its table can't use what is there
//! (no salt and no slow hash: there are no likely tickets to try). What it is good for is sealed with a key that is made of
//! the ticket, so that they can't read that either. It is used by deleting its row, which one can do.

use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};

use super::{Database, PgError};
use crate::room::Room;

const ISSUE: &str = include_str!("../../sql/issue_ticket.sql");
const LOOK_AT: &str = include_str!("../../sql/look_at_ticket.sql");
const REDEEM: &str = include_str!("../../sql/redeem_ticket.sql");
const PRUNE: &str = include_str!("../../sql/prune_tickets.sql");

/// The entropy of a ticket in bytes: nobody guesses one.
const TICKET_BYTES: usize = 32;

/// The longest lifetime, to the end of the year 9999 in seconds since 1970: PostgreSQL's timestamps end there or later.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// Bytes of what is sealed at most: the claims of the longest token fit in any spelling, beside a hundred rooms with names of
/// ordinary length.
const MOST_SEALED_BYTES: usize = 16 * 1024;

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// What it is to be good for is too much to keep.
    #[error("a ticket for this has {bytes} bytes of contents; {MOST_SEALED_BYTES} are the most")]
    TooLarge { bytes: usize },
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] PgError),
}

/// The tickets of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tickets {
    database: Database,
}

/// What a ticket was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodFor {
    /// The source that its rooms are of.
    pub source: String,
    /// It is good for these rooms, and for any of them.
    pub rooms: Vec<Room>,
    /// The token's claims: JSON text.
    pub claims: String,
    /// When the token expires; it may have by now.
    pub token_expires_at: Option<SystemTime>,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Contents {
    source: String,
    rooms: Vec<String>,
    claims: String,
    token_expires_at: Option<SystemTime>,
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
    /// [`TicketError::TooLarge`], before the database is asked; else as [`super::Session::read`] and [`Database::pooled`].
    pub async fn issue(
        &self,
        source: &str,
        rooms: &[Room],
        claims: &str,
        token_expires_at: Option<SystemTime>,
        lifetime: Duration,
    ) -> Result<String, TicketError> {
        let mut ticket = [0; TICKET_BYTES];
        OsRng
            .try_fill_bytes(&mut ticket)
            .expect("the operating system has random bytes");
        let contents = Contents {
            source: source.to_owned(),
            rooms: rooms.iter().map(|room| room.as_str().to_owned()).collect(),
            claims: claims.to_owned(),
            token_expires_at,
        };
        let sealed = seal(&ticket, &contents);
        if sealed.len() > MOST_SEALED_BYTES {
            return Err(TicketError::TooLarge { bytes: sealed.len() });
        }
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let params: [(&(dyn ToSql + Sync), Type); 3] = [
            (&hash(&ticket), Type::BYTEA),
            (&sealed, Type::BYTEA),
            (&lifetime_ms.min(LATEST.as_millis() as i64), Type::INT8),
        ];
        self.database.pooled().await?.read(ISSUE, &params).await?;
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// What a ticket is for, which leaves it as it is. `None` as for [`Tickets::redeem`].
    ///
    /// # Errors
    /// As [`super::Session::read`] and [`Database::pooled`].
    pub async fn look_at(&self, ticket: &str) -> Result<Option<GoodFor>, PgError> {
        self.find(LOOK_AT, ticket).await
    }

    /// Uses a ticket up and returns what it was for. `None`: there is none such, any more, or it has expired. What can't be a
    /// ticket is `None` without asking the database.
    ///
    /// # Errors
    /// As [`super::Session::read`] and [`Database::pooled`]; the ticket may be used up when a connection broke.
    pub async fn redeem(&self, ticket: &str) -> Result<Option<GoodFor>, PgError> {
        self.find(REDEEM, ticket).await
    }

    async fn find(&self, statement: &str, ticket: &str) -> Result<Option<GoodFor>, PgError> {
        let Some(bytes) = decode(ticket) else {
            return Ok(None);
        };
        let session = self.database.pooled().await?;
        let found = session.read(statement, &[(&hash(&bytes), Type::BYTEA)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        if !row.try_get::<_, bool>("alive")? {
            return Ok(None);
        }
        // Whoever can write the table can put anything there, but nothing that was sealed with this ticket.
        Ok(unseal(&bytes, row.try_get("contents")?).map(|contents| GoodFor {
            source: contents.source,
            rooms: contents.rooms.iter().map(|room| Room::canonical(room)).collect(),
            claims: contents.claims,
            token_expires_at: contents.token_expires_at,
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

/// The key that a ticket seals with: another hash of it than the one that the database has.
fn key(ticket: &[u8; TICKET_BYTES]) -> LessSafeKey {
    let key = Sha256::new_with_prefix(b"rowcast ticket contents")
        .chain_update(ticket)
        .finalize();
    let key = UnboundKey::new(&AES_256_GCM, &key).expect("SHA-256 has as many bytes as a key");
    LessSafeKey::new(key)
}

/// A key seals once, so that one nonce does for all.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn seal(ticket: &[u8; TICKET_BYTES], contents: &Contents) -> Vec<u8> {
    let mut sealed = serde_json::to_vec(contents).expect("texts and a time of our era");
    key(ticket)
        .seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
        .expect("contents are shorter than 64 GiB");
    sealed
}

fn unseal(ticket: &[u8; TICKET_BYTES], mut sealed: Vec<u8>) -> Option<Contents> {
    let contents = key(ticket)
        .open_in_place(nonce(), Aad::empty(), &mut sealed)
        .ok()?;
    serde_json::from_slice(contents).ok()
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
    fn only_its_own_ticket_unseals_what_nobody_changed() {
        let contents = Contents {
            source: "messages".to_owned(),
            rooms: vec!["lobby".to_owned()],
            claims: r#"{"sub":"ada"}"#.to_owned(),
            token_expires_at: Some(SystemTime::UNIX_EPOCH + LATEST),
        };
        let sealed = seal(&[1; TICKET_BYTES], &contents);
        assert!(!sealed.windows(3).any(|bytes| bytes == b"ada"));
        let unsealed = unseal(&[1; TICKET_BYTES], sealed.clone()).expect("it is its own");
        assert_eq!(
            (unsealed.claims, unsealed.token_expires_at),
            (contents.claims, contents.token_expires_at)
        );
        assert!(unseal(&[2; TICKET_BYTES], sealed.clone()).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(unseal(&[1; TICKET_BYTES], changed).is_none(), "byte {at}");
        }
        assert!(unseal(&[1; TICKET_BYTES], Vec::new()).is_none());
    }

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
