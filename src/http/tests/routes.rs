//! Paths, rooms, methods, health, CORS, panics: which problem each bad request ends in.

use super::*;
use crate::relay::BrokenSource;
use axum::middleware::map_response;
use axum::routing::get;

#[tokio::test]
async fn several_rooms_are_one_subscription() {
    let app = App::new();
    app.commit_to("b", [1]);
    app.commit_to("x", [2]);
    app.commit_to("c/d", [3]);
    let response = app.get("/v1/events?room=b&room=a&room=b&room=c%2Fd", &[]).await;
    assert_eq!(page(response).await, (vec![1, 3], "7.3".into(), false));
    let rooms = |count: usize| (0..count).map(|n| format!("room={n}&")).collect::<String>();
    assert_eq!(
        app.get(&format!("/v1/events?{}{}", rooms(100), rooms(100)), &[])
            .await
            .status(),
        200
    );
    let invalid = (400, "invalid_parameter".to_owned());
    let long = format!("room={}", "x".repeat(1025));
    for query in ["", "room=", "room=%FF", &long, &rooms(101)] {
        assert_eq!(
            app.problem(Method::GET, &format!("/v1/events?{query}"), &[], "")
                .await,
            invalid,
            "{query}"
        );
    }
}

#[tokio::test]
async fn rooms_with_odd_names_work_in_a_path() {
    for (path, room) in [
        ("a%2Fb", "a/b"),
        ("%22%0A%27", "\"\n'"),
        ("%F0%9F%A6%80+%25", "🦀+%"),
        ("..%2f..", "../.."),
    ] {
        let app = App::new();
        app.commit_to(room, [1]);
        let response = app.get(&format!("/v1/rooms/{path}/events"), &[]).await;
        assert_eq!(page(response).await.0, [1], "{path}");
    }
}

#[tokio::test]
async fn rooms_that_cannot_be_are_refused() {
    let app = App::new();
    let long = format!("/v1/rooms/{}/events", "%41".repeat(1025));
    for (uri, expected) in [
        ("/v1/rooms/%00/events", (404, "unknown_room")),
        ("/v1/sources/numbers/rooms/x/events", (404, "unknown_room")),
        (
            "/v1/sources/numbers/rooms/99999999999/events",
            (404, "unknown_room"),
        ),
        ("/v1/sources/numbers/events?room=1&room=x", (404, "unknown_room")),
        ("/v1/sources/nothing/rooms/1/events", (404, "unknown_source")),
        ("/v1/rooms//events", (400, "invalid_parameter")),
        ("/v1/rooms/%FF/events", (400, "invalid_parameter")),
        (&long, (400, "invalid_parameter")),
    ] {
        for headers in [&[][..], &[SSE]] {
            let (status, code) = app.problem(Method::GET, uri, headers, "").await;
            assert_eq!((status, code.as_str()), expected, "{uri}");
        }
    }
}

#[tokio::test]
async fn everything_else_is_a_problem_too() {
    let app = App::new();
    for (method, uri, headers, expected) in [
        (Method::GET, "/", &[][..], (404, "not_found")),
        (Method::GET, "/v1/rooms/a/b/events", &[], (404, "not_found")),
        (Method::DELETE, ROOM, &[], (405, "method_not_allowed")),
        (Method::OPTIONS, ROOM, &[], (405, "method_not_allowed")),
        (
            Method::POST,
            "/v1/events?room=a",
            &[],
            (405, "method_not_allowed"),
        ),
        (Method::POST, "/health/live", &[], (405, "method_not_allowed")),
        (
            Method::GET,
            ROOM,
            &[("accept", "text/html")],
            (406, "not_acceptable"),
        ),
        (
            Method::GET,
            "/v1/rooms/42/events?after=x",
            &[SSE],
            (400, "invalid_cursor"),
        ),
        (
            Method::GET,
            "/v1/rooms/42/events?limit=0",
            &[SSE],
            (400, "invalid_parameter"),
        ),
    ] {
        let (status, code) = app.problem(method, uri, headers, "").await;
        assert_eq!((status, code.as_str()), expected, "{uri}");
    }
    let response = app.send(Method::DELETE, ROOM, &[], Body::empty()).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    assert_eq!(response.headers()["vary"], "accept");
}

#[tokio::test]
async fn everything_stands_under_the_base_path_and_health_at_the_root_too() {
    for written in ["/live", "/live/"] {
        let app = App::with(HttpSettings {
            base_path: written.into(),
            ..HttpSettings::default()
        });
        assert_eq!(app.get(&format!("/live{ROOM}"), &[]).await.status(), 200);
        for base in ["", "/live"] {
            let response = app.get(&format!("{base}/health/live"), &[]).await;
            assert_eq!(body_json(response).await, json!({"status": "live"}));
            let response = app.get(&format!("{base}/health/ready"), &[]).await;
            assert_eq!(body_json(response).await["status"], "ready");
        }
        for (method, path, expected) in [
            (Method::GET, ROOM, (404, "not_found")),
            (Method::GET, "/live/x", (404, "not_found")),
            (Method::PUT, &format!("/live{ROOM}"), (405, "method_not_allowed")),
        ] {
            let (status, code) = app.problem(method, path, &[], "").await;
            assert_eq!((status, code.as_str()), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_relay_that_is_not_ready_says_why() {
    let app = App::new();
    app.relay.set_broken(
        [(
            "old".to_owned(),
            BrokenSource {
                ordinal: 9,
                reason: "its table is gone".to_owned(),
            },
        )]
        .into(),
    );
    let response = app.get("/health/ready", &[]).await;
    assert_eq!(response.status(), 503);
    let answer = body_json(response).await;
    assert_eq!(
        (&answer["status"], &answer["reasons"]),
        (&json!("not_ready"), &json!(["source old: its table is gone"]))
    );
}

#[tokio::test]
async fn a_listed_origin_may_read_errors_too_and_answers_vary_with_both() {
    let origin = "https://app.example.com";
    let app = App::with(HttpSettings {
        allow_origins: vec![HeaderValue::from_static(origin)],
        ..HttpSettings::default()
    });
    let response = app
        .get("/v1/rooms/42/events?limit=0", &[("origin", origin)])
        .await;
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert!(
        vary.contains(&&HeaderValue::from_static("accept"))
            && vary.contains(&&HeaderValue::from_static("origin"))
    );
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    async fn panics() {
        panic!("a defect");
    }
    let app = App::wrapped(HttpSettings::default(), |routes| {
        routes.route("/panics", get(panics))
    });
    assert_eq!(
        app.problem(Method::GET, "/panics", &[], "").await,
        (500, "internal".into())
    );
}

#[tokio::test]
async fn a_layer_of_whoever_starts_the_relay_stands_around_its_routes_and_the_added_ones() {
    async fn marked(mut response: Response) -> Response {
        response
            .headers_mut()
            .insert("x-layer", HeaderValue::from_static("seen"));
        response
    }
    let app = App::wrapped(HttpSettings::default(), |routes| {
        routes
            .route("/page", get(|| async { "page" }))
            .layer(map_response(marked))
    });
    for path in [ROOM, "/health/live", "/page"] {
        let response = app.get(path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-layer"], "seen", "{path}");
    }
}
