//! Pages: which may post, and what their browsers are told.

use reqwest::Method;
use serde_json::json;

use super::PATH;
use crate::support::{Answer, Relay, scene};

const LISTED: &str = "https://app.example.org";

async fn post(relay: &Relay, origin: Option<&str>) -> Answer {
    let mut request = relay
        .client
        .request(Method::POST, PATH)
        .json(&json!({"body": "x"}));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    relay.client.send(request).await
}

#[tokio::test]
async fn only_listed_origins_and_the_relays_own_may_post() {
    let (db, relay) = scene(&["--allow-publish", "--allow-origin", LISTED]).await;
    let own = relay.url.clone();
    for origin in [None, Some(LISTED), Some(own.as_str())] {
        assert_eq!(post(&relay, origin).await.status, 201, "{origin:?}");
    }
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://app.example.org",
    ] {
        let answer = post(&relay, Some(origin)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (403, "forbidden"),
            "{origin}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let rows = db.query_one("select count(*) from messages", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 3);
}

#[tokio::test]
async fn without_a_list_only_the_relays_own_origin_may_post() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    let own = relay.url.clone();
    assert_eq!(post(&relay, Some(&own)).await.status, 201);
    assert_eq!(post(&relay, Some(LISTED)).await.code(), "forbidden");
}

#[tokio::test]
async fn the_own_origin_is_known_over_http2_as_well() {
    let (_db, relay) = scene(&["--allow-publish"]).await;
    let two = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let two = relay.client.with(two.build().unwrap());
    for (origin, expected) in [(relay.url.as_str(), 201), ("https://evil.example", 403)] {
        let request = two.request(Method::POST, PATH).header("origin", origin);
        let answer = two.send(request.json(&json!({"body": "x"}))).await;
        assert_eq!(answer.status, expected, "{origin}");
    }
}

#[tokio::test]
async fn a_page_whose_name_leads_to_this_machine_is_refused_where_nobody_is_asked_who_they_are() {
    let strange = async |relay: &Relay| {
        let request = relay.client.request(Method::GET, PATH);
        let answer = relay.client.send(request.header("host", "evil.example")).await;
        answer.status.as_u16()
    };
    let (db, relay) = scene(&[]).await;
    assert_eq!(strange(&relay).await, 403);
    for arguments in [
        &["--allow-origin", "http://evil.example"][..],
        &["--trusted-proxies", "127.0.0.1"],
        &["--auth", "none", "--listen", "0.0.0.0:0"],
    ] {
        let relay = Relay::serve(&db.relay_url, arguments).await;
        assert_eq!(strange(&relay).await, 200, "{arguments:?}");
    }
}
