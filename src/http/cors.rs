//! CORS: the exact list of origins whose pages may read answers and send credentials. Nothing else is reflected.

use std::time::Duration;

use super::request::X_REQUEST_ID;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};

/// How long a browser may keep a preflight's answer. Chromium caps it at two hours, Firefox at a day.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The layer for these origins (`https://app.example.com`, exact), or `None` where there is none: then a preflight is
/// an ordinary request with a method that is not allowed.
pub(super) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let listed = origins.to_vec();
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_credentials(AllowCredentials::predicate(move |origin, _| {
                listed.contains(origin)
            }))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                HeaderName::from_static("last-event-id"),
                CONTENT_TYPE,
                AUTHORIZATION,
            ])
            // A script of another origin sees only headers of the Fetch standard's safe list, which lacks these.
            .expose_headers([RETRY_AFTER, X_REQUEST_ID])
            .max_age(PREFLIGHT_AGE)
            .vary([ORIGIN]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{HeaderMap, Request};
    use axum::{Router, routing};
    use tower::ServiceExt;

    async fn headers(method: Method, origin: &str) -> HeaderMap {
        let listed = [HeaderValue::from_static("https://app.example.com")];
        let router: Router = Router::new()
            .route("/", routing::get(|| async {}))
            .layer(layer(&listed).unwrap());
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .body(Body::empty())
            .unwrap();
        router.oneshot(request).await.unwrap().headers().clone()
    }

    #[tokio::test]
    async fn a_listed_origin_may_read_with_credentials_and_learns_when_to_come_back() {
        let headers = headers(Method::GET, "https://app.example.com").await;
        assert_eq!(headers["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["vary"], "origin");
        assert_eq!(
            headers["access-control-expose-headers"],
            "retry-after,x-request-id"
        );
    }

    #[tokio::test]
    async fn a_preflight_is_kept_and_names_methods_and_headers() {
        let headers = headers(Method::OPTIONS, "https://app.example.com").await;
        assert_eq!(headers["access-control-max-age"], "7200");
        assert_eq!(headers["access-control-allow-methods"], "GET,POST");
        assert_eq!(
            headers["access-control-allow-headers"],
            "last-event-id,content-type,authorization"
        );
    }

    #[tokio::test]
    async fn other_origins_get_neither_permission_nor_credentials() {
        for method in [Method::GET, Method::OPTIONS] {
            for origin in [
                "https://app.example.com.evil.org",
                "http://app.example.com",
                "null",
            ] {
                let headers = headers(method.clone(), origin).await;
                assert!(!headers.contains_key("access-control-allow-origin"), "{origin}");
                assert!(
                    !headers.contains_key("access-control-allow-credentials"),
                    "{origin}"
                );
            }
        }
    }
}
