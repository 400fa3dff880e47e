//! What browsers are told and held to: which pages may post, what varies, the headers of every answer.

use super::*;

const LISTED: &str = "https://app.example.com";

fn listed() -> App {
    App::with(HttpSettings {
        allow_publish: true,
        allow_origins: vec![HeaderValue::from_static(LISTED)],
        ..HttpSettings::default()
    })
}

#[tokio::test]
async fn pages_of_other_origins_may_not_post_whether_there_is_a_list_or_not() {
    let (json_type, host) = (
        ("content-type", "application/json"),
        ("host", "relay.example.com"),
    );
    for (app, origin, expected) in [
        (App::new(), "https://evil.example", 403),
        (App::new(), "null", 403),
        (App::new(), LISTED, 403),
        (App::new(), "https://relay.example.com", 503),
        (listed(), "https://evil.example", 403),
        (listed(), "null", 403),
        (listed(), LISTED, 503),
        (listed(), "https://relay.example.com", 503),
    ] {
        let headers = [json_type, host, ("origin", origin)];
        // The database of these tests is away: whoever is let in hears that.
        let (status, _) = app.problem(Method::POST, ROOM, &headers, "{}").await;
        assert_eq!(status, expected, "{origin}");
        let headers = [("origin", origin), host];
        assert_eq!(
            app.get(ROOM, &headers).await.status(),
            200,
            "reading is not doing"
        );
    }
}

#[tokio::test]
async fn every_answer_varies_with_the_origin_where_there_is_a_list() {
    let app = listed();
    for (method, path, headers) in [
        (Method::GET, ROOM, &[][..]),
        (Method::GET, ROOM, &[SSE]),
        (Method::GET, ROOM, &[NDJSON]),
        (Method::GET, "/v1/rooms/42/events?limit=0", &[]),
        (Method::GET, "/nothing", &[]),
        (Method::POST, ROOM, &[]),
        (Method::GET, "/health/ready", &[]),
        (Method::GET, ROOM, &[("origin", "https://evil.example")]),
        (
            Method::OPTIONS,
            ROOM,
            &[("origin", LISTED), ("access-control-request-method", "POST")],
        ),
    ] {
        let response = app.send(method.clone(), path, headers, "").await;
        let varies = response.headers().get_all("vary").iter();
        let varies: Vec<_> = varies.map(|value| value.to_str().unwrap()).collect();
        assert!(
            varies.join(",").to_lowercase().contains("origin"),
            "{method} {path}: {varies:?}"
        );
        let allowed = response.headers().get("access-control-allow-origin");
        assert!(allowed.is_none_or(|origin| origin == LISTED), "{allowed:?}");
    }
}

#[tokio::test]
async fn every_answer_is_what_its_type_says_and_gives_no_address_away() {
    for app in [App::new(), listed()] {
        for (path, headers) in [
            (ROOM, &[][..]),
            (ROOM, &[SSE]),
            (ROOM, &[NDJSON]),
            ("/v1/rooms/42/events?limit=0", &[]),
            ("/nothing", &[]),
            ("/health/live", &[]),
            ("/metrics", &[]),
            ("/rowcast.js", &[]),
        ] {
            let response = app.get(path, headers).await;
            assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(response.headers()["referrer-policy"], "no-referrer", "{path}");
        }
    }
}

#[tokio::test]
async fn the_client_is_everyones_and_never_with_credentials() {
    let response = listed().get("/rowcast.js", &[("origin", LISTED)]).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-credentials")
    );
}
