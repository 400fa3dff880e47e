//! What becomes of a source whose table changes under it: it is followed on, or its state says clearly what is wrong.

use crate::support::{run, scene};

use super::{not_ready, ready};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn a_renamed_table_is_followed_on() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let archive = "create schema archive authorization app; grant usage on schema archive to relay";
    run(&db.admin().await, archive).await;
    run(
        &db,
        "alter table messages rename to posts; alter table posts set schema archive",
    )
    .await;
    run(&db, "insert into archive.posts (room) values ('a')").await;
    assert_eq!(stream.ids(1).await, [1]);
    ready(&relay).await;
    assert_eq!(relay.client.get(&format!("{PATH}?after=0")).await.ids(), [1]);
    assert_eq!(
        relay
            .client
            .get("/v1/sources/messages/rooms/a/events")
            .await
            .ids(),
        [1]
    );
}

/// A change that breaks the source, and one that mends it. The stream stays open and misses nothing.
async fn breaks_and_recovers(breaking: &str, mending: &str, reason: &str) {
    let (db, mut relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    let cursor = stream.ready().await;
    run(&db, breaking).await;
    not_ready(&relay, reason).await;
    let answer = relay.client.get(&format!("{PATH}?after={cursor}")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "database_unavailable")
    );
    assert!(answer.header("retry-after").is_some());
    assert!(stream.next_raw().await.unwrap().starts_with(':'), "a heartbeat");
    run(&db, mending).await;
    let id = db.say("a", "after").await;
    assert_eq!(stream.ids(1).await, [id]);
    ready(&relay).await;
    assert_eq!(
        relay.client.get(&format!("{PATH}?after={cursor}")).await.ids(),
        [id]
    );
    assert!(relay.is_running());
}

#[tokio::test]
async fn a_renamed_room_column_breaks_the_source_until_it_is_renamed_back() {
    breaks_and_recovers(
        "alter table messages rename room to place",
        "alter table messages rename place to room",
        "room",
    )
    .await;
}

#[tokio::test]
async fn a_renamed_id_column_breaks_the_source_until_it_is_renamed_back() {
    breaks_and_recovers(
        "alter table messages rename id to number",
        "alter table messages rename number to id",
        "id",
    )
    .await;
}

#[tokio::test]
async fn a_dropped_table_is_a_clear_state_and_no_crash() {
    let (db, mut relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    let cursor = stream.ready().await;
    run(&db, "drop table messages").await;
    not_ready(&relay, "gone").await;
    assert!(stream.next_raw().await.unwrap().starts_with(':'), "a heartbeat");
    assert_eq!(relay.client.get(PATH).await.status, 503);
    assert!(relay.is_running());
    assert!(
        relay.log().iter().filter(|line| line.contains("WARN")).count() < 10,
        "it does not flood the log"
    );
    // Made anew and attached again, it is followed without a restart.
    run(&db, crate::support::MESSAGES).await;
    crate::support::attach(&db, "'messages', room => 'room'").await;
    ready(&relay).await;
    let id = db.say("a", "").await;
    let reset = stream.next_event().await;
    assert_eq!(reset.event.as_deref(), Some("reset"), "{reset:?}");
    let mut frame = stream.next_event().await;
    while frame.event.as_deref() == Some("ready") {
        frame = stream.next_event().await;
    }
    assert_eq!(frame.json()["id"], id);
    assert_eq!(
        relay.client.get(&format!("{PATH}?after={cursor}")).await.code(),
        "epoch"
    );
}

#[tokio::test]
async fn a_column_that_is_added_or_rewritten_does_not_disturb() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    db.say("a", "1").await;
    assert_eq!(stream.ids(1).await, [1]);
    run(&db, "alter table messages add column mood text default 'fine'").await;
    db.say("a", "2").await;
    assert_eq!(stream.next_row().await["row"]["mood"], "fine");
    run(&db, "alter table messages alter column body type varchar(10)").await;
    db.say("a", "3").await;
    assert_eq!(stream.ids(1).await, [3]);
    run(&db, "vacuum full messages").await;
    db.say("a", "4").await;
    assert_eq!(stream.ids(1).await, [4]);
    assert_eq!(
        relay.client.get(&format!("{PATH}?after=0")).await.ids(),
        [1, 2, 3, 4]
    );
}

#[tokio::test]
async fn a_privilege_that_is_revoked_breaks_the_source_until_it_is_granted_again() {
    let (db, relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(&db, "revoke select on messages from relay").await;
    not_ready(&relay, "messages").await;
    db.say("a", "unseen for now").await;
    run(&db, "grant select on messages to relay").await;
    assert_eq!(stream.ids(1).await, [1]);
    ready(&relay).await;
}

#[tokio::test]
async fn row_security_that_applies_to_the_relay_is_a_broken_source_not_silence() {
    let (db, relay) = scene(&["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    let cursor = stream.ready().await;
    run(&db, "create policy few on messages using (body = 'public'); alter table messages enable row level security").await;
    db.say("a", "private").await;
    not_ready(&relay, "row security").await;
    assert_eq!(
        relay.client.get(&format!("{PATH}?after={cursor}")).await.status,
        503
    );
    run(&db, "alter table messages disable row level security").await;
    assert_eq!(stream.ids(1).await, [1]);
}
