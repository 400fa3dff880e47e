//! Answers: their headers, and problems by status, each with the codes that may stand in it.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::schemas::named;
use crate::http::error::ErrorCode;

/// What every request may be answered, whatever it asks: by the limits on connections, and by defects.
const ALWAYS: &[ErrorCode] = &[
    ErrorCode::RateLimited,
    ErrorCode::TooManyConnections,
    ErrorCode::TooManyInAll,
    ErrorCode::Internal,
];

/// The resets, whose problems have a cursor.
const RESETS: [ErrorCode; 4] = [
    ErrorCode::CursorAhead,
    ErrorCode::Epoch,
    ErrorCode::Truncated,
    ErrorCode::Expired,
];

/// The headers that have a name here.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The request's id, which the log has, too.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "RetryAfter": {
            "description": "Seconds to wait.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "Challenge": {
            "description": "What is asked for: a token, or another one (RFC 6750, 3).",
            "required": true,
            "schema": { "type": "string" },
        },
        "ETag": { "required": true, "schema": { "type": "string" } },
    })
}

/// A reference to one of them.
pub(super) fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// An answer with these contents, by media type.
pub(super) fn answer(about: &str, contents: &[(&str, Value)]) -> Value {
    let contents: Map<String, Value> = contents
        .iter()
        .map(|(media_type, schema)| ((*media_type).to_owned(), json!({ "schema": schema })))
        .collect();
    json!({
        "description": about,
        "headers": { "X-Request-Id": header("RequestId") },
        "content": contents,
    })
}

/// An answer that is JSON of this schema.
pub(super) fn json_of(about: &str, schema: &str) -> Value {
    answer(about, &[("application/json", named(schema))])
}

/// Good answers with the problems that these codes, and those of every path, are.
pub(super) fn with_problems(mut answers: Value, codes: &[ErrorCode]) -> Value {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes.iter().chain(ALWAYS) {
        let codes = by_status.entry(code.status().as_u16()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    for (status, codes) in by_status {
        let answer = &mut answers[status.to_string()];
        match answer {
            Value::Null => *answer = problem(status, &codes),
            // Beside an answer of another type.
            answer => {
                let problem = problem(status, &codes);
                answer["content"]["application/problem+json"] =
                    problem["content"]["application/problem+json"].clone();
            }
        }
    }
    answers
}

fn problem(status: u16, codes: &[ErrorCode]) -> Value {
    let texts: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let schema = json!({
        "allOf": [
            named("Problem"),
            { "properties": { "status": { "const": status }, "code": { "enum": texts } } },
        ],
    });
    let about = match codes.iter().any(|code| RESETS.contains(code)) {
        true => "A reset: the cursor can't be resumed from, `cursor` is where to go on.",
        false => phrase(status),
    };
    let mut answer = answer(about, &[("application/problem+json", schema)]);
    match status {
        401 => answer["headers"]["WWW-Authenticate"] = header("Challenge"),
        429 | 503 => answer["headers"]["Retry-After"] = header("RetryAfter"),
        _ => {}
    }
    answer
}

fn phrase(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}
