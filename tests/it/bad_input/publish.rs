//! Publish: bodies that are no rows, rows that the table does not take.

use reqwest::Method;
use serde_json::json;

use super::{is, is_well, problem};
use crate::support::{Relay, TestDatabase, attach, database, grant_publishing, run, scene};

const PATH: &str = "/v1/rooms/7/events";

/// A table with every kind of constraint, and a relay that lets clients write to it.
async fn strict() -> (TestDatabase, Relay) {
    let db = database().await;
    run(
        &db,
        "create table strict (
            id bigint generated always as identity primary key, room int not null, must text not null,
            small smallint, positive int check (positive > 0), once text unique, at timestamptz, doc jsonb,
            parent bigint references strict (id), twice int generated always as (positive * 2) stored)",
    )
    .await;
    attach(&db, "'strict', room => 'room'").await;
    grant_publishing(&db).await;
    let relay = Relay::serve(&db.relay_url, &["--allow-publish"]).await;
    (db, relay)
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400() {
    let (_db, mut relay) = strict().await;
    for bad in [
        "",
        "{",
        "{\"must\": }",
        "[]",
        "[{\"must\": \"x\"}]",
        "1",
        "null",
        "\"text\"",
        "{\"must\": \"x\"} {}",
        "\u{feff}{}",
        "{'must': 1}",
    ] {
        let request = relay
            .client
            .request(Method::POST, PATH)
            .header("content-type", "application/json")
            .body(bad);
        assert_eq!(
            problem(&relay.client.send(request).await),
            is(400, "invalid_body"),
            "{bad:?}"
        );
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bytes = [b"{\"must\": \"".to_vec(), vec![0xff, 0xfe], b"\"}".to_vec()].concat();
    for (bad, status) in [(format!("{{\"doc\": {deep}}}").into_bytes(), 422), (bytes, 400)] {
        let request = relay
            .client
            .request(Method::POST, PATH)
            .header("content-type", "application/json")
            .body(bad);
        assert_eq!(problem(&relay.client.send(request).await).0, status);
    }
    assert_eq!(relay.client.get("/health/ready").await.status, 200);
    assert!(relay.is_running());
}

#[tokio::test]
async fn a_row_that_the_table_does_not_take_is_422_and_a_duplicate_409() {
    let (db, relay) = strict().await;
    for bad in [
        json!({}),
        json!({"must": null}),
        json!({"must": "x", "nonsense": 1}),
        json!({"must": "x", "Must": 1}),
        json!({"must": "x", "ctid": "(0,1)"}),
        json!({"must": "x", "": 1}),
        json!({"must": "x", "small": 40000}),
        json!({"must": "x", "small": "many"}),
        json!({"must": "x", "small": [1]}),
        json!({"must": "x", "positive": 0}),
        json!({"must": "x", "at": "yesterday-ish"}),
        json!({"must": "x", "parent": 99}),
        json!({"must": "x", "twice": 4}),
        json!({"must": "x", "id": 5}),
        json!({"must": "nul \u{0}"}),
        json!({"must": "x", "room": 8}),
        json!({"must": "x", "room": null}),
        json!({"must": "x", "nul\u{0}": 1}),
    ] {
        let answer = relay.client.post(PATH, &bad).await;
        assert_eq!(problem(&answer).0, 422, "{bad}: {}", answer.body);
    }
    let row = json!({"must": "x", "once": "only"});
    assert_eq!(relay.client.post(PATH, &row).await.status, 201);
    assert_eq!(problem(&relay.client.post(PATH, &row).await).0, 409);
    let count: i64 = db
        .query_one("select count(*) from strict", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 1);
    // The log has what the client was not told.
    relay.logs("strict_once_key").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let (_db, mut relay) = scene(&["--allow-publish"]).await;
    let body = format!("{{\"body\": \"{}\"}}", "x".repeat(1 << 20));
    let request = relay
        .client
        .request(Method::POST, "/v1/rooms/a/events")
        .header("content-type", "application/json");
    assert_eq!(
        problem(&relay.client.send(request.body(body)).await),
        is(413, "body_too_large")
    );
    let nearly = json!({"body": "x".repeat((1 << 20) - 100)});
    assert_eq!(relay.client.post("/v1/rooms/a/events", &nearly).await.status, 201);
    is_well(&mut relay).await;
}

#[tokio::test]
async fn publishing_is_off_unless_the_operator_allows_it() {
    let (db, relay) = scene(&[]).await;
    for path in ["/v1/rooms/a/events", "/v1/sources/messages/rooms/a/events"] {
        let answer = relay.client.post(path, &json!({"body": "x"})).await;
        assert_eq!(problem(&answer), is(404, "not_found"), "{path}");
    }
    let count: i64 = db
        .query_one("select count(*) from messages", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn names_in_a_body_are_never_sql() {
    let (db, mut relay) = scene(&["--allow-publish"]).await;
    for name in [
        "body\") values ('x'); drop table messages; --",
        "{relation}",
        "body, room",
        "messages.body",
        "$1",
    ] {
        let answer = relay.client.post("/v1/rooms/a/events", &json!({name: "x"})).await;
        assert_eq!(problem(&answer).0, 422, "{name}");
    }
    let count: i64 = db
        .query_one("select count(*) from messages", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
    is_well(&mut relay).await;
}

#[tokio::test]
async fn a_role_that_may_not_insert_is_told_so_without_the_databases_words() {
    let db = crate::support::messages().await;
    let relay = Relay::serve(&db.relay_url, &["--allow-publish"]).await;
    assert_eq!(relay.client.get("/v1/rooms/a/events").await.status, 200);
    let answer = relay
        .client
        .post("/v1/rooms/a/events", &json!({"body": "x"}))
        .await;
    assert_eq!(problem(&answer), is(403, "forbidden"));
}
