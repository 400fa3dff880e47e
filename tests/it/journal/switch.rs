//! Attached again in another way: a source goes from direct to a journal and back under its subscribers.

use serde_json::json;

use crate::support::{attach, run, scene};

const EVENTS: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn subscribers_are_reset_and_go_on_when_a_source_gets_a_journal_and_when_it_loses_it() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 5).await;
    let mut stream = relay.client.stream(EVENTS).await;
    let direct = stream.ready().await;

    attach(
        &db,
        "'messages', room => 'room', changes => '{insert,update,delete}'",
    )
    .await;
    let reset = stream.next_event().await;
    assert_eq!(
        (reset.event.as_deref(), &reset.json()["code"]),
        (Some("reset"), &json!("truncated"))
    );
    let journal = stream.ready().await;
    run(&db, "update messages set body = 'edited' where id = 3").await;
    let edited = stream.next_row().await;
    assert_eq!(
        (&edited["op"], &edited["id"], &edited["key"]),
        (&json!("update"), &json!(1), &json!({"id": 3}))
    );
    let stale = relay.client.get(&format!("{EVENTS}?after={direct}")).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (409, "epoch"));

    attach(&db, "'messages', room => 'room'").await;
    let reset = stream.next_event().await;
    assert_eq!(
        (reset.event.as_deref(), &reset.json()["code"]),
        (Some("reset"), &json!("truncated"))
    );
    stream.ready().await;
    let id = db.say("a", "again direct").await;
    let inserted = stream.next_row().await;
    assert_eq!((&inserted["id"], inserted.get("key")), (&json!(id), None));
    let stale = relay.client.get(&format!("{EVENTS}?after={journal}")).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (409, "epoch"));
}

#[tokio::test]
async fn a_source_is_switched_to_and_fro_while_it_is_written_and_its_followers_see_what_comes_last() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    let writer = crate::support::connect(&db.app_url).await;
    let writing = tokio::spawn(async move {
        for _ in 0..200 {
            run(&writer, "insert into messages (room, body) values ('a', 'x')").await;
        }
    });
    for changes in [
        "insert,update,delete",
        "insert",
        "insert,delete",
        "insert",
        "insert,update",
    ] {
        attach(
            &db,
            &format!("'messages', room => 'room', changes => '{{{changes}}}'"),
        )
        .await;
    }
    writing.await.expect("no insert fails");
    let last = db.say("a", "the last").await;
    loop {
        let frame = stream.next_event().await;
        match frame.event.as_deref() {
            None if frame.json()["row"]["id"] == json!(last) => break,
            None | Some("reset" | "ready") => {}
            Some(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_truncate_resets_and_what_follows_is_delivered() {
    let (db, relay) = super::tasks("", &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    run(
        &db,
        "insert into tasks values ('x', 'a'); begin; truncate tasks; insert into tasks values ('y', 'a'); commit",
    )
    .await;
    loop {
        let frame = stream.next_event().await;
        if frame.event.as_deref() == Some("reset") {
            assert_eq!(frame.json()["code"], "truncated");
            break;
        }
    }
    stream.ready().await;
    assert_eq!(super::all_said(&[stream.next_row().await]), ["insert y"]);
}

#[tokio::test]
async fn a_journal_is_written_by_statement_and_again_by_row_without_a_reset() {
    let (db, relay) = scene(&[]).await;
    let all = "'messages', room => 'room', changes => '{insert,update,delete}'";
    attach(&db, all).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    // The other kind of trigger needs the other body of the one function, or it would skip what is written.
    for arguments in [format!("{all}, per_statement => true"), all.to_owned()] {
        attach(&db, &arguments).await;
        let id = db.say("a", &arguments).await;
        for (op, statement) in [
            ("insert", "select"),
            ("update", "update messages set body = 'edited'"),
            ("delete", "delete from messages"),
        ] {
            run(&db, statement).await;
            let event = stream.next_row().await;
            assert_eq!(
                (&event["op"], &event["key"]),
                (&json!(op), &json!({"id": id})),
                "{arguments}"
            );
        }
    }
}
