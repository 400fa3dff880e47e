//! What a request for events asks: the query string and `Last-Event-ID`, checked. Unknown parameters are ignored, bad
//! values of known ones are not; a parameter that has one value may be given once.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;

use super::error::{ApiError, ErrorCode};
use crate::cursor::Resume;

/// Bytes of a room's name at most.
pub(super) const MAX_ROOM_BYTES: usize = 1024;
/// The value of `room` that means all rooms of the source.
pub(super) const ALL_ROOMS: &str = "*";
/// The default of `limit`, in events.
pub(super) const DEFAULT_LIMIT: usize = 100;
/// The bounds of `last`, in events.
pub(super) const LAST: RangeInclusive<i64> = 0..=1000;
/// The bounds of `before`, a row's id.
pub(super) const BEFORE: RangeInclusive<i64> = 0..=i64::MAX;
/// The bounds of `limit`, in events.
pub(super) const LIMIT: RangeInclusive<i64> = 1..=1000;
/// The bounds of `wait`, in seconds.
pub(super) const WAIT: RangeInclusive<i64> = 1..=60;
/// Where a cursor can stand, besides the header, the one that wins first. The first three are what polyfills of
/// EventSource append to the URL that they began with, so they are newer than its `after`.
pub(super) const CURSOR_NAMES: [&str; 4] = ["last_event_id", "lastEventId", "lastEventID", "after"];

/// The parameters of a request for events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Params {
    /// Where to resume, if anywhere.
    pub resume: Option<Resume>,
    /// `last`: how many of the newest events to begin with, without a cursor.
    pub last: Option<usize>,
    /// `before`: the row id to scroll back from.
    pub before: Option<i64>,
    /// `limit`: events in one JSON answer.
    pub limit: usize,
    /// `wait`: how long a long poll may last.
    pub wait: Option<Duration>,
    /// `room`, as given and in that order; not yet values of the room column's type.
    pub rooms: Vec<String>,
}

impl Params {
    /// Reads and checks all parameters.
    ///
    /// # Errors
    /// `invalid_cursor` for a cursor, `invalid_parameter` for everything else.
    pub(super) fn parse(query: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let query = Query::parse(query.unwrap_or_default())?;
        let params = Self {
            resume: resume(&query, headers)?,
            last: query.number("last", LAST)?.map(|n| n as usize),
            before: query.number("before", BEFORE)?,
            limit: query
                .number("limit", LIMIT)?
                .map_or(DEFAULT_LIMIT, |n| n as usize),
            wait: query.number("wait", WAIT)?.map(|n| Duration::from_secs(n as u64)),
            rooms: query.all("room").map(str::to_owned).collect(),
        };
        if params.before.is_some() && params.resume.is_some() {
            return Err(ApiError::parameter(
                "`before` scrolls back: it can't be combined with a cursor.",
            ));
        }
        Ok(params)
    }
}

/// A room's name as it stands in a path or a query: neither empty nor too long.
///
/// # Errors
/// `invalid_parameter`
pub(super) fn check_room(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::parameter("A room's name is empty."));
    }
    if name.len() > MAX_ROOM_BYTES {
        return Err(ApiError::parameter("A room's name is longer than 1,024 bytes."));
    }
    Ok(())
}

/// The cursor of the header or the query. An empty header or polyfill's name is what a client without a cursor sends.
fn resume(query: &Query, headers: &HeaderMap) -> Result<Option<Resume>, ApiError> {
    let mut found = None;
    let mut lines = headers.get_all("last-event-id").iter();
    if let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        found = Some(cursor(line.to_str().map_err(|_| invalid_cursor())?)?);
    }
    if lines.next().is_some() {
        return Err(invalid_cursor());
    }
    for name in CURSOR_NAMES {
        match query.one(name)? {
            None => {}
            Some("") if name != "after" => {}
            Some(text) => {
                let resume = cursor(text)?;
                found.get_or_insert(resume);
            }
        }
    }
    Ok(found)
}

fn cursor(text: &str) -> Result<Resume, ApiError> {
    Resume::parse(text).map_err(|_| invalid_cursor())
}

fn invalid_cursor() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidCursor,
        "The cursor is not one that this relay gives out, nor a row's id.",
    )
}

/// The known names and their values, percent-decoded, in the order given.
pub(super) struct Query(Vec<(&'static str, String)>);

/// All names that a query may have; others are ignored.
pub(super) const KNOWN: [&str; 11] = [
    "room",
    "after",
    "last_event_id",
    "lastEventId",
    "lastEventID",
    "last",
    "before",
    "limit",
    "wait",
    "ticket",
    "access_token",
];

impl Query {
    /// Splits an `application/x-www-form-urlencoded` query (WHATWG URL, 5.1), but refuses a known parameter's value
    /// that is not UTF-8 instead of replacing what is wrong in it: that would be another room.
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            let Some(name) = KNOWN.into_iter().find(|known| name.as_deref() == Some(known)) else {
                continue;
            };
            let value = decode(value).ok_or_else(|| {
                ApiError::parameter(format!("`{name}` is not UTF-8 after percent-decoding."))
            })?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(ApiError::parameter(format!("`{name}` is given more than once."))),
        }
    }

    /// A whole number in decimal digits, within `bounds`.
    fn number(&self, name: &str, bounds: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && bounds.contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::parameter(format!(
                "`{name}` is not a whole number from {} to {}.",
                bounds.start(),
                bounds.end()
            ))),
        }
    }
}

