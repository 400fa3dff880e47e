//! Parameters, methods, paths and `Accept`.

use reqwest::Method;

use super::{is, is_well, problem, refused};
use crate::support::scene;

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let (_db, mut relay) = scene(&[]).await;
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit",
        "limit=1.5",
        "limit=1e2",
        "limit=%20",
        "limit=99999999999999999999",
        "wait=0",
        "wait=61",
        "wait=-1",
        "wait=x",
        "wait=",
        "wait=1.5",
        "wait=1s",
        "wait=99999999999999999999",
        "last=-1",
        "last=1001",
        "last=x",
        "last=",
        "last=99999999999999999999",
        "before=-1",
        "before=x",
        "before=",
        "before=9223372036854775808",
        "before=1.5",
        "limit=1&limit=2",
        "last=1&last=1",
        "wait=1&wait=1",
        "before=1&before=2",
        "after=1&after=1",
        "before=5&after=1",
        "before=5&wait=1",
    ] {
        let path = format!("/v1/rooms/a/events?{bad}");
        assert_eq!(
            refused(&relay.client, &path).await,
            is(400, "invalid_parameter"),
            "{bad}"
        );
    }
    let stream = relay
        .client
        .request(Method::GET, "/v1/rooms/a/events?before=5")
        .header("accept", "text/event-stream");
    assert_eq!(
        problem(&relay.client.send(stream).await),
        is(400, "invalid_parameter")
    );
    is_well(&mut relay).await;
}

#[tokio::test]
async fn an_accept_that_cannot_be_met_is_406() {
    let (_db, relay) = scene(&[]).await;
    for path in [
        "/v1/rooms/a/events",
        "/v1/events?room=a",
        "/v1/sources/messages/rooms/a/events?wait=1",
    ] {
        for accept in [
            "text/html",
            "application/xml, text/plain;q=0.5",
            "application/json;q=0",
            "garbage",
        ] {
            let request = relay.client.request(Method::GET, path).header("accept", accept);
            assert_eq!(
                problem(&relay.client.send(request).await),
                is(406, "not_acceptable"),
                "{accept}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_problems() {
    let (_db, relay) = scene(&[]).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/rooms",
        "/v1/rooms/a",
        "/v1/rooms/a/",
        "/v1/rooms/a/events/",
        "/v1/rooms/a/b/events",
        "/v2/rooms/a/events",
        "/v1/sources",
        "/v1/sources/messages",
        "/health",
        "/health/",
        "/metrics/x",
        "/v1/rooms/../../etc/passwd",
        "/%00",
        "//",
        "/v1//rooms/a/events",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = relay
                .client
                .send(relay.client.request(method.clone(), path))
                .await;
            assert_eq!(problem(&answer), is(404, "not_found"), "{method} {path}");
        }
    }
    for path in [
        "/v1/sources/nothing/rooms/a/events",
        "/v1/sources/nothing/events?room=a",
        "/v1/sources/%22/events?room=a",
    ] {
        assert_eq!(
            refused(&relay.client, path).await,
            is(404, "unknown_source"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn unknown_methods_are_problems_and_say_which_there_are() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    for (path, methods) in [
        (
            "/v1/rooms/a/events",
            &[
                Method::PUT,
                Method::DELETE,
                Method::PATCH,
                Method::OPTIONS,
                Method::TRACE,
            ][..],
        ),
        ("/v1/events?room=a", &[Method::POST, Method::PUT, Method::DELETE]),
        ("/v1/sources/messages/events?room=a", &[Method::POST]),
        ("/health/live", &[Method::POST, Method::DELETE]),
        ("/health/ready", &[Method::PUT]),
    ] {
        for method in methods
            .iter()
            .cloned()
            .chain([Method::from_bytes(b"BREW").unwrap()])
        {
            let answer = relay
                .client
                .send(relay.client.request(method.clone(), path))
                .await;
            assert_eq!(problem(&answer), is(405, "method_not_allowed"), "{method} {path}");
            assert!(answer.header("allow").unwrap().contains("GET"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_query_of_any_size_and_kind_breaks_nothing() {
    let (_db, mut relay) = scene(&[]).await;
    for (query, status) in [
        ("&&&=&=a&%ZZ=1&a=%ZZ", 200),
        ("unknown=%FF", 200),
        ("limit=%31%30", 200),
        (&format!("unknown={}", "x".repeat(10_000)), 200),
    ] {
        let answer = relay.client.get(&format!("/v1/rooms/a/events?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
    }
    is_well(&mut relay).await;
}
