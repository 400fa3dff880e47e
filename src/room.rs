//! Rooms: the unit of subscription, named by the room column's value as text.

use std::sync::Arc;

/// A room's canonical name: the text that PostgreSQL renders for the value (`42`, never `042`). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room(Arc<str>);

impl Room {
    /// Trusts `name` to be canonical: for text that came from PostgreSQL.
    pub fn canonical(name: &str) -> Self {
        Self(name.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The type of a room column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomType {
    Text,
    /// `varchar(n)`; `None` without a length. Length in characters.
    Varchar(Option<u32>),
    Uuid,
    SmallInt,
    Int,
    BigInt,
}

/// The text is no value of the room's type, so no row can be in that room.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no value of the room column's type")]
pub struct UnknownRoom;
