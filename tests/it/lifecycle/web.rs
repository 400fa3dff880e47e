//! What browsers ask for: CORS with the exact list of origins.

use reqwest::Method;

use crate::support::{Answer, Relay, scene};

const PATH: &str = "/v1/rooms/a/events";
const LISTED: &str = "https://app.example.org";

async fn from(relay: &Relay, method: Method, origin: &str, accept: &str) -> Answer {
    let mut request = relay
        .client
        .request(method.clone(), PATH)
        .header("origin", origin)
        .header("accept", accept);
    if method == Method::OPTIONS {
        request = request
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "last-event-id,authorization");
    }
    relay.client.send(request).await
}

#[tokio::test]
async fn a_listed_origin_may_read_and_others_may_not() {
    let (_db, relay) = scene(&[
        "--allow-origin",
        LISTED,
        "--allow-origin",
        "http://localhost:3000",
    ])
    .await;
    for origin in [LISTED, "http://localhost:3000"] {
        let answer = from(&relay, Method::GET, origin, "application/json").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let varies: Vec<String> = answer
            .headers
            .get_all("vary")
            .iter()
            .map(|vary| vary.to_str().unwrap().to_lowercase())
            .collect();
        assert!(varies.join(",").contains("origin"), "{varies:?}");
        let preflight = from(&relay, Method::OPTIONS, origin, "*/*").await;
        assert!(preflight.status.is_success());
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
        assert!(
            preflight
                .header("access-control-allow-methods")
                .unwrap()
                .contains("GET")
        );
        let headers = preflight
            .header("access-control-allow-headers")
            .unwrap()
            .to_lowercase();
        assert!(
            headers.contains("last-event-id") && headers.contains("authorization"),
            "{headers}"
        );
        // A problem can be read, too: which one it is decides what the client does.
        let problem = from(&relay, Method::GET, origin, "text/html").await;
        assert_eq!(
            (
                problem.status.as_u16(),
                problem.header("access-control-allow-origin")
            ),
            (406, Some(origin))
        );
    }
}

#[tokio::test]
async fn an_origin_that_is_not_listed_exactly_is_told_nothing() {
    let (_db, relay) = scene(&["--allow-origin", LISTED]).await;
    for origin in [
        "https://app.example.org.evil.example",
        "http://app.example.org",
        "https://APP.example.org",
        "null",
        "https://app.example.org:8443",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = from(&relay, method, origin, "application/json").await;
            for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
                assert_eq!(answer.header(name), None, "{origin}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_listed_origin_says_so() {
    let (_db, relay) = scene(&["--allow-origin", LISTED]).await;
    let request = relay
        .client
        .request(Method::GET, PATH)
        .header("origin", LISTED)
        .header("accept", "text/event-stream");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], LISTED);
}

#[tokio::test]
async fn without_a_list_nothing_is_said() {
    let (_db, relay) = scene(&[]).await;
    let answer = from(&relay, Method::GET, LISTED, "application/json").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(
        from(&relay, Method::OPTIONS, LISTED, "*/*").await.code(),
        "method_not_allowed"
    );
}