/// Decodes one name or value; `None` where the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn parse(query: &str) -> Result<Params, ErrorCode> {
        with_header(query, &[])
    }

    fn with_header(query: &str, lines: &[&'static [u8]]) -> Result<Params, ErrorCode> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("last-event-id", HeaderValue::from_bytes(line).unwrap());
        }
        Params::parse(Some(query), &headers).map_err(|error| error.code())
    }

    #[test]
    fn defaults_and_unknown_parameters() {
        let expected = Params {
            resume: None,
            last: None,
            before: None,
            limit: 100,
            wait: None,
            rooms: Vec::new(),
        };
        assert_eq!(parse("").unwrap(), expected);
        assert_eq!(parse("&&=&_=17&unknown=%FF&%FF=1&LIMIT=x").unwrap(), expected);
    }

    #[test]
    fn numbers_have_ranges() {
        let params = parse("last=0&limit=1000&wait=60").unwrap();
        assert_eq!(
            (params.last, params.limit, params.wait),
            (Some(0), 1000, Some(Duration::from_secs(60)))
        );
        assert_eq!(
            parse("before=9223372036854775807").unwrap().before,
            Some(i64::MAX)
        );
        for bad in [
            "last=1001",
            "last=-1",
            "last=",
            "last=1e2",
            "limit=0",
            "limit=1001",
            "limit=%20",
            "limit",
            "wait=0",
            "wait=61",
            "wait=1.5",
            "wait=+1",
            "wait=10s",
            "before=-1",
            "before=9223372036854775808",
            "before=x",
            "limit=99999999999999999999999",
        ] {
            assert_eq!(parse(bad), Err(ErrorCode::InvalidParameter), "{bad}");
        }
    }

    #[test]
    fn a_single_valued_parameter_is_given_once() {
        for bad in [
            "last=1&last=1",
            "limit=1&limit=2",
            "wait=1&wait=2",
            "after=1&after=1",
            "before=1&before=1",
        ] {
            assert_eq!(parse(bad), Err(ErrorCode::InvalidParameter), "{bad}");
        }
        assert_eq!(parse("room=b&room=a&room=b").unwrap().rooms, ["b", "a", "b"]);
    }

    #[test]
    fn the_header_wins_then_polyfills_then_after() {
        let id = |id| Some(Resume::RowId(id));
        assert_eq!(
            with_header("after=1&lastEventId=2", &[b"3"]).unwrap().resume,
            id(3)
        );
        assert_eq!(
            with_header("after=1&lastEventId=2", &[b""]).unwrap().resume,
            id(2)
        );
        for name in ["last_event_id", "lastEventId", "lastEventID"] {
            assert_eq!(
                parse(&format!("after=1&{name}=2")).unwrap().resume,
                id(2),
                "{name}"
            );
            assert_eq!(
                parse(&format!("{name}=&after=1")).unwrap().resume,
                id(1),
                "{name}"
            );
            assert_eq!(parse(&format!("{name}=")).unwrap().resume, None, "{name}");
        }
    }

    #[test]
    fn a_malformed_cursor_is_refused_wherever_it_stands() {
        for bad in [
            "after=",
            "after=-1",
            "after=x",
            "lastEventId=1.x",
            "after=1&lastEventID=%20",
        ] {
            assert_eq!(parse(bad), Err(ErrorCode::InvalidCursor), "{bad}");
        }
        assert_eq!(with_header("", &[b"x"]), Err(ErrorCode::InvalidCursor));
        assert_eq!(with_header("", &[b"\xff"]), Err(ErrorCode::InvalidCursor));
        assert_eq!(with_header("", &[b"1", b"1"]), Err(ErrorCode::InvalidCursor));
        assert_eq!(with_header("after=x", &[b"1"]), Err(ErrorCode::InvalidCursor));
    }

    #[test]
    fn before_excludes_a_cursor() {
        assert_eq!(parse("before=5&after=1"), Err(ErrorCode::InvalidParameter));
        assert_eq!(with_header("before=5", &[b"1"]), Err(ErrorCode::InvalidParameter));
        assert_eq!(parse("before=5&lastEventId=").unwrap().before, Some(5));
    }

    #[test]
    fn rooms_are_decoded_and_measured() {
        assert_eq!(parse("room=a%2Fb+c%00%0A%22").unwrap().rooms, ["a/b c\0\n\""]);
        assert_eq!(parse("room=%FF"), Err(ErrorCode::InvalidParameter));
        assert!(check_room(&"x".repeat(1024)).is_ok());
        assert!(check_room(&"x".repeat(1025)).is_err());
        assert!(check_room("").is_err());
    }
}
