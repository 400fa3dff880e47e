//! What one who asks may do: rooms to read, rooms to publish into, and until when. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use super::claims::Pattern;
use crate::room::Room;

/// Which rooms of which sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    pub patterns: Vec<Pattern>,
    /// `None`: of any source.
    pub sources: Option<Vec<Pattern>>,
}

impl Rooms {
    /// Every room of every source.
    pub fn all() -> Self {
        Self {
            patterns: vec![Pattern::Prefix(String::new())],
            sources: None,
        }
    }

    /// Whether `room` of `source` is among them.
    pub fn admit(&self, source: &str, room: &Room) -> bool {
        let of_source = self
            .sources
            .as_ref()
            .is_none_or(|sources| sources.iter().any(|pattern| pattern.admits(source)));
        // The firehose is every room: nothing less than `*` admits it.
        let of_room = |pattern: &Pattern| match room.is_all() {
            true => pattern.admits_all(),
            false => pattern.admits(room.as_str()),
        };
        of_source && self.patterns.iter().any(of_room)
    }
}

/// One who asks, as far as we know.
#[derive(Clone, Debug)]
pub struct Access {
    /// Whose token it is (`sub`); `None`: it says nothing, or nobody was asked.
    pub subject: Option<Arc<str>>,
    /// The token's claims as JSON text; `None` where nobody was asked for one.
    pub claims: Option<Arc<str>>,
    /// When the token ends.
    pub expires_at: Option<SystemTime>,
    pub read: Rooms,
    pub publish: Rooms,
    /// How it came. What a browser sends by itself must be asked for from a page of ours.
    pub via: Via,
}

/// How one showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Not at all: everybody who reaches the address may do everything.
    Nothing,
    /// The `Authorization` header, or the query.
    Token,
    Cookie,
    Ticket,
}

impl Access {
    /// Of everybody, where nobody is asked.
    pub fn open() -> Self {
        Self {
            subject: None,
            claims: None,
            expires_at: None,
            read: Rooms::all(),
            publish: Rooms::all(),
            via: Via::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(patterns: &[&str]) -> Rooms {
        Rooms {
            patterns: patterns.iter().map(|text| Pattern::parse(text)).collect(),
            sources: None,
        }
    }

    fn admits(patterns: &[&str], room: &str) -> bool {
        rooms(patterns).admit("messages", &Room::canonical(room))
    }

    #[test]
    fn an_exact_name_admits_itself_and_nothing_else() {
        assert!(admits(&["lobby"], "lobby"));
        for room in [
            "lobby2", "lobb", "Lobby", "LOBBY", " lobby", "lobby ", "lobby/", "", "*",
        ] {
            assert!(!admits(&["lobby"], room), "{room:?}");
        }
    }

    #[test]
    fn unicode_forms_are_different_rooms() {
        assert!(!admits(&["caf\u{e9}"], "cafe\u{301}"));
        assert!(!admits(&["\u{ff4c}obby"], "lobby"));
    }

    #[test]
    fn a_prefix_admits_what_begins_so() {
        for room in ["team-", "team-a", "team-a*"] {
            assert!(admits(&["team-*"], room), "{room:?}");
        }
        for room in ["team", "Team-a", "x-team-a"] {
            assert!(!admits(&["team-*"], room), "{room:?}");
        }
    }

    #[test]
    fn a_star_inside_is_a_star() {
        assert!(admits(&["a*b"], "a*b"));
        assert!(!admits(&["a*b"], "axb"));
        assert!(admits(&["a**"], "a*"));
        assert!(!admits(&["a**"], "ab"));
    }

    #[test]
    fn the_firehose_needs_every_room() {
        let firehose = Room::all();
        assert!(rooms(&["*"]).admit("messages", &firehose));
        for patterns in [&["a*"][..], &["\0"], &["\0*"], &["**"], &[]] {
            assert!(!rooms(patterns).admit("messages", &firehose), "{patterns:?}");
        }
    }

    #[test]
    fn sources_limit_to_those() {
        let mut rooms = rooms(&["*"]);
        rooms.sources = Some(vec![Pattern::parse("orders")]);
        assert!(rooms.admit("orders", &Room::canonical("7")));
        assert!(!rooms.admit("messages", &Room::canonical("7")));
        rooms.sources = Some(Vec::new());
        assert!(!rooms.admit("orders", &Room::canonical("7")));
    }

    #[test]
    fn nothing_admits_nothing() {
        assert!(!Rooms::default().admit("messages", &Room::canonical("lobby")));
    }
}
