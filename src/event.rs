//! One event, encoded once: its JSON text and the SSE frame around it, as every transport sends them.
//!
//! The row's JSON is PostgreSQL's own text and is never parsed here. A frame is `id: CURSOR`, `data: JSON` and a blank
//! line, without an `event:` field, so that a browser's `onmessage` sees it.

use std::fmt::{self, Write as _};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{CursorText, OpenSet};
use crate::room::Room;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    /// The text of an event's `op`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The letter that stands for it in a journal.
    pub fn from_letter(letter: &str) -> Option<Self> {
        Some(match letter {
            "i" => Self::Insert,
            "u" => Self::Update,
            "d" => Self::Delete,
            _ => return None,
        })
    }
}

/// A row of a direct source, or an entry of a journal with the row that it speaks of, as the tail or a replay read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The id column's value, or the journal's sequence number.
    pub id: i64,
    pub op: Op,
    /// The room column's value as text; `None` for NULL, which goes to nobody.
    pub room: Option<Room>,
    /// Of a journal: the columns of the row's key with their values, a JSON object.
    pub key: Option<String>,
    /// When it was written, in microseconds since 1970, where the source has a time and the tail read it.
    pub time: Option<i64>,
    pub body: RowBody,
}

impl Row {
    /// A new row of a direct source.
    pub fn inserted(id: i64, room: Option<Room>, body: RowBody) -> Self {
        Self {
            id,
            op: Op::Insert,
            room,
            key: None,
            time: None,
            body,
        }
    }

    /// The room that gets this row as an event. `None`: it goes to nobody, because it is in no room, or because it was
    /// deleted or moved since its journal entry was written, and another entry says so.
    pub fn audience(&self) -> Option<&Room> {
        let is_event = self.op == Op::Delete || self.body != RowBody::Gone;
        self.room.as_ref().filter(|_| is_event)
    }
}

/// The columns of a row, as far as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowBody {
    /// PostgreSQL's JSON text of the row.
    Json(String),
    /// The JSON text is longer than the largest event that is sent (`--max-event-bytes`).
    TooLarge,
    /// Not read, because nobody was listening to its room when the read began.
    NotRead,
    /// The row does not stand in this room any more.
    Gone,
}

/// Writes an event's JSON: `{"op":"insert","id":…,"room":"…","row":{…}}`, of a journal with `"key":{…}` before the row;
/// `"row":null` for a row that is deleted, and `"row":null,"truncated":true` for one that is too large. `id` is `None`
/// for a row that was read from the table and not as an entry of the journal. No raw line break stands in it, so that it
/// is one `data:` line of an SSE frame.
pub fn write_json(out: &mut BytesMut, id: Option<i64>, room: &Room, row: &Row) {
    put(out, format_args!("{{\"op\":\"{}\",\"id\":", row.op.as_str()));
    match id {
        Some(id) => put(out, format_args!("{id}")),
        None => out.put_slice(b"null"),
    }
    out.put_slice(b",\"room\":");
    put_json_string(out, room.as_str());
    if let Some(key) = &row.key {
        out.put_slice(b",\"key\":");
        put_one_line(out, key.as_bytes());
    }
    match &row.body {
        RowBody::Json(text) => {
            out.put_slice(b",\"row\":");
            put_one_line(out, text.as_bytes());
            out.put_u8(b'}');
        }
        RowBody::Gone => out.put_slice(b",\"row\":null}"),
        RowBody::TooLarge | RowBody::NotRead => out.put_slice(b",\"row\":null,\"truncated\":true}"),
    }
}

/// Writes the SSE frame of an event and returns where its JSON text stands in `out`.
pub fn write_frame(
    out: &mut BytesMut,
    position: CursorText<'_>,
    json: impl FnOnce(&mut BytesMut),
) -> Range<usize> {
    put(out, format_args!("id: {position}\ndata: "));
    let start = out.len();
    json(out);
    let end = out.len();
    out.put_slice(b"\n\n");
    start..end
}

