//! Everything that goes wrong over HTTP: one error with one code, rendered as RFC 9457 `application/problem+json`.

use std::borrow::Cow;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::cursor::Cursor;
use crate::feed::FeedError;
use crate::metrics::End;
use crate::pg::publish::PublishError;
use crate::relay::NoSource;
use crate::room::UnknownRoom;

/// Seconds that a client is told to wait when the database or the relay is away, or it asks too often.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// The same where somebody has to leave first.
const RETRY_WHEN_FULL_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Declares the codes with their texts and statuses in one table.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:ident;)*) => {
        /// What went wrong, for programs. Its text is stable; see [`ErrorCode::as_str`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All of them, in the order of their declaration.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable snake_case text, the member `code` of the problem.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

error_codes! {
    /// A cursor that this relay can't have given out.
    InvalidCursor = "invalid_cursor", BAD_REQUEST;
    /// A parameter out of its range, given twice, or together with one that excludes it.
    InvalidParameter = "invalid_parameter", BAD_REQUEST;
    /// A body that is no JSON object, or could not be read.
    InvalidBody = "invalid_body", BAD_REQUEST;
    /// No such table is attached.
    UnknownSource = "unknown_source", NOT_FOUND;
    /// The room column's type can't hold this value.
    UnknownRoom = "unknown_room", NOT_FOUND;
    /// No such path, or it is not switched on.
    NotFound = "not_found", NOT_FOUND;
    /// The path exists, but not for this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// `Accept` admits neither of the streams nor JSON.
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE;
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// Who asks is not known: no token, or one that is no good.
    Unauthenticated = "unauthenticated", UNAUTHORIZED;
    /// The operator does not allow it, or the database's role may not do it.
    Forbidden = "forbidden", FORBIDDEN;
    /// A unique constraint has such a row already.
    Duplicate = "duplicate", CONFLICT;
    /// Reset: the cursor is beyond everything in the table.
    CursorAhead = "cursor_ahead", CONFLICT;
    /// Reset: the cursor is of another epoch, source or database.
    Epoch = "epoch", CONFLICT;
    /// Reset: the table was truncated.
    Truncated = "truncated", CONFLICT;
    /// Reset: the journal does not reach back that far.
    Expired = "expired", CONFLICT;
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The body is not declared to be JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The table does not take this row: a column that it lacks, a wrong type, a violated constraint.
    InvalidRow = "invalid_row", UNPROCESSABLE_ENTITY;
    /// Requests, or new connections, come faster than they may.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// This address or subject has as many connections or subscriptions as it may.
    TooManyConnections = "too_many_connections", TOO_MANY_REQUESTS;
    /// The relay has as many connections as it may, of all clients.
    TooManyInAll = "too_many_connections", SERVICE_UNAVAILABLE;
    /// As many replays wait for their turn as may.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The database can't be asked now.
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE;
    /// The relay is ending.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE;
    /// A defect of the relay.
    Internal = "internal", INTERNAL_SERVER_ERROR;
}

/// An answer that is a problem: a code, a sentence for people, and on a reset the cursor to go on from.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ErrorCode,
    detail: Cow<'static, str>,
    cursor: Option<Cursor>,
    challenge: Option<&'static str>,
}

/// What a 401 asks for (RFC 6750, 3): a token, or another one.
const TOKEN_WANTED: &str = "Bearer";
const TOKEN_REFUSED: &str = "Bearer error=\"invalid_token\"";

