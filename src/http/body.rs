//! Bodies of requests: JSON, within bounds of size and time.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::{ApiError, ErrorCode};
use super::limits::{Limit, Limits};

/// JSON, or nothing said where no browser asks: a page of another origin may send a body without a type, but not one
/// of type JSON, without being asked for a preflight (Fetch standard, CORS-safelisted request header).
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let admitted = match headers.get(CONTENT_TYPE) {
        None => !headers.contains_key(ORIGIN),
        Some(value) => {
            let essence = value
                .to_str()
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default()
                .trim();
            essence.eq_ignore_ascii_case("application/json")
        }
    };
    if admitted {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "The body must be sent as application/json.",
    ))
}

/// All of a body, within its bounds.
///
/// # Errors
/// `body_too_large`, `request_timeout`, `invalid_body` where the client broke off.
pub(super) async fn read_body(body: Body, limits: &Limits) -> Result<Bytes, ApiError> {
    let most = limits.settings().body_bytes;
    let body = Limited::new(body, most).collect();
    match tokio::time::timeout(limits.settings().body_timeout, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("The body is larger than {most} bytes.");
            Err(limits.over(Limit::BodyBytes, ApiError::new(ErrorCode::BodyTooLarge, detail)))
        }
        Ok(Err(_)) => Err(ApiError::new(
            ErrorCode::InvalidBody,
            "The body could not be read.",
        )),
        Err(_) => {
            let error = ApiError::new(ErrorCode::RequestTimeout, "The body did not arrive in time.");
            Err(limits.over(Limit::BodyTime, error))
        }
    }
}
