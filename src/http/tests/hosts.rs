//! By which names a relay may be called that is open to its machine alone.

use super::*;
use crate::config;
use crate::http::client_address::Peer;
use axum::routing::get;

const LISTED: &str = "https://app.example.com";

fn settings() -> HttpSettings {
    let metrics = Metrics::new();
    let limits = config::Limits {
        trusted_proxies: vec![config::Network {
            address: [127, 0, 0, 9].into(),
            bits: 32,
        }],
        ..config::Limits::default()
    };
    HttpSettings {
        local_names_only: true,
        allow_publish: true,
        allow_origins: vec![HeaderValue::from_static(LISTED)],
        limits: Arc::new(Limits::new(limits, usize::MAX, &metrics)),
        metrics,
        ..HttpSettings::default()
    }
}

#[tokio::test]
async fn a_name_that_anybody_could_point_here_is_refused_on_every_path() {
    let app = App::wrapped(settings(), |routes| {
        routes.route("/page", get(|| async { "page" }))
    });
    let strange = [("host", "evil.example:8080")];
    for path in [
        ROOM,
        "/v1/events?room=a",
        "/health/ready",
        "/metrics",
        "/page",
        "/nothing",
    ] {
        let refused = app.problem(Method::GET, path, &strange, "").await;
        assert_eq!(refused, (403, "forbidden".into()), "{path}");
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost:8080",
            "app.example.com",
        ] {
            let status = app.get(path, &[("host", host)]).await.status();
            assert_eq!(
                status,
                if path == "/nothing" { 404 } else { 200 },
                "{path} {host}"
            );
        }
        assert_ne!(app.get(path, &[]).await.status(), 403, "{path}");
    }
    // As a page of that name posts, and as HTTP/2 says the name.
    let page = [
        strange[0],
        ("origin", "http://evil.example:8080"),
        ("content-type", "application/json"),
    ];
    let refused = app.problem(Method::POST, ROOM, &page, "{}").await;
    assert_eq!(refused, (403, "forbidden".into()));
    let uri = format!("http://evil.example:8080{ROOM}");
    assert_eq!(app.problem(Method::GET, &uri, &[], "").await.0, 403);
    // Of two it is not known which the browser meant.
    let two = [("host", "localhost"), ("host", "localhost")];
    assert_eq!(app.problem(Method::GET, ROOM, &two, "").await.0, 403);
}

#[tokio::test]
async fn a_trusted_proxy_hands_on_any_name() {
    let app = App::with(settings());
    for (peer, status) in [([127, 0, 0, 9], 200), ([127, 0, 0, 1], 403)] {
        let mut request = Request::builder()
            .uri(ROOM)
            .header("host", "relay.example.com")
            .header("accept", SSE.1)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Peer((peer, 4711).into()));
        let answer = app.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{peer:?}");
    }
}

#[tokio::test]
async fn any_name_will_do_where_others_may_come_or_must_say_who_they_are() {
    let app = App::new();
    let status = app.get(ROOM, &[("host", "relay.example.com")]).await.status();
    assert_eq!(status, 200);
}
