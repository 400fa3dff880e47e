//! Who shows nothing, or nothing good, is told so and nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::{A, SECRET, from_now, guarded, reader, reads, refusal, request, sending, sign, ticket, token};
use crate::support::{Client, Transport, eventually};

/// Every request that needs a credential, by name. `base`: the base path.
fn every_request(client: &Client, base: &str) -> Vec<(String, reqwest::RequestBuilder)> {
    let mut requests = Vec::new();
    // A room with a row, one without, a source that there is and one that there is not.
    for path in [
        A,
        "/v1/rooms/nobody/events",
        "/v1/events?room=a",
        "/v1/events?room=*",
        "/v1/sources/messages/rooms/a/events",
        "/v1/sources/nothing/rooms/a/events",
        "/v1/sources/nothing/events?room=a",
    ] {
        let path = format!("{base}{path}");
        for transport in Transport::ALL {
            requests.push((format!("{transport:?} {path}"), request(client, transport, &path)));
        }
    }
    for (path, body) in [
        (A, json!({"body": "x"})),
        ("/v1/sources/nothing/rooms/a/events", json!({"body": "x"})),
        ("/v1/tickets", json!({"rooms": ["a"]})),
        ("/v1/sources/messages/tickets", json!({"rooms": ["a"]})),
        ("/v1/sources/nothing/tickets", json!({"rooms": ["a"]})),
    ] {
        let path = format!("{base}{path}");
        let request = client.request(Method::POST, &path).json(&body);
        requests.push((format!("POST {path}"), request));
    }
    requests
}

/// Fails unless each of them gets the one same 401.
async fn is_refused(client: &Client, base: &str, challenge: &str) {
    let mut first: Option<Value> = None;
    for (name, request) in every_request(client, base) {
        let answer = refusal(request).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.body);
        assert_eq!(answer.code(), "unauthenticated", "{name}");
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{name}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
        // Nothing in it tells what there is.
        let problem = answer.json();
        assert_eq!(first.get_or_insert_with(|| problem.clone()), &problem, "{name}");
    }
}

/// A token of this header and these claims with this signature.
fn made_by_hand(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// What no token is, by what is wrong with it: the value of `Authorization`.
fn bad_ones() -> Vec<(&'static str, String)> {
    let good = json!({ "sub": "ada", "exp": from_now(3600), "rooms": { "read": ["*"], "publish": ["*"] } });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        token(claims)
    };
    let signed = sign(&good, SECRET);
    let (unsigned, signature) = signed.rsplit_once('.').expect("a signature");
    let none = json!({ "alg": "none", "typ": "JWT" });
    let mut claims_without_exp = good.clone();
    claims_without_exp.as_object_mut().expect("claims").remove("exp");
    let tokens = [
        (
            "another secret",
            sign(&good, "another secret of more than 32 bytes, too"),
        ),
        ("alg none", made_by_hand(&none, &good, "")),
        ("alg none with a signature", made_by_hand(&none, &good, signature)),
        ("no signature", format!("{unsigned}.")),
        ("half of it", unsigned.to_owned()),
        ("expired", with("exp", from_now(-3600).into())),
        ("expired beyond the leeway", with("exp", from_now(-31).into())),
        ("not valid yet", with("nbf", from_now(3600).into())),
        ("no exp", sign(&claims_without_exp, SECRET)),
        ("exp in words", with("exp", json!("tomorrow"))),
        ("for an audience", with("aud", json!("others"))),
        ("rooms that are none", with("rooms", json!("a"))),
        ("no token at all", "a".to_owned()),
        ("the secret", SECRET.to_owned()),
    ];
    let mut bad: Vec<_> = tokens
        .into_iter()
        .map(|(name, token)| (name, format!("Bearer {token}")))
        .collect();
    bad.push(("another scheme", "Basic YWRhOnNlY3JldA==".to_owned()));
    bad.push(("a good token of another scheme", format!("Token {signed}")));
    bad.push(("no scheme", signed));
    bad
}

