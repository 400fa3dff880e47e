//! Ids that begin anew: every cursor of before is void, and everybody is told.

use crate::support::{Stream, TestDatabase, run, scene};

const PATH: &str = "/v1/rooms/a/events";

/// The stream's next event is a reset with this code; its cursor.
async fn reset(stream: &mut Stream, code: &str) -> String {
    let frame = stream.next_event().await;
    assert_eq!(frame.event.as_deref(), Some("reset"), "{frame:?}");
    assert_eq!(frame.json()["code"], code);
    let cursor = frame.json()["cursor"].as_str().unwrap().to_owned();
    assert_eq!(frame.id.as_deref(), Some(cursor.as_str()));
    cursor
}

async fn a_reset_follows(statement: &str, restarts_ids: bool) {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    let mut stream = relay.client.stream(&format!("{PATH}?last=3")).await;
    assert_eq!(stream.ids(3).await, [1, 2, 3]);
    let old = stream.ready().await;
    let waiting = tokio::spawn(relay.client.get(&format!("{PATH}?wait=60&after={old}")));
    run(&db, statement).await;
    let new = reset(&mut stream, "truncated").await;
    assert_ne!(old.split('.').next(), new.split('.').next());
    stream.ready().await;
    let waited = waiting.await.unwrap();
    // If it was under way before; else its cursor was void already.
    assert_eq!(waited.status, 409);
    assert!(
        ["truncated", "epoch"].contains(&waited.code().as_str()),
        "{}",
        waited.body
    );
    let id = db.say("a", "new").await;
    assert_eq!(id == 1, restarts_ids);
    assert_eq!(stream.ids(1).await, [id]);
    for wait in ["", "&wait=30"] {
        let answer = relay.client.get(&format!("{PATH}?after={old}{wait}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "epoch"));
        let answer = relay
            .client
            .get(&format!("{PATH}?after={}{wait}", waited.cursor()))
            .await;
        assert_eq!(answer.ids(), [id]);
    }
    assert_eq!(relay.client.get(PATH).await.ids(), [id]);
}

#[tokio::test]
async fn truncate_resets_and_what_is_inserted_after_it_arrives() {
    a_reset_follows("truncate messages", false).await;
}

#[tokio::test]
async fn truncate_restart_identity_resets_and_what_is_inserted_after_it_arrives() {
    a_reset_follows("truncate messages restart identity", true).await;
}

#[tokio::test]
async fn a_truncate_and_inserts_in_one_transaction_lose_nothing() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    assert_eq!(relay.client.get(PATH).await.ids().len(), 3);
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(
        &db,
        "begin; truncate messages restart identity; insert into messages (room) values ('a'), ('a'); commit",
    )
    .await;
    let cursor = reset(&mut stream, "truncated").await;
    // Before or after `ready`, they arrive once.
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let frame = stream.next_event().await;
        if frame.event.is_none() {
            ids.push(frame.json()["id"].as_i64().unwrap());
        }
    }
    assert_eq!(ids, [1, 2]);
    assert_eq!(
        relay.client.get(&format!("{PATH}?after={cursor}")).await.ids(),
        [1, 2]
    );
}

#[tokio::test]
async fn a_truncate_that_is_rolled_back_changes_nothing() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(&db, "begin; truncate messages; rollback").await;
    let id = db.say("a", "").await;
    assert_eq!(stream.ids(1).await, [id]);
}

/// The sequence starts over without a TRUNCATE: ids are used again.
async fn a_sequence_set_back(db: &TestDatabase, statements: &str) {
    run(db, &format!("delete from messages; {statements}")).await;
}

#[tokio::test]
async fn a_sequence_that_is_restarted_by_hand_is_a_new_epoch() {
    for statements in [
        "alter sequence messages_id_seq restart",
        "select setval('messages_id_seq', 1, false)",
    ] {
        let (db, relay) = scene(&[]).await;
        db.say_many("a", 5).await;
        let old = relay.client.get(PATH).await.cursor();
        let mut stream = relay.client.resume(PATH, &old).await;
        stream.ready().await;
        a_sequence_set_back(&db, statements).await;
        reset(&mut stream, "truncated").await;
        stream.ready().await;
        let id = db.say("a", "again").await;
        assert_eq!(id, 1);
        assert_eq!(stream.ids(1).await, [1], "{statements}");
        let answer = relay.client.get(&format!("{PATH}?after={old}")).await;
        assert_eq!(answer.code(), "epoch", "{statements}");
    }
}

/// After a restore or a failover, ids may be given out again without anything that shows it.
#[tokio::test]
async fn an_operator_begins_a_new_epoch_and_every_cursor_of_before_is_void() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    let mut stream = relay.client.stream(PATH).await;
    let old = stream.ready().await;

    let begun = db
        .query("select rowcast.begin_epoch()", &[])
        .await
        .expect("it begins");
    let names: Vec<String> = begun.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["messages"]);
    reset(&mut stream, "truncated").await;
    stream.ready().await;
    let id = db.say("a", "of the new epoch").await;
    assert_eq!(stream.ids(1).await, [id]);
    let answer = relay.client.get(&format!("{PATH}?after={old}")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "epoch"));
    assert_eq!(relay.client.get(PATH).await.ids(), [1, 2, 3, id]);

    let refused = db
        .query("select rowcast.begin_epoch('absent')", &[])
        .await
        .unwrap_err();
    let refused = refused.as_db_error().expect("PostgreSQL refuses it");
    assert_eq!(refused.message(), "there is no source absent");
}
