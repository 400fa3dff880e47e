//! What browsers send by themselves, cookies and origins, and what they are told.

use reqwest::Method;
use serde_json::json;

use super::{
    A, admitted, forbidden, guarded, reader, reads, refusal, request, sending, token, unauthenticated,
    verdict,
};
use crate::support::{Answer, Client, Relay, TestDatabase, Transport};

const LISTED: &str = "https://app.example.org";
const FOREIGN: &str = "https://evil.example.org";

/// A relay that takes a cookie, a row in room `a`, and a client with a good cookie for it among others.
async fn with_cookie() -> (TestDatabase, Relay, Client) {
    let arguments = [
        "--auth-cookie",
        "session",
        "--allow-origin",
        LISTED,
        "--allow-publish",
    ];
    let (db, relay) = guarded(&arguments).await;
    db.say("a", "x").await;
    let good = token(json!({ "sub": "ada", "rooms": { "read": ["a"], "publish": ["a"] } }));
    let ada = sending(
        &relay.client,
        "cookie",
        &format!("theme=dark; session={good}; x=y"),
    );
    (db, relay, ada)
}

/// The same over all transports of a subscription with these headers, or the test fails.
async fn with_headers(client: &Client, headers: &[(&str, &str)]) -> (u16, String) {
    let mut verdicts = Vec::new();
    for transport in Transport::ALL {
        let mut request = request(client, transport, &format!("{A}?last=1"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        verdicts.push(verdict(request).await);
    }
    assert!(verdicts.iter().all(|one| *one == verdicts[0]), "{verdicts:?}");
    verdicts.remove(0)
}

#[tokio::test]
async fn a_cookie_carries_the_token_of_a_page() {
    let (db, relay, ada) = with_cookie().await;
    assert_eq!(reads(&ada, A).await, admitted());
    assert_eq!(reads(&ada, "/v1/rooms/b/events").await, forbidden());
    // As an EventSource of the same origin asks, and as it comes back.
    let mut stream = ada.stream(A).await;
    let cursor = stream.ready().await;
    let id = db.say("a", "live").await;
    assert_eq!(stream.ids(1).await, [id]);
    drop(stream);
    assert_eq!(ada.resume(A, &cursor).await.ids(1).await, [id]);
    // Another name is no cookie of ours, however good what is in it, and a bad one is not nobody's.
    let good = token(json!({ "rooms": ["a"] }));
    for name in ["sessions", "xsession", "Session"] {
        let other = sending(&relay.client, "cookie", &format!("{name}={good}"));
        assert_eq!(reads(&other, A).await, unauthenticated(), "{name}");
    }
    let bad = sending(&relay.client, "cookie", "session=x");
    assert_eq!(reads(&bad, A).await, unauthenticated());
}

#[tokio::test]
async fn a_cookie_counts_only_where_the_operator_says_so() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let good = token(json!({ "rooms": ["a"] }));
    for name in ["session", "token", "access_token"] {
        let client = sending(&relay.client, "cookie", &format!("{name}={good}"));
        assert_eq!(reads(&client, A).await, unauthenticated(), "{name}");
    }
}

#[tokio::test]
async fn a_cookie_that_a_foreign_page_sends_along_is_forbidden() {
    let (_db, relay, ada) = with_cookie().await;
    let own = relay.url.clone();
    let spoofed = format!("{LISTED}.evil.org");
    for headers in [
        &[("origin", FOREIGN)][..],
        &[("origin", "null")],
        &[("origin", &*spoofed)],
        &[("origin", FOREIGN), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(with_headers(&ada, headers).await, forbidden(), "{headers:?}");
    }
    for headers in [
        &[("origin", LISTED), ("sec-fetch-site", "cross-site")][..],
        &[("origin", &*own)],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(with_headers(&ada, headers).await, admitted(), "{headers:?}");
    }
    // A token does not come by itself: whoever has it may use it.
    let bearer = reader(&relay.client, &["a"]);
    assert_eq!(with_headers(&bearer, &[("origin", FOREIGN)]).await, admitted());
    let cross_site = [("sec-fetch-site", "cross-site")];
    assert_eq!(with_headers(&bearer, &cross_site).await, admitted());
}

#[tokio::test]
async fn a_foreign_page_posts_nothing() {
    let (db, relay, ada) = with_cookie().await;
    let bearer = super::bearer(
        &relay.client,
        json!({ "rooms": { "read": ["a"], "publish": ["a"] } }),
    );
    let own = relay.url.clone();
    for client in [&ada, &bearer] {
        for (path, body) in [
            (A, json!({"body": "x"})),
            ("/v1/tickets", json!({"rooms": ["a"]})),
        ] {
            for (origin, status) in [
                (Some(FOREIGN), 403),
                (Some("null"), 403),
                (Some(LISTED), 201),
                (Some(&*own), 201),
                (None, 201),
            ] {
                let mut request = client.request(Method::POST, path).json(&body);
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                let answer = client.send(request).await;
                assert_eq!(answer.status, status, "{path} {origin:?}: {}", answer.body);
            }
        }
    }
    let cross_site = ada.request(Method::POST, A).json(&json!({"body": "x"}));
    let cross_site = cross_site.header("sec-fetch-site", "cross-site");
    assert_eq!(verdict(cross_site).await, forbidden());
    let rows = db.query_one("select count(*) from messages", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1 + 2 * 3);
}

/// What a page of `origin` is told.
async fn told(client: &Client, method: Method, origin: &str) -> Answer {
    let request = client
        .request(method, &format!("{A}?last=1"))
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    refusal(request).await
}

#[tokio::test]
async fn only_listed_origins_may_read_answers_and_send_credentials() {
    let (_db, relay, ada) = with_cookie().await;
    let bearer = reader(&relay.client, &["a"]);
    let nobody = relay.client.clone();
    for client in [&ada, &bearer, &nobody] {
        for method in [Method::GET, Method::OPTIONS] {
            let listed = told(client, method.clone(), LISTED).await;
            assert_eq!(listed.header("access-control-allow-origin"), Some(LISTED));
            assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
            for origin in [FOREIGN, "null", "https://app.example.org:8443"] {
                let foreign = told(client, method.clone(), origin).await;
                assert_eq!(foreign.header("access-control-allow-origin"), None, "{origin}");
                assert_eq!(
                    foreign.header("access-control-allow-credentials"),
                    None,
                    "{origin}"
                );
            }
        }
    }
    // A page learns that its token is over, and a preflight needs none.
    let unknown = told(&nobody, Method::GET, LISTED).await;
    assert_eq!(
        (unknown.status.as_u16(), &*unknown.code()),
        (401, "unauthenticated")
    );
    let preflight = told(&nobody, Method::OPTIONS, LISTED).await;
    assert_eq!(preflight.status, 200, "{}", preflight.body);
    let headers = preflight.header("access-control-allow-headers").expect("headers");
    assert!(headers.contains("authorization"), "{headers}");
}
