//! What each path does.

use serde_json::{Value, json};

use super::parameters::{self, bearers, readers};
use super::responses::{answer, header, json_of, with_problems};
use super::schemas::named;
use crate::http::error::ErrorCode::{self, *};
use crate::http::routes::Route;
use crate::http::{metrics, ndjson, sse};

/// The methods of a path.
pub(super) fn of(route: Route) -> Value {
    match route {
        Route::RoomEvents => json!({
            "parameters": [parameters::named("room")],
            "get": follow("followRoom", "Follow a room", false),
            "post": publish("publish", "Insert a row into a room"),
        }),
        Route::Events => json!({ "get": follow("follow", "Follow several rooms, or all", true) }),
        Route::SourceRoomEvents => json!({
            "parameters": [parameters::named("source"), parameters::named("room")],
            "get": follow("followRoomOfSource", "Follow a room of a source", false),
            "post": publish("publishToSource", "Insert a row into a room of a source"),
        }),
        Route::SourceEvents => json!({
            "parameters": [parameters::named("source")],
            "get": follow("followSource", "Follow several rooms of a source, or all", true),
        }),
        Route::Tickets => json!({ "post": ticket("issueTicket", "A ticket to read rooms") }),
        Route::SourceTickets => json!({
            "parameters": [parameters::named("source")],
            "post": ticket("issueTicketOfSource", "A ticket to read rooms of a source"),
        }),
        Route::Live => json!({ "get": live() }),
        Route::Ready => json!({ "get": ready() }),
        Route::Metrics => json!({ "get": scrape() }),
        Route::Client => json!({ "get": client() }),
        Route::Description => json!({ "get": description() }),
    }
}

/// Problems of requests that name a source and show who asks.
const OF_EVENTS: &[ErrorCode] = &[
    InvalidParameter,
    Unauthenticated,
    Forbidden,
    UnknownSource,
    UnknownRoom,
    DatabaseUnavailable,
    ShuttingDown,
];

/// Problems of requests with a body.
const OF_BODIES: &[ErrorCode] = &[
    InvalidBody,
    NotFound,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
];

fn follow(id: &str, summary: &str, several_rooms: bool) -> Value {
    let events = answer(
        "The events. A stream goes to whoever names its type in `Accept` and does not rank it below JSON; everybody else gets JSON.",
        &[
            ("application/json", named("Page")),
            (
                sse::CONTENT_TYPE,
                json!({ "type": "string", "description": "Events as JSON (Event), each with its cursor as `id`; `ready`, `reset`, `end`." }),
            ),
            (
                ndjson::CONTENT_TYPE,
                json!({ "type": "string", "description": "A line of JSON each: events (Event), and lines with `control`." }),
            ),
        ],
    );
    let own = [
        InvalidCursor,
        NotAcceptable,
        CursorAhead,
        Epoch,
        Truncated,
        Expired,
        Overloaded,
    ];
    json!({
        "operationId": id,
        "tags": ["events"],
        "summary": summary,
        "description": "As SSE or NDJSON, from now on or from a cursor; or as JSON: what there is, and with `wait` what comes next.",
        "parameters": parameters::of_events(several_rooms),
        "security": readers(),
        "responses": with_problems(json!({ "200": events }), &[OF_EVENTS, &own].concat()),
    })
}

fn publish(id: &str, summary: &str) -> Value {
    let published = json_of("It was inserted, and is an event with this id.", "Published");
    json!({
        "operationId": id,
        "tags": ["events"],
        "summary": summary,
        "description": "With `--allow-publish`, and with the rights of the relay's role.",
        "requestBody": body("NewRow"),
        "security": bearers(),
        "responses": with_problems(
            json!({ "201": published }),
            &[OF_EVENTS, OF_BODIES, &[Duplicate, InvalidRow]].concat(),
        ),
    })
}

fn ticket(id: &str, summary: &str) -> Value {
    let issued = json_of(
        "Good once, for a short time, for these rooms, on every relay of the database.",
        "Ticket",
    );
    json!({
        "operationId": id,
        "tags": ["access"],
        "summary": summary,
        "description": "With `--auth jwt`: for an EventSource, which can't send a token.",
        "requestBody": body("Wish"),
        "security": bearers(),
        "responses": with_problems(json!({ "201": issued }), &[OF_EVENTS, OF_BODIES].concat()),
    })
}

fn body(schema: &str) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": named(schema) } } })
}

fn live() -> Value {
    json!({
        "operationId": "live",
        "tags": ["operations"],
        "summary": "Whether the process answers",
        "security": [],
        "responses": with_problems(json!({ "200": json_of("It does.", "Live") }), &[Forbidden]),
    })
}

fn ready() -> Value {
    let mut not_ready = json_of("It should get no traffic, for these reasons.", "Readiness");
    not_ready["headers"]["Retry-After"] = header("RetryAfter");
    json!({
        "operationId": "ready",
        "tags": ["operations"],
        "summary": "Whether the relay should get traffic",
        "security": [],
        "responses": with_problems(
            json!({ "200": json_of("It should.", "Readiness"), "503": not_ready }),
            &[Forbidden],
        ),
    })
}

fn scrape() -> Value {
    let text = answer(
        "In Prometheus' text format.",
        &[(metrics::TEXT_FORMAT, json!({ "type": "string" }))],
    );
    json!({
        "operationId": "metrics",
        "tags": ["operations"],
        "summary": "Metrics for Prometheus",
        "security": [],
        "responses": with_problems(json!({ "200": text }), &[Forbidden]),
    })
}

fn client() -> Value {
    let mut code = answer(
        "A module.",
        &[("text/javascript; charset=utf-8", json!({ "type": "string" }))],
    );
    code["headers"]["ETag"] = header("ETag");
    let unchanged = json!({
        "description": "The asking cache has it.",
        "headers": { "X-Request-Id": header("RequestId"), "ETag": header("ETag") },
    });
    json!({
        "operationId": "client",
        "tags": ["files"],
        "summary": "The JavaScript client",
        "security": [],
        "responses": with_problems(json!({ "200": code, "304": unchanged }), &[]),
    })
}

fn description() -> Value {
    let document = answer(
        "OpenAPI 3.1.",
        &[("application/json", json!({ "type": "object" }))],
    );
    json!({
        "operationId": "description",
        "tags": ["files"],
        "summary": "This description",
        "security": [],
        "responses": with_problems(json!({ "200": document }), &[]),
    })
}
