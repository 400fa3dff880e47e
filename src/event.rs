//! One event, encoded once: its JSON text and the SSE frame around it, as every transport sends them.
//!
//! The row's JSON is PostgreSQL's own text and is never parsed here. A frame is `id: CURSOR`, `data: JSON` and a blank
//! line, without an `event:` field, so that a browser's `onmessage` sees it.

use std::fmt::{self, Write as _};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{CursorText, OpenSet};
use crate::room::Room;

/// A row as the tail or a replay read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The id column's value.
    pub id: i64,
    /// The room column's value as text; `None` for NULL, which goes to nobody.
    pub room: Option<Room>,
    pub body: RowBody,
}

/// The columns of a row, as far as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowBody {
    /// PostgreSQL's JSON text of the row.
    Json(String),
    /// The JSON text is longer than the largest event that is sent (`--max-event-bytes`).
    TooLarge,
    /// Not read, because nobody was listening when the read began.
    NotRead,
}

/// Writes an event's JSON: `{"op":"insert","id":…,"room":"…","row":{…}}`, or for a row that is too large
/// `"row":null,"truncated":true`. No raw line break stands in it, so that it is one `data:` line of an SSE frame.
pub fn write_json(out: &mut BytesMut, id: i64, room: &Room, body: &RowBody) {
    put(out, format_args!("{{\"op\":\"insert\",\"id\":{id},\"room\":"));
    put_json_string(out, room.as_str());
    match body {
        RowBody::Json(text) => {
            out.put_slice(b",\"row\":");
            put_one_line(out, text.as_bytes());
            out.put_u8(b'}');
        }
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

    fn json(room: &str, body: &RowBody) -> String {
        let mut out = BytesMut::new();
        write_json(&mut out, 7, &Room::canonical(room), body);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_event_carries_the_rows_own_json_text() {
        let body = RowBody::Json(r#"{"a": 1.50}"#.into());
        assert_eq!(
            json("42", &body),
            r#"{"op":"insert","id":7,"room":"42","row":{"a": 1.50}}"#
        );
    }

    #[test]
    fn line_breaks_between_the_tokens_of_a_json_column_become_spaces() {
        let text = json("a", &RowBody::Json("{\"j\":{\r\n \"k\":\n1}}".into()));
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn a_room_with_quotes_and_line_breaks_is_escaped() {
        let text = json("a\"\n\u{1}", &RowBody::TooLarge);
        assert_eq!(
            text,
            r#"{"op":"insert","id":7,"room":"a\"\n\u0001","row":null,"truncated":true}"#
        );
    }
}
