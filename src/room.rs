//! Rooms: the unit of subscription, named by the room column's value as text.
//!
//! PostgreSQL reads many spellings of one value (`042`, `{AAAA…}`). A room has one name, the text that PostgreSQL renders
//! for the value, or one room would be two to the hub and to whoever grants access. [`RoomType::parse`] finds it without
//! asking the database.
//!
//! [`Room::all`] is none of them: it stands for all rooms of a source at once, the firehose.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A room's canonical name: the text that PostgreSQL renders for the value (`42`, never `042`). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room(Arc<str>);

impl Room {
    /// Trusts `name` to be canonical: for text that came from PostgreSQL.
    pub fn canonical(name: &str) -> Self {
        Self(name.into())
    }

    /// All rooms of a source: what one subscribes to for the firehose. No row's room is equal to it.
    pub fn all() -> Self {
        Self(Self::ALL.into())
    }

    /// The name of [`Room::all`], which no text of PostgreSQL's can be: none holds a NUL.
    pub(crate) const ALL: &str = "\0";

    /// Whether this is [`Room::all`].
    pub fn is_all(&self) -> bool {
        self.as_str() == Self::ALL
    }

    /// The canonical name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Equal and hashed as its name.
impl Borrow<str> for Room {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    /// Of a journal: the text of a value of any other type, or of an expression. Any text may be a room.
    Rendered,
}

/// The text is no value of the room's type, so no row can be in that room.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no value of the room column's type")]
pub struct UnknownRoom;

impl RoomType {
    /// The type's name in SQL, without a length.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Rendered => "text",
            Self::Varchar(_) => "varchar",
            Self::Uuid => "uuid",
            Self::SmallInt => "smallint",
            Self::Int => "integer",
            Self::BigInt => "bigint",
        }
    }

    /// The room that `text` names, in any spelling that PostgreSQL 13 and all later versions read as a value of this
    /// type. The empty text is a value of the text types.
    ///
    /// # Errors
    ///
    /// No such value: a NUL or too many characters in a text, no UUID, no integer or one beyond the type's range. The
    /// spellings that PostgreSQL 16 added for integers (`0x2a`, `1_000`) count as none on any version.
    pub fn parse(self, text: &str) -> Result<Room, UnknownRoom> {
        match self {
            Self::Text | Self::Rendered => parse_text(text, None),
            Self::Varchar(characters) => parse_text(text, characters),
            Self::Uuid => parse_uuid(text),
            Self::SmallInt => parse_integer::<i16>(text),
            Self::Int => parse_integer::<i32>(text),
            Self::BigInt => parse_integer::<i64>(text),
        }
    }
}

fn parse_text(text: &str, characters: Option<u32>) -> Result<Room, UnknownRoom> {
    let fits = characters.is_none_or(|limit| text.chars().count() <= limit as usize);
    if fits && !text.contains('\0') {
        Ok(Room::canonical(text))
    } else {
        Err(UnknownRoom)
    }
}

/// As PostgreSQL's `pg_strtoint64`: an optional sign and digits, white space of the C locale around them.
fn parse_integer<T: std::str::FromStr + fmt::Display>(text: &str) -> Result<Room, UnknownRoom> {
    let digits = text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    digits
        .parse::<T>()
        .map(|value| Room::canonical(&value.to_string()))
        .map_err(|_| UnknownRoom)
}

