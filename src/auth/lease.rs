//! Leases: who reads what at this moment, so that the right to it can be taken back.
//!
//! A subscription lasts as long as its lease: until its token ends, or until the question whether it may read its rooms
//! is answered with no when it is asked again. The register knows all leases of the process; it does no I/O, and its
//! lock is short.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use slab::Slab;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::access::Access;
use crate::pg::reauthorize::RoomHash;
use crate::relay::LiveSource;
use crate::room::Room;

/// The window after a token's end over which its streams end, so that their clients do not all come at once.
const EXPIRY_WINDOW: Duration = Duration::from_secs(4);

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The token's time is over.
    Expired,
    /// The rooms may no longer be read.
    Revoked,
}

impl Ended {
    /// The stable code that a stream ends with.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::Revoked => "forbidden",
        }
    }
}

/// The right to go on reading. Dropping it gives it back.
pub struct Lease {
    held: Option<Held>,
}

struct Held {
    register: Arc<Register>,
    key: usize,
    expiry: Option<Pin<Box<Sleep>>>,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Lease {
    /// One that never ends: nobody was asked who they are.
    pub fn endless() -> Self {
        Self { held: None }
    }

    /// Ready when it has ended; the task is woken for it.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some(held) = &mut self.held else {
            return Poll::Pending;
        };
        if held.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Revoked);
        }
        match &mut held.expiry {
            Some(expiry) => expiry.as_mut().poll(cx).map(|()| Ended::Expired),
            None => Poll::Pending,
        }
    }

    /// Completes when it has ended.
    pub async fn ended(&mut self) -> Ended {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.register.entries().remove(held.key);
        }
    }
}

/// What is asked again about one lease. Never about several at once: a room that makes the question fail would then keep the
/// others of its bearer from an answer.
pub struct Question {
    pub source: Arc<LiveSource>,
    /// The claims as JSON text.
    pub claims: Arc<str>,
    /// One that may no longer be read ends the lease.
    pub rooms: Box<[Room]>,
    revoked: CancellationToken,
}

impl Question {
    /// Ends the lease.
    pub fn revoke(&self) {
        self.revoked.cancel();
    }
}

struct Entry {
    source: Arc<LiveSource>,
    name: Arc<str>,
    rooms: Box<[Room]>,
    hashes: Box<[RoomHash]>,
    claims: Arc<str>,
    revoked: CancellationToken,
}

/// The leases of a process.
#[derive(Default)]
pub struct Register {
    entries: Mutex<Slab<Entry>>,
}

impl Register {
    fn entries(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease for these rooms; without claims an endless one, which nobody asks about again.
    pub fn lease(self: &Arc<Self>, access: &Access, source: &Arc<LiveSource>, rooms: &[Room]) -> Lease {
        let Some(claims) = &access.claims else {
            return Lease::endless();
        };
        let revoked = CancellationToken::new();
        let key = self.entries().insert(Entry {
            source: source.clone(),
            name: source.definition().name.as_str().into(),
            rooms: rooms.into(),
            hashes: rooms.iter().map(RoomHash::of).collect(),
            claims: claims.clone(),
            revoked: revoked.clone(),
        });
        Lease {
            held: Some(Held {
                register: self.clone(),
                key,
                expiry: access
                    .expires_at
                    .map(|at| Box::pin(tokio::time::sleep_until(end_of(at)))),
                revoked: Box::pin(revoked.cancelled_owned()),
            }),
        }
    }

    /// The questions about the rooms that `concerns` picks, by the number of their lease, their source and their hash.
    pub fn questions(&self, concerns: impl Fn(usize, &str, &RoomHash) -> bool) -> Vec<Question> {
        let entries = self.entries();
        let question = |(key, entry): (usize, &Entry)| {
            let rooms = entry.rooms.iter().zip(&entry.hashes);
            let rooms: Box<[Room]> = rooms
                .filter(|(_, hash)| concerns(key, &entry.name, hash))
                .map(|(room, _)| room.clone())
                .collect();
            (!rooms.is_empty()).then(|| Question {
                source: entry.source.clone(),
                claims: entry.claims.clone(),
                rooms,
                revoked: entry.revoked.clone(),
            })
        };
        entries.iter().filter_map(question).collect()
    }
}

/// When a token's stream ends: within the window after the token does, or after now where that is over already (clocks
/// may be apart by the leeway).
fn end_of(expires_at: SystemTime) -> Instant {
    let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
    // A token of a thousand years is one without an end.
    let left = left.min(Duration::from_secs(60 * 60 * 24 * 365));
    Instant::now() + left + EXPIRY_WINDOW.mul_f64(rand::random_range(0.0..1.0))
}
