//! NDJSON: how a stream is written for programs, a JSON text in each line.
//!
//! A line is an event, as it stands in an answer of JSON, or has the member `control`. Events carry no cursor; behind
//! those of each step stands a line with the one to resume from.

use bytes::{Bytes, BytesMut};

use crate::cursor::Cursor;
use crate::feed::{Batch, Step};

pub(super) const CONTENT_TYPE: &str = "application/x-ndjson";
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b"{\"control\":\"heartbeat\"}\n");

/// A step as lines. No event has a raw line break, and a cursor's text nothing that JSON would escape.
pub(super) fn step(step: &Step) -> Bytes {
    match step {
        Step::Events(batch) => events(batch),
        Step::Ready(cursor) => control("ready", "", cursor).into(),
        Step::Reset { code, cursor } => {
            control("reset", &format!("\"code\":\"{}\",", code.as_str()), cursor).into()
        }
    }
}

/// The events, then the cursor behind them. In one chunk: it is seldom that a connection breaks between the two.
fn events(batch: &Batch) -> Bytes {
    let mut lines = BytesMut::new();
    batch.write_lines(&mut lines);
    if let Some(cursor) = batch.cursor() {
        lines.extend_from_slice(control("cursor", "", &cursor).as_bytes());
    }
    lines.freeze()
}

fn control(name: &str, members: &str, cursor: &Cursor) -> String {
    format!("{{\"control\":\"{name}\",{members}\"cursor\":\"{cursor}\"}}\n")
}

/// The end has no cursor: a client keeps the one that it has.
pub(super) fn end(code: &str) -> Bytes {
    format!("{{\"control\":\"end\",\"code\":\"{code}\"}}\n").into()
}