/// As PostgreSQL's `string_to_uuid`: 32 hexadecimal digits of either case, a hyphen after any group of four, braces
/// around the whole or not.
fn parse_uuid(text: &str) -> Result<Room, UnknownRoom> {
    let bare = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or(UnknownRoom)?,
        None => text,
    };
    let mut name = String::with_capacity("00000000-0000-0000-0000-000000000000".len());
    let mut digits = 0;
    let mut after_hyphen = false;
    for character in bare.chars() {
        if character == '-' {
            let between_groups = digits % 4 == 0 && (4..32).contains(&digits);
            if after_hyphen || !between_groups {
                return Err(UnknownRoom);
            }
        } else {
            if !character.is_ascii_hexdigit() || digits == 32 {
                return Err(UnknownRoom);
            }
            if matches!(digits, 8 | 12 | 16 | 20) {
                name.push('-');
            }
            name.push(character.to_ascii_lowercase());
            digits += 1;
        }
        after_hyphen = character == '-';
    }
    if digits == 32 {
        Ok(Room::canonical(&name))
    } else {
        Err(UnknownRoom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

    fn name(room_type: RoomType, text: &str) -> Option<String> {
        room_type.parse(text).ok().map(|room| room.to_string())
    }

    #[test]
    fn a_text_is_its_own_name() {
        for text in ["", " general ", "a/b", "日本", "'; drop", "line\nbreak"] {
            assert_eq!(name(RoomType::Text, text).as_deref(), Some(text));
            assert_eq!(name(RoomType::Varchar(None), text).as_deref(), Some(text));
        }
        assert_eq!(name(RoomType::Text, "a\0b"), None);
        assert_eq!(name(RoomType::Varchar(Some(9)), "\0"), None);
    }

    #[test]
    fn no_value_of_any_type_is_the_name_of_all_rooms() {
        let all = Room::all();
        assert!(all.is_all() && !Room::canonical("*").is_all());
        for room_type in [
            RoomType::Text,
            RoomType::Varchar(None),
            RoomType::Uuid,
            RoomType::SmallInt,
            RoomType::Int,
            RoomType::BigInt,
        ] {
            assert_eq!(room_type.parse(all.as_str()), Err(UnknownRoom), "{room_type:?}");
        }
    }

    #[test]
    fn a_varchar_is_measured_in_characters() {
        assert_eq!(name(RoomType::Varchar(Some(2)), "日本").as_deref(), Some("日本"));
        assert_eq!(name(RoomType::Varchar(Some(2)), "日本語"), None);
        // A value of varchar(2) can't hold this, although an INSERT of it would be cut to fit.
        assert_eq!(name(RoomType::Varchar(Some(2)), "ab "), None);
    }

    #[test]
    fn an_integer_has_one_name() {
        for (text, expected) in [
            ("42", "42"),
            ("042", "42"),
            ("+5", "5"),
            ("-0", "0"),
            ("-007", "-7"),
            (" \t\n\x0b\x0c\r42 \n", "42"),
            ("00000000000000000000000000001", "1"),
        ] {
            for room_type in [RoomType::SmallInt, RoomType::Int, RoomType::BigInt] {
                assert_eq!(name(room_type, text).as_deref(), Some(expected), "{text:?}");
            }
        }
        for text in [
            "", " ", "+", "-", "+-1", "- 1", "1 2", "1.0", "1e3", "0x2a", "1_000", "٣", "\u{a0}1", "1\0",
        ] {
            assert_eq!(name(RoomType::BigInt, text), None, "{text:?}");
        }
    }

    #[test]
    fn an_integer_stays_within_its_type() {
        for (room_type, last, beyond) in [
            (RoomType::SmallInt, "-32768", "-32769"),
            (RoomType::SmallInt, "32767", "32768"),
            (RoomType::Int, "2147483647", "2147483648"),
            (RoomType::BigInt, "-9223372036854775808", "-9223372036854775809"),
            (RoomType::BigInt, "9223372036854775807", "9223372036854775808"),
        ] {
            assert_eq!(name(room_type, last).as_deref(), Some(last));
            assert_eq!(name(room_type, beyond), None);
        }
    }

    #[test]
    fn a_uuid_has_one_name() {
        // The spellings of PostgreSQL's manual, 8.12 "UUID Type".
        for text in [
            UUID,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
        ] {
            assert_eq!(name(RoomType::Uuid, text).as_deref(), Some(UUID), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_uuid_is_no_room() {
        for text in [
            "",
            "{}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a1",
            "a0eebc999c0b4ef8bb6d6bb9bd380a111",
            "g0eebc999c0b4ef8bb6d6bb9bd380a11",
            "-a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11-",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eeb-c99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11}",
            "{{a0eebc999c0b4ef8bb6d6bb9bd380a11}}",
            " a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "ａ0eebc999c0b4ef8bb6d6bb9bd380a11",
        ] {
            assert_eq!(name(RoomType::Uuid, text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_names_itself(text in "\\PC*|[ +-]?[0-9]{1,20} ?|\\{?([0-9a-fA-F]{4}-?){8}\\}?") {
            let integers = [RoomType::SmallInt, RoomType::Int, RoomType::BigInt];
            for room_type in [RoomType::Text, RoomType::Varchar(Some(8)), RoomType::Uuid].into_iter().chain(integers) {
                if let Ok(room) = room_type.parse(&text) {
                    prop_assert_eq!(room_type.parse(room.as_str()), Ok(room));
                }
            }
        }
    }
}