#[tokio::test]
async fn without_a_token_everything_is_refused_alike() {
    let (db, relay) = guarded(&["--allow-publish", "--allow-firehose"]).await;
    db.say("a", "private").await;
    is_refused(&relay.client, "", "Bearer").await;
    // What is not private is there for everybody.
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(relay.client.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_base_path_is_no_way_around() {
    let (db, relay) = guarded(&["--base-path", "/live", "--allow-publish", "--allow-firehose"]).await;
    db.say("a", "private").await;
    is_refused(&relay.client, "/live", "Bearer").await;
    assert_eq!(relay.client.get(A).await.status, 404, "it is only there");
    let ada = reader(&relay.client, &["a"]).under("/live");
    assert_eq!(reads(&ada, A).await, super::admitted());
}

#[tokio::test]
async fn a_bad_token_is_refused_and_never_makes_somebody_nobody() {
    let arguments = ["--allow-publish", "--allow-firehose", "--auth-cookie", "session"];
    let more = [
        "--allow-query-token",
        "--max-failed-credentials-per-second",
        "1000000",
    ];
    let (db, relay) = guarded(&[&arguments[..], &more].concat()).await;
    db.say("a", "private").await;
    let good = token(json!({ "rooms": ["*"] }));
    for (name, authorization) in bad_ones() {
        println!("{name}");
        let client = sending(&relay.client, AUTHORIZATION.as_str(), &authorization);
        is_refused(&client, "", "Bearer error=\"invalid_token\"").await;
        // The first that is shown decides: good ones behind it are not looked at.
        let path = format!("{A}?last=1&access_token={good}");
        let request = request(&client, Transport::Poll, &path).header("cookie", format!("session={good}"));
        assert_eq!(refusal(request).await.status, 401, "{name}");
    }
    // The good one is good, and so was what was there to be read.
    let client = sending(&relay.client, AUTHORIZATION.as_str(), &format!("Bearer {good}"));
    assert_eq!(reads(&client, A).await, super::admitted());
    let rows = db.query_one("select count(*) from messages", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1, "nothing was published");
}

#[tokio::test]
async fn a_token_is_good_for_the_leeway_after_its_end() {
    let (db, relay) = guarded(&["--jwt-leeway", "1h"]).await;
    db.say("a", "x").await;
    let expired = |seconds: i64| {
        let claims = json!({ "exp": from_now(-seconds), "rooms": ["a"] });
        super::bearer(&relay.client, claims)
    };
    assert_eq!(reads(&expired(3000), A).await, super::admitted());
    assert_eq!(reads(&expired(3601), A).await, super::unauthenticated());
}

#[tokio::test]
async fn two_tokens_are_none() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let good = format!("Bearer {}", token(json!({ "rooms": ["a"] })));
    let client = sending(&relay.client, AUTHORIZATION.as_str(), &good);
    for transport in Transport::ALL {
        let twice = request(&relay.client, transport, A)
            .header(AUTHORIZATION, &good)
            .header(AUTHORIZATION, &good);
        assert_eq!(super::verdict(twice).await, super::unauthenticated());
    }
    assert_eq!(reads(&client, A).await, super::admitted());
}

#[tokio::test]
async fn nothing_of_a_token_or_ticket_is_in_the_log() {
    for level in ["trace", "rowcast=debug"] {
        let arguments = [
            "--log-level",
            level,
            "--auth-cookie",
            "session",
            "--allow-query-token",
        ];
        let (db, relay) = guarded(&[&arguments[..], &["--allow-publish"]].concat()).await;
        db.say("a", "x").await;
        let claims = json!({ "sub": "ada", "rooms": ["a"], "email": "ada@example.org" });
        let good = token(claims.clone());
        let mut bad = claims;
        bad["exp"] = 1.into();
        let bad = token(bad);
        let client = sending(&relay.client, AUTHORIZATION.as_str(), &format!("Bearer {good}"));
        let spent = ticket(&client, &["a"]).await;
        let (one, other) = (ticket(&client, &["a"]).await, ticket(&client, &["a"]).await);
        for path in [
            format!("{A}?last=1&ticket={spent}"),
            format!("{A}?last=1&ticket={spent}"),
        ] {
            refusal(request(&relay.client, Transport::Poll, &path)).await;
        }
        for transport in Transport::ALL {
            for token in [&good, &bad] {
                let path = format!("{A}?last=1");
                let of_header = request(&relay.client, transport, &path).bearer_auth(token);
                let of_cookie =
                    request(&relay.client, transport, &path).header("cookie", format!("session={token}"));
                let of_query = request(&relay.client, transport, &format!("{path}&access_token={token}"));
                for request in [of_header, of_cookie, of_query] {
                    refusal(request).await;
                }
            }
        }
        let path = format!("{A}?last=1&ticket={one}");
        refusal(request(&relay.client, Transport::EventStream, &path)).await;
        // A path that there is not, and one whose query can't be read, are logged no better.
        for path in [
            format!("/v1/nothing?ticket={other}"),
            format!("{A}?last=x&ticket={other}"),
        ] {
            refusal(request(&relay.client, Transport::Poll, &path)).await;
        }
        eventually(async || !relay.log().is_empty()).await;
        let log = relay.log().join("\n");
        let parts = good.split('.').skip(1).chain(bad.split('.').skip(1));
        for secret in parts.chain([&*spent, &one, &other, SECRET, "ada@example.org"]) {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "at level {level}");
        }
    }
}
