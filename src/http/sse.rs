//! Server-Sent Events (HTML standard, 9.2 "Server-sent events"): how a stream is written for an EventSource.
//!
//! Rows have no `event:` field, so that `onmessage` sees them and nothing else; control events have a name each. What a
//! feed hands out is shared bytes already: a delivery allocates and copies nothing.

use std::time::Duration;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::feed::Step;

pub(super) const CONTENT_TYPE: &str = "text/event-stream";
/// A comment, which no client sees.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");
/// `retry` where none is set, in milliseconds: random, so that clients that lost a relay together come back apart.
const RETRY_MILLISECONDS: std::ops::RangeInclusive<u64> = 1000..=3000;

/// The `retry:` line: how long an EventSource waits before it reconnects; `None` is random from one to three seconds.
pub(super) fn opening(retry: Option<Duration>) -> Bytes {
    let retry = retry.map_or_else(
        || rand::random_range(RETRY_MILLISECONDS),
        |retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX),
    );
    format!("retry: {retry}\n\n").into()
}

/// A step as bytes of the stream. A cursor's text has nothing that JSON or SSE would escape.
pub(super) fn step(step: &Step) -> Bytes {
    match step {
        Step::Events(batch) => batch.frames(),
        Step::Ready(cursor) => control("ready", "", cursor),
        Step::Reset { code, cursor } => control("reset", &format!("\"code\":\"{}\",", code.as_str()), cursor),
    }
}

fn control(event: &str, members: &str, cursor: &Cursor) -> Bytes {
    format!("event: {event}\nid: {cursor}\ndata: {{{members}\"cursor\":\"{cursor}\"}}\n\n").into()
}

/// An event of this name. `json` is a JSON text of one line.
pub(super) fn named(event: &str, json: &str) -> Bytes {
    format!("event: {event}\ndata: {json}\n\n").into()
}

/// The end has no id: a client keeps the cursor that it has.
pub(super) fn end(code: &str) -> Bytes {
    named("end", &format!("{{\"code\":\"{code}\"}}"))
}