/// Writes the SSE frame of an event that has no position.
pub fn write_unplaced_frame(out: &mut BytesMut, json: &[u8]) {
    out.put_slice(b"data: ");
    out.put_slice(json);
    out.put_slice(b"\n\n");
}

/// One event of one subscriber that is not in step with the tail: the shared JSON and a position of its own.
#[derive(Clone, Debug)]
pub struct OwnEvent {
    pub json: Bytes,
    /// The subscriber's open set once it has this event.
    pub open_after: OpenSet,
}

fn put(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a BytesMut grows");
}

/// Copies JSON text, raw line breaks as spaces: they can stand only between tokens (type `json` keeps what was
/// written), and would break an SSE frame.
fn put_one_line(out: &mut BytesMut, mut text: &[u8]) {
    while let Some(at) = memchr::memchr2(b'\n', b'\r', text) {
        out.put_slice(&text[..at]);
        out.put_u8(b' ');
        text = &text[at + 1..];
    }
    out.put_slice(text);
}

/// Writes a JSON string (RFC 8259 section 7).
fn put_json_string(out: &mut BytesMut, text: &str) {
    serde_json::to_writer(out.writer(), text).expect("a BytesMut grows and a str is a JSON string");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: Op, key: Option<&str>, body: RowBody) -> Row {
        Row {
            id: 7,
            op,
            room: Some(Room::canonical("a")),
            key: key.map(str::to_owned),
            time: None,
            body,
        }
    }

    fn text_of(id: Option<i64>, room: &str, row: &Row) -> String {
        let mut out = BytesMut::new();
        write_json(&mut out, id, &Room::canonical(room), row);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn json(room: &str, body: RowBody) -> String {
        text_of(Some(7), room, &row(Op::Insert, None, body))
    }

    #[test]
    fn a_journals_event_names_its_operation_and_the_rows_key() {
        let key = Some(r#"{"a": 1}"#);
        assert_eq!(
            text_of(Some(7), "a", &row(Op::Update, key, RowBody::Json("{}".into()))),
            r#"{"op":"update","id":7,"room":"a","key":{"a": 1},"row":{}}"#
        );
        assert_eq!(
            text_of(Some(7), "a", &row(Op::Delete, key, RowBody::Gone)),
            r#"{"op":"delete","id":7,"room":"a","key":{"a": 1},"row":null}"#
        );
        assert_eq!(
            text_of(None, "a", &row(Op::Insert, key, RowBody::Json("{}".into()))),
            r#"{"op":"insert","id":null,"room":"a","key":{"a": 1},"row":{}}"#
        );
    }

    #[test]
    fn a_row_that_is_gone_is_an_event_only_as_a_deletion() {
        assert!(row(Op::Insert, None, RowBody::Gone).audience().is_none());
        assert!(row(Op::Update, None, RowBody::Gone).audience().is_none());
        assert!(row(Op::Delete, None, RowBody::Gone).audience().is_some());
        assert!(row(Op::Update, None, RowBody::TooLarge).audience().is_some());
    }

    #[test]
    fn an_event_carries_the_rows_own_json_text() {
        let body = RowBody::Json(r#"{"a": 1.50}"#.into());
        assert_eq!(
            json("42", body),
            r#"{"op":"insert","id":7,"room":"42","row":{"a": 1.50}}"#
        );
    }

    #[test]
    fn line_breaks_between_the_tokens_of_a_json_column_become_spaces() {
        let text = json("a", RowBody::Json("{\"j\":{\r\n \"k\":\n1}}".into()));
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn a_room_with_quotes_and_line_breaks_is_escaped() {
        let text = json("a\"\n\u{1}", RowBody::TooLarge);
        assert_eq!(
            text,
            r#"{"op":"insert","id":7,"room":"a\"\n\u0001","row":null,"truncated":true}"#
        );
    }
}
