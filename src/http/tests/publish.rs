//! Publishing: what is a row, and what the database's refusals become.

use super::*;
use crate::pg::PgError;
use crate::pg::publish::PublishError;

#[tokio::test]
async fn a_row_that_no_database_takes_is_503_in_our_own_words() {
    let app = App::new();
    for headers in [&[("content-type", "application/json; charset=utf-8")][..], &[]] {
        let response = app.send(Method::POST, ROOM, headers, r#"{"body":"hi"}"#).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(1))
        );
        let problem = body_json(response).await;
        assert_eq!(problem["code"], "database_unavailable");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    }
}

#[tokio::test]
async fn publish_refuses_what_is_no_row() {
    let app = App::new();
    let json_type = ("content-type", "application/json");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    for (headers, body, expected) in [
        (&[json_type][..], "{", (400, "invalid_body")),
        (&[json_type], "", (400, "invalid_body")),
        (&[json_type], "{} x", (400, "invalid_body")),
        (&[json_type], "[1]", (400, "invalid_body")),
        (&[json_type], "null", (400, "invalid_body")),
        (&[json_type], &large, (413, "body_too_large")),
        (
            &[("content-type", "text/plain")],
            "{}",
            (415, "unsupported_media_type"),
        ),
        (
            &[("origin", "http://relay"), ("host", "relay")],
            "{}",
            (415, "unsupported_media_type"),
        ),
    ] {
        let (status, code) = app.problem(Method::POST, ROOM, headers, body).await;
        assert_eq!(
            (status, code.as_str()),
            expected,
            "{}",
            &body[..body.len().min(20)]
        );
    }
    let off = App::with(HttpSettings::default());
    assert_eq!(
        off.problem(Method::POST, ROOM, &[json_type], "{}").await,
        (404, "not_found".into())
    );
}

#[tokio::test]
async fn what_the_database_says_to_a_row_becomes_a_status() {
    let error = || PgError::TimedOut {
        waited: Duration::ZERO,
    };
    for (refusal, expected) in [
        (PublishError::WrongRoom, (422, "invalid_row")),
        (PublishError::UnknownColumn(error()), (422, "invalid_row")),
        (PublishError::Rejected(error()), (422, "invalid_row")),
        (PublishError::NotInserted, (422, "invalid_row")),
        (PublishError::Duplicate(error()), (409, "duplicate")),
        (PublishError::Forbidden(error()), (403, "forbidden")),
        (PublishError::Unavailable(error()), (503, "database_unavailable")),
        (PublishError::Failed(error()), (500, "internal")),
    ] {
        let code = ApiError::from(refusal).code();
        assert_eq!((code.status().as_u16(), code.as_str()), expected);
    }
}
