//! The shapes of bodies.

use serde_json::{Value, json};

use super::parameters::room_name;
use crate::event::Op;

/// All that have a name.
pub(super) fn all() -> Value {
    json!({
        "Event": event(),
        "Page": page(),
        "NewRow": {
            "type": "object",
            "description": "Columns of the table with their values. The room may be left out.",
            "additionalProperties": true,
        },
        "Published": published(),
        "Wish": {
            "type": "object",
            "required": ["rooms"],
            "properties": { "rooms": { "type": "array", "items": room_name(), "minItems": 1 } },
            "additionalProperties": false,
        },
        "Ticket": {
            "type": "object",
            "required": ["ticket", "expires_in"],
            "properties": {
                "ticket": { "type": "string" },
                "expires_in": { "type": "integer", "description": "Seconds." },
            },
        },
        "Live": {
            "type": "object",
            "required": ["status"],
            "properties": { "status": { "const": "live" } },
        },
        "Readiness": readiness(),
        "Problem": problem(),
    })
}

/// A reference to one of them.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn event() -> Value {
    let ops = [Op::Insert, Op::Update, Op::Delete].map(Op::as_str);
    json!({
        "type": "object",
        "description": "One change of a row.",
        "required": ["op", "id", "room", "row"],
        "properties": {
            "op": { "enum": ops },
            "id": {
                "type": ["integer", "null"],
                "format": "int64",
                "description": "The row's id; of a journal the entry's number, null for a row that is listed as it stands.",
            },
            "room": { "type": "string" },
            "key": { "type": "object", "description": "Of a journal: the columns of the row's key." },
            "row": {
                "type": ["object", "null"],
                "description": "The row's columns; null where it was deleted, or is too large.",
            },
            "truncated": { "const": true, "description": "The row is larger than `--max-event-bytes`." },
        },
        "additionalProperties": false,
    })
}

fn page() -> Value {
    json!({
        "type": "object",
        "required": ["events", "cursor", "more"],
        "properties": {
            "events": { "type": "array", "items": named("Event") },
            "cursor": { "type": "string", "description": "Where to go on." },
            "more": { "type": "boolean", "description": "Whether there are more already." },
        },
        "additionalProperties": false,
    })
}

fn published() -> Value {
    json!({
        "type": "object",
        "required": ["id", "room"],
        "properties": {
            "id": { "type": ["integer", "null"], "format": "int64" },
            "key": { "type": "object", "description": "Of a journal: the columns of the row's key." },
            "room": { "type": "string" },
        },
        "additionalProperties": false,
    })
}

fn readiness() -> Value {
    let words = |about: &str| json!({ "type": "array", "items": { "type": "string" }, "description": about });
    json!({
        "type": "object",
        "required": ["status", "reasons", "notes", "notify_round_trip_seconds_ago"],
        "properties": {
            "status": { "enum": ["ready", "not_ready"] },
            "reasons": words("Why it should get no traffic."),
            "notes": words("What hinders it, but does not stop it."),
            "notify_round_trip_seconds_ago": {
                "type": ["integer", "null"],
                "description": "When a notification sent to itself came through; null while none does.",
            },
        },
        "additionalProperties": false,
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. `code` is what programs go by.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "const": "about:blank" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "cursor": { "type": "string", "description": "Of a reset: where to go on after fetching afresh." },
        },
    })
}
