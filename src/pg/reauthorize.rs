//! What the bell hears when an application calls `rowcast.reauthorize` (`migrations/V13__access.sql`): who may read some room
//! may have changed, so whoever reads it is to be asked for again.
//!
//! Nothing of it may be lost, or somebody goes on reading: a receiver that fell behind, and a LISTEN connection that was
//! made anew, are told that everything may have changed.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::room::Room;

/// Calls that wait for one receiver before it is told of all rooms in their place.
pub(super) const WAITING: usize = 1024;

/// A room as it travels in notifications, which every role of the database may hear: SHA-256 of its name in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomHash([u8; 32]);

impl RoomHash {
    /// Of a room's canonical name.
    pub fn of(room: &Room) -> Self {
        Self(Sha256::digest(room.as_str()).into())
    }

    /// One of its bytes, for who sorts rooms into heaps.
    pub fn first_byte(&self) -> u8 {
        self.0[0]
    }

    /// As the notification writes it: 64 hexadecimal digits in lower case.
    fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .bytes()
            .map(|letter| match letter {
                b'0'..=b'9' => Some(letter - b'0'),
                b'a'..=b'f' => Some(letter - b'a' + 10),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Some(Self(bytes.try_into().ok().filter(|_| rest.is_empty())?))
    }
}

/// Whose rights may have changed: those of the readers of these rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reauthorize {
    /// The source that the rooms are of; `None`: every source.
    pub source: Option<String>,
    /// The room; `None`: every room.
    pub room: Option<RoomHash>,
}

impl Reauthorize {
    /// Every room of every source.
    pub const ALL: Self = Self {
        source: None,
        room: None,
    };

    /// The rest of a payload, `HASH:SOURCE`, behind `reauthorize:`. `None` if it is none of ours: any role may notify.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        let (room, source) = rest.split_once(':')?;
        let room = match room {
            "*" => None,
            hash => Some(RoomHash::parse(hash)?),
        };
        let source = (!source.is_empty()).then(|| source.to_owned());
        Some(Self { source, room })
    }
}

/// Calls that are answered together. However many there are, a room is compared with those that name it alone.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// The sources that every room is meant of; `None`: of all sources.
    of_all_rooms: Vec<Option<String>>,
    of_rooms: HashMap<RoomHash, Vec<Option<String>>>,
}

impl Calls {
    /// One more.
    pub fn add(&mut self, call: Reauthorize) {
        let sources = match call.room {
            None => &mut self.of_all_rooms,
            Some(room) => self.of_rooms.entry(room).or_default(),
        };
        if !sources.contains(&call.source) {
            sources.push(call.source);
        }
    }

    /// Whether one of them concerns this room of this source.
    pub fn concern(&self, source: &str, room: &RoomHash) -> bool {
        self.name(source, room) || is_among(&self.of_all_rooms, source)
    }

    /// Whether one of them names this room.
    pub fn name(&self, source: &str, room: &RoomHash) -> bool {
        let sources = self.of_rooms.get(room);
        sources.is_some_and(|sources| is_among(sources, source))
    }
}

impl From<Reauthorize> for Calls {
    fn from(call: Reauthorize) -> Self {
        let mut calls = Self::default();
        calls.add(call);
        calls
    }
}

fn is_among(sources: &[Option<String>], source: &str) -> bool {
    sources
        .iter()
        .any(|named| named.as_deref().is_none_or(|named| named == source))
}

/// The calls as they are heard, for one receiver; it hears of those that come after it was made.
#[derive(Debug)]
pub struct Reauthorizations {
    heard: broadcast::Receiver<Reauthorize>,
}

impl Reauthorizations {
    pub(super) fn new(heard: broadcast::Receiver<Reauthorize>) -> Self {
        Self { heard }
    }

    /// The next one; [`Reauthorize::ALL`] where some may have been missed. Waits for ever once the bell is gone. May be
    /// dropped half-way without loss.
    pub async fn next(&mut self) -> Reauthorize {
        match self.heard.recv().await {
            Ok(heard) => heard,
            Err(RecvError::Lagged(_)) => Reauthorize::ALL,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// The next one, and those that wait behind it already. As [`Reauthorizations::next`] else.
    pub async fn next_all(&mut self) -> Calls {
        let mut calls = Calls::from(self.next().await);
        loop {
            match self.heard.try_recv() {
                Ok(call) => calls.add(call),
                Err(TryRecvError::Lagged(_)) => calls.add(Reauthorize::ALL),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return calls,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 7 | sha256sum`.
    const SEVEN: &str = "7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451";

    #[test]
    fn a_payload_names_a_room_by_its_hash_and_a_source() {
        let seven = RoomHash::of(&Room::canonical("7"));
        let calls = |payload: &str| Calls::from(Reauthorize::parse(payload).unwrap());
        let one = calls(&format!("{SEVEN}:messages"));
        assert!(one.concern("messages", &seven));
        assert!(!one.concern("orders", &seven));
        assert!(!one.concern("messages", &RoomHash::of(&Room::canonical("8"))));
        assert!(calls(&format!("{SEVEN}:")).concern("orders", &seven));
        let source = calls("*:messages");
        assert!(source.concern("messages", &seven) && !source.concern("orders", &seven));
        assert_eq!(Reauthorize::parse("*:"), Some(Reauthorize::ALL));
    }

    #[test]
    fn what_is_no_payload_of_ours_is_nothing() {
        let (short, long) = (&SEVEN[1..], format!("{SEVEN}0:"));
        for payload in [
            "",
            "*",
            ":",
            "x:",
            &format!("{short}:"),
            &long,
            &format!("{}:", SEVEN.to_uppercase()),
        ] {
            assert_eq!(Reauthorize::parse(payload), None, "{payload}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_fell_behind_is_told_of_all_rooms() {
        let (sender, receiver) = broadcast::channel(2);
        let mut heard = Reauthorizations::new(receiver);
        let call = |room: &str| Reauthorize {
            source: None,
            room: Some(RoomHash::of(&Room::canonical(room))),
        };
        for room in ["1", "2", "3"] {
            sender.send(call(room)).unwrap();
        }
        assert_eq!(heard.next().await, Reauthorize::ALL);
        assert_eq!(heard.next().await, call("2"));
        assert_eq!(heard.next().await, call("3"));
    }

    #[tokio::test]
    async fn calls_that_wait_are_taken_together() {
        let (sender, receiver) = broadcast::channel(4);
        let mut heard = Reauthorizations::new(receiver);
        let [a, b, c] = ["a", "b", "c"].map(|room| RoomHash::of(&Room::canonical(room)));
        for (source, room) in [
            (None, Some(a)),
            (Some("messages"), Some(b)),
            (Some("orders"), None),
        ] {
            let source = source.map(str::to_owned);
            sender.send(Reauthorize { source, room }).unwrap();
        }
        let calls = heard.next_all().await;
        assert!(calls.concern("messages", &a) && calls.concern("messages", &b));
        assert!(!calls.concern("messages", &c) && calls.concern("orders", &c));
        assert!(calls.name("orders", &a) && !calls.name("orders", &b));
        sender.send(Reauthorize::ALL).unwrap();
        assert!(heard.next_all().await.concern("messages", &c));
    }
}
