//! Where things stand: sources, the default one, a base path.

use reqwest::Method;

use crate::support::{Relay, Subscriber, TestDatabase, Transport, attach, messages, run, scene};

/// `messages`, and a second source `notes`.
async fn two_tables() -> TestDatabase {
    let db = messages().await;
    run(
        &db,
        "create table notes (id int generated always as identity primary key, owner uuid, note text)",
    )
    .await;
    attach(&db, "'notes', room => 'owner'").await;
    db
}

const OWNER: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

#[tokio::test]
async fn two_sources_are_followed_at_once_and_do_not_mix() {
    let db = two_tables().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    for transport in Transport::ALL {
        let mut said = Subscriber::new(
            &relay.client,
            transport,
            &format!("/v1/sources/messages/rooms/{OWNER}/events"),
        )
        .await;
        let mut noted = Subscriber::new(
            &relay.client,
            transport,
            &format!("/v1/sources/notes/events?room={OWNER}"),
        )
        .await;
        let mut default =
            Subscriber::new(&relay.client, transport, &format!("/v1/rooms/{OWNER}/events")).await;
        run(&db, &format!("insert into notes (owner, note) values ('{OWNER}', 'n'); insert into messages (room, body) values ('{OWNER}', 'm')")).await;
        assert_eq!(said.next().await["row"]["body"], "m", "{transport:?}");
        assert_eq!(noted.next().await["row"]["note"], "n", "{transport:?}");
        assert_eq!(
            default.next().await["row"]["body"],
            "m",
            "the first attached is the default, {transport:?}"
        );
    }
}

#[tokio::test]
async fn the_operator_chooses_the_default_source() {
    let db = two_tables().await;
    let relay = Relay::serve(&db.relay_url, &["--default-source", "notes"]).await;
    run(
        &db,
        &format!("insert into notes (owner, note) values ('{OWNER}', 'n')"),
    )
    .await;
    assert_eq!(
        relay
            .client
            .get(&format!("/v1/rooms/{OWNER}/events"))
            .await
            .events()[0]["row"]["note"],
        "n"
    );
    assert_eq!(
        relay.client.get(&format!("/v1/events?room={OWNER}")).await.ids(),
        [1]
    );
    assert_eq!(
        relay.client.get("/v1/rooms/x/events").await.code(),
        "unknown_room"
    );
}

#[tokio::test]
async fn a_default_source_that_cannot_be_followed_is_not_replaced_by_another() {
    let db = two_tables().await;
    run(&db, "alter table messages rename room to place").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    for path in [
        format!("/v1/rooms/{OWNER}/events"),
        "/v1/sources/messages/rooms/a/events".to_owned(),
    ] {
        let answer = relay.client.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (503, "database_unavailable"),
            "{path}"
        );
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(
        relay
            .client
            .get(&format!("/v1/sources/notes/rooms/{OWNER}/events"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_cursor_of_another_source_is_a_reset() {
    let db = two_tables().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let cursor = relay.client.get("/v1/rooms/a/events").await.cursor();
    let answer = relay
        .client
        .get(&format!("/v1/sources/notes/rooms/{OWNER}/events?after={cursor}"))
        .await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "epoch"));
    assert_eq!(answer.cursor(), format!("{}.0", db.epoch("notes").await));
}

#[tokio::test]
async fn everything_stands_under_the_base_path() {
    let (db, relay) = scene(&["--base-path", "/live/now", "--allow-publish"]).await;
    db.say("a", "").await;
    let under = relay.client.under("/live/now");
    assert_eq!(under.get("/v1/rooms/a/events").await.ids(), [1]);
    assert_eq!(under.get("/v1/events?room=a").await.ids(), [1]);
    assert_eq!(under.get("/v1/sources/messages/rooms/a/events").await.ids(), [1]);
    assert_eq!(under.stream("/v1/rooms/a/events?after=0").await.ids(1).await, [1]);
    assert_eq!(
        under
            .post("/v1/rooms/a/events", &serde_json::json!({}))
            .await
            .status,
        201
    );
    assert_eq!(under.get("/health/ready").await.status, 200);
    for path in [
        "/v1/rooms/a/events",
        "/v1/events?room=a",
        "/live/v1/rooms/a/events",
        "/live/nowhere",
        "/live/now/",
    ] {
        let answer = relay.client.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    let answer = under.send(under.request(Method::PUT, "/v1/rooms/a/events")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (405, "method_not_allowed")
    );
}

#[tokio::test]
async fn health_says_live_and_ready() {
    let (_db, relay) = scene(&[]).await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(relay.client.get(path).await.status, 200, "{path}");
    }
}
