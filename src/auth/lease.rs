//! Leases: who reads what at this moment, so that the right to it can be taken back.
//!
//! A subscription lasts as long as its lease: until its token ends, or until the question whether it may read its rooms
//! is answered with no when it is asked again. The register knows all leases of the process; it does no I/O, and its
//! lock is short.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use slab::Slab;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::access::Access;
use crate::metrics::End;
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

/// What a stream ends with.
impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Expired => Self::TokenExpired,
            Ended::Revoked => Self::Forbidden,
        }
    }
}

/// The right to go on reading. Dropping it gives it back.
pub struct Lease {
    /// Boxed, since one that is endless holds nothing, and a relay may have thousands.
    held: Option<Box<Held>>,
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
            let entry = held.register.entries().remove(held.key);
            // Nobody need be asked about it any longer.
            entry.over.cancel();
        }
    }
}

/// What is asked again: one room and one token's claims. Leases that depend on the same question share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionKey {
    /// The address of its [`LiveSource`], which the question keeps alive: one that is attached anew is another.
    source: usize,
    room: RoomHash,
    /// SHA-256 of the claims' text.
    claims: [u8; 32],
}

/// A room of a source, as in [`QuestionKey`].
pub type RoomKey = (usize, RoomHash);

impl QuestionKey {
    /// Tells sources apart.
    pub fn source(&self) -> usize {
        self.source
    }

    /// Tells the rooms of all sources apart.
    pub fn room(&self) -> RoomKey {
        (self.source, self.room)
    }

    /// A number below `shares`, the same whenever it is asked.
    pub fn share(&self, shares: usize) -> usize {
        let bytes = [self.claims[0], self.claims[1]];
        (usize::from(u16::from_le_bytes(bytes)) + usize::from(self.room.first_byte())) % shares
    }
}

/// A question, and the leases that end where it is answered with no.
#[derive(Clone)]
pub struct Question {
    pub source: Arc<LiveSource>,
    pub room: Room,
    /// The claims as JSON text.
    pub claims: Arc<str>,
    leases: Vec<CancellationToken>,
}

impl Question {
    /// Ends the leases.
    pub fn revoke(&self) {
        self.leases.iter().for_each(CancellationToken::cancel);
    }

    /// How many leases depend on it.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Whether any of the leases is still there.
    pub fn is_wanted(&self) -> bool {
        self.leases.iter().any(|lease| !lease.is_cancelled())
    }
}

struct Entry {
    source: Arc<LiveSource>,
    rooms: Box<[Room]>,
    /// Of the rooms, in their order.
    keys: Box<[QuestionKey]>,
    claims: Arc<str>,
    /// Cancelled where its rooms may no longer be read, and where it is dropped.
    over: CancellationToken,
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
        let over = CancellationToken::new();
        let hashed: [u8; 32] = Sha256::digest(claims.as_bytes()).into();
        let key_of = |room| QuestionKey {
            source: Arc::as_ptr(source).addr(),
            room: RoomHash::of(room),
            claims: hashed,
        };
        let key = self.entries().insert(Entry {
            source: source.clone(),
            rooms: rooms.into(),
            keys: rooms.iter().map(key_of).collect(),
            claims: claims.clone(),
            over: over.clone(),
        });
        Lease {
            held: Some(Box::new(Held {
                register: self.clone(),
                key,
                expiry: access
                    .expires_at
                    .map(|at| Box::pin(tokio::time::sleep_until(end_of(at)))),
                revoked: Box::pin(over.cancelled_owned()),
            })),
        }
    }

    /// The questions that `picks` picks, by the name of their source, their room and their key, with what it says of them. Each
    /// has all of its leases.
    pub fn questions<T>(
        &self,
        picks: impl Fn(&str, &RoomHash, &QuestionKey) -> Option<T>,
    ) -> HashMap<QuestionKey, (T, Question)> {
        let mut questions = HashMap::new();
        for (_, entry) in self.entries().iter() {
            let definition = entry.source.definition();
            for (room, key) in entry.rooms.iter().zip(&entry.keys) {
                let Some(picked) = picks(&definition.name, &key.room, key) else {
                    continue;
                };
                let lease = entry.over.clone();
                match questions.entry(*key) {
                    Place::Vacant(place) => {
                        let question = Question {
                            source: entry.source.clone(),
                            room: room.clone(),
                            claims: entry.claims.clone(),
                            leases: vec![lease],
                        };
                        place.insert((picked, question));
                    }
                    Place::Occupied(mut place) => place.get_mut().1.leases.push(lease),
                }
            }
        }
        questions
    }
}

/// When a token's stream ends: within the window after the token does, or after now where that is over already (clocks
/// may be apart by the leeway).
fn end_of(expires_at: SystemTime) -> Instant {
    let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
    // A token of a thousand years is one without an end.
    let left = left.min(Duration::from_secs(60 * 60 * 24 * 365));
    // Not at once: who is let in by the leeway gets an answer.
    Instant::now() + left + EXPIRY_WINDOW.mul_f64(rand::random_range(0.25..1.0))
}
