//! What a request for events says besides its path: the query's names and the headers, and the places of credentials.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::http::params::{BEFORE, CURSOR_NAMES, DEFAULT_LIMIT, LAST, LIMIT, MAX_ROOM_BYTES, WAIT};

/// The header of EventSource (HTML standard, 9.2.4).
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// A room's name. The bound is one of bytes; characters are what a schema can count.
pub(super) fn room_name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_ROOM_BYTES })
}

/// All that have a name: that of the parameter, and `rooms` for the room of a query.
pub(super) fn all() -> Value {
    let mut named: Map<String, Value> = Map::new();
    for name in CURSOR_NAMES {
        named.insert(name.to_owned(), query(name, about_cursor(name), cursor()));
    }
    for (name, about, schema) in numbers() {
        named.insert(name.to_owned(), query(name, about, schema));
    }
    named.insert("room".to_owned(), room());
    named.insert("rooms".to_owned(), rooms());
    named.insert("source".to_owned(), source());
    named.insert(LAST_EVENT_ID.to_owned(), last_event_id());
    Value::Object(named)
}

/// A reference to one of them.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// What a request for events may have; over several rooms with their names.
pub(super) fn of_events(several_rooms: bool) -> Vec<Value> {
    let rooms = several_rooms.then_some("rooms");
    let names = CURSOR_NAMES.into_iter().chain(numbers().map(|(name, _, _)| name));
    let names = rooms.into_iter().chain(names).chain([LAST_EVENT_ID]);
    names.map(named).collect()
}

/// The room of a path.
fn room() -> Value {
    json!({
        "name": "room",
        "in": "path",
        "required": true,
        "description": "The room, compared as a value of the room column. At most 1,024 bytes.",
        "schema": room_name(),
    })
}

/// The rooms of a query.
fn rooms() -> Value {
    json!({
        "name": "room",
        "in": "query",
        "required": true,
        "description": "A room; repeat it for more, up to `--max-rooms`. `*` alone means all rooms, with `--allow-firehose`.",
        "schema": { "type": "array", "items": room_name(), "minItems": 1 },
        "style": "form",
        "explode": true,
    })
}

/// The source of a path.
fn source() -> Value {
    json!({
        "name": "source",
        "in": "path",
        "required": true,
        "description": "An attached table, by its source's name.",
        "schema": { "type": "string", "minLength": 1 },
    })
}

/// The parameters that are numbers: name, meaning, schema.
fn numbers() -> [(&'static str, &'static str, Value); 4] {
    [
        (
            "last",
            "Without a cursor: begin with so many of the newest events of all the rooms together.",
            number(&LAST),
        ),
        (
            "before",
            "A plain poll alone, without a cursor: the newest `limit` events below this row's id (with a journal: or key).",
            number(&BEFORE),
        ),
        (
            "limit",
            "Events in one JSON answer.",
            with_default(number(&LIMIT)),
        ),
        (
            "wait",
            "JSON becomes a long poll: an answer as soon as there is an event, else an empty list after so many seconds.",
            number(&WAIT),
        ),
    ]
}

fn query(name: &str, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

fn about_cursor(name: &str) -> &'static str {
    match name {
        "after" => "Resume after this cursor. A bare row's id is a weak one.",
        _ => "The same, as polyfills of EventSource name it; wins over `after`, and may be empty.",
    }
}

/// Opaque: what it is made of is nobody's business but the relay's.
fn cursor() -> Value {
    json!({ "type": "string", "examples": ["4711.1050", "1050"] })
}

fn last_event_id() -> Value {
    json!({
        "name": LAST_EVENT_ID,
        "in": "header",
        "description": "The same as `after`, as EventSource sends it; wins over all of the query's.",
        "schema": cursor(),
    })
}

fn number(bounds: &RangeInclusive<i64>) -> Value {
    json!({
        "type": "integer",
        "format": "int64",
        "minimum": bounds.start(),
        "maximum": bounds.end(),
    })
}

fn with_default(mut limit: Value) -> Value {
    limit["default"] = json!(DEFAULT_LIMIT);
    limit
}

/// The places of credentials that a description can name. (The cookie's name is the operator's, `--auth-cookie`.)
pub(super) fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of the application's, with `--auth jwt`. Also in the cookie that `--auth-cookie` names.",
        },
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "Stands in for a token once, to read some rooms; `POST /v1/tickets` gives them.",
        },
        "query_token": {
            "type": "apiKey",
            "in": "query",
            "name": "access_token",
            "description": "A token, where `--allow-query-token` takes it from there.",
        },
    })
}

/// Who may read: with `--auth none` everybody.
pub(super) fn readers() -> Value {
    json!([{}, { "token": [] }, { "ticket": [] }, { "query_token": [] }])
}

/// Who may do anything else: a ticket is good for reading alone.
pub(super) fn bearers() -> Value {
    json!([{}, { "token": [] }, { "query_token": [] }])
}