impl ApiError {
    /// `detail` is shown to clients: it must say nothing that the database said.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            cursor: None,
            challenge: None,
        }
    }

    /// A parameter that can't be used, and why.
    pub fn parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidParameter, detail)
    }

    /// The client's cursor can't be resumed from; `cursor` is where to go on after fetching afresh. `code` is one of
    /// the reset codes.
    pub fn reset(code: ErrorCode, cursor: Cursor) -> Self {
        let detail = "The events after this cursor are not known. Fetch afresh, then go on from `cursor`.";
        Self {
            code,
            detail: detail.into(),
            cursor: Some(cursor),
            challenge: None,
        }
    }

    /// Nobody said who they are.
    pub fn token_wanted() -> Self {
        let detail = "Show who you are: a bearer's token, a ticket, or the cookie.";
        Self {
            challenge: Some(TOKEN_WANTED),
            ..Self::new(ErrorCode::Unauthenticated, detail)
        }
    }

    /// What was shown is no good. `detail` says nothing of its contents.
    pub fn token_refused(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            challenge: Some(TOKEN_REFUSED),
            ..Self::new(ErrorCode::Unauthenticated, detail)
        }
    }

    /// They may not do this.
    pub fn forbidden() -> Self {
        Self::new(ErrorCode::Forbidden, "You may not do this in these rooms.")
    }

    /// Whether they may do this would have to be asked where there is no answer now.
    pub fn cannot_find_out() -> Self {
        Self::new(
            ErrorCode::DatabaseUnavailable,
            "Whether you may do this can't be found out at the moment. Try again.",
        )
    }

    /// The relay ends and takes no new requests.
    pub fn shutting_down() -> Self {
        Self::new(ErrorCode::ShuttingDown, "The relay is shutting down. Try again.")
    }

    /// Which kind of error it is.
    pub fn code(&self) -> ErrorCode {
        self.code
    }
}

/// As a poll's end is counted: as that of a stream, where one could end for it, too.
impl From<ErrorCode> for End {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::ShuttingDown => Self::ShuttingDown,
            ErrorCode::Forbidden => Self::Forbidden,
            ErrorCode::UnknownSource => Self::UnknownSource,
            _ => Self::Failed,
        }
    }
}

impl From<FeedError> for ApiError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Unavailable => Self::new(
                ErrorCode::DatabaseUnavailable,
                "Rows can't be read at the moment. Try again with the same cursor.",
            ),
            FeedError::Overloaded => Self::new(
                ErrorCode::Overloaded,
                "Too many ask for what they missed at the moment. Try again with the same cursor.",
            ),
            FeedError::Gone => Self::new(ErrorCode::UnknownSource, "This table is no longer attached."),
        }
    }
}

impl From<NoSource> for ApiError {
    fn from(error: NoSource) -> Self {
        match error {
            NoSource::Unknown => Self::new(ErrorCode::UnknownSource, "No such table is attached."),
            NoSource::Broken => FeedError::Unavailable.into(),
        }
    }
}

impl From<UnknownRoom> for ApiError {
    fn from(_: UnknownRoom) -> Self {
        Self::new(
            ErrorCode::UnknownRoom,
            "No row can be in this room: its column can't hold such a value.",
        )
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let (code, detail) = match error {
            PublishError::WrongRoom => (
                ErrorCode::InvalidRow,
                "The body names another room than the path.",
            ),
            PublishError::UnknownColumn(_) | PublishError::ImpossibleColumn => (
                ErrorCode::InvalidRow,
                "The table lacks a column that the body names.",
            ),
            PublishError::ComputedRoom => (
                ErrorCode::InvalidRow,
                "Rooms of this source are computed from a column: rows can't be published into one.",
            ),
            PublishError::Rejected(_) => (
                ErrorCode::InvalidRow,
                "A value has the wrong type, or a constraint of the table does not admit the row.",
            ),
            PublishError::Duplicate(_) => (
                ErrorCode::Duplicate,
                "A unique constraint has such a row already.",
            ),
            PublishError::Forbidden(_) => (ErrorCode::Forbidden, "The relay's role may not insert this row."),
            PublishError::Unavailable(_) => (
                ErrorCode::DatabaseUnavailable,
                "The database can't take the row now. Whether it did is not known.",
            ),
            PublishError::NotInserted => (ErrorCode::InvalidRow, "The table did not take the row."),
            PublishError::Failed(_) => (ErrorCode::Internal, "The row could not be inserted."),
        };
        Self::new(code, detail)
    }
}

/// The members of a problem document. `type` is `about:blank`, so that `title` is the status' phrase (RFC 9457, 4.2.1);
/// `code` is what programs go by.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            cursor: self.cursor.map(|cursor| cursor.to_string()),
        };
        let body = serde_json::to_vec(&problem).expect("a problem has only texts and a number");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let retry_after = match (self.code, status) {
            (ErrorCode::TooManyConnections | ErrorCode::TooManyInAll, _) => Some(RETRY_WHEN_FULL_SECONDS),
            (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => Some(RETRY_AFTER_SECONDS),
            _ => None,
        };
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds);
        }
        response
    }
}
