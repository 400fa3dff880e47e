//! What is delivered: operation, number, room, key, and the row as it stands.

use serde_json::{Value, json};

use crate::support::{Subscriber, Transport, run};

use super::{EVENTS, all_said, journal_of, said, tasks};

/// The next `count` events in short.
async fn next(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(said(&subscriber.next().await));
    }
    events
}

#[tokio::test]
async fn insert_update_and_delete_reach_every_transport() {
    let (db, relay) = tasks("", &[]).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, EVENTS).await;
        run(&db, "insert into tasks values ('k', 'a', 'one')").await;
        let inserted = subscriber.next().await;
        run(&db, "update tasks set title = 'two'").await;
        let updated = subscriber.next().await;
        run(&db, "delete from tasks").await;
        let deleted = subscriber.next().await;
        let first = inserted["id"].as_i64().unwrap();
        let row = |title: &str| json!({"id": "k", "list": "a", "title": title, "done": false});
        assert_eq!(
            inserted,
            json!({"op": "insert", "id": first, "room": "a", "key": {"id": "k"}, "row": row("one")})
        );
        assert_eq!(
            updated,
            json!({"op": "update", "id": first + 1, "room": "a", "key": {"id": "k"}, "row": row("two")})
        );
        assert_eq!(
            deleted,
            json!({"op": "delete", "id": first + 2, "room": "a", "key": {"id": "k"}, "row": null})
        );
    }
}

#[tokio::test]
async fn a_row_that_moves_leaves_one_room_and_enters_the_other() {
    let (db, relay) = tasks("", &[]).await;
    let mut old = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    let mut new = Subscriber::new(&relay.client, Transport::LongPoll, "/v1/rooms/b/events").await;
    run(&db, "insert into tasks values ('k', 'a', 'secret of a')").await;
    assert_eq!(next(&mut old, 1).await, ["insert k"]);
    run(&db, "update tasks set list = 'b', title = 'secret of b'").await;
    let (left, entered) = (old.next().await, new.next().await);
    assert_eq!((said(&left), &left["row"]), ("delete k".to_owned(), &Value::Null));
    assert_eq!(said(&entered), "insert k");
    assert_eq!(entered["row"]["title"], "secret of b");
}

#[tokio::test]
async fn a_row_that_moved_before_it_was_read_is_not_shown_in_the_room_it_left() {
    let (db, relay) = tasks("", &[]).await;
    let mut old = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "begin; insert into tasks values ('k', 'a', 'x'); update tasks set title = 'y', list = 'b'; commit;
         insert into tasks values ('end', 'a')",
    )
    .await;
    // The insertion's row is in another room by now; what stands there is none of this room's business.
    assert_eq!(next(&mut old, 2).await, ["delete k", "insert end"]);
    let replayed = relay.client.get(&format!("{EVENTS}?after=0")).await.events();
    assert_eq!(all_said(&replayed), ["delete k", "insert end"]);
}

#[tokio::test]
async fn an_event_carries_the_row_as_it_stands_when_it_is_read() {
    let (db, relay) = tasks("", &[]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "begin; insert into tasks values ('k', 'a', 'first'); update tasks set title = 'last'; commit",
    )
    .await;
    for op in ["insert", "update"] {
        let event = subscriber.next().await;
        assert_eq!(
            (&event["op"], &event["row"]["title"]),
            (&json!(op), &json!("last"))
        );
    }
}

#[tokio::test]
async fn a_row_that_is_gone_is_only_deleted() {
    let (db, relay) = tasks("", &[]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "begin; insert into tasks values ('k', 'a'); update tasks set done = true; delete from tasks; commit;
         insert into tasks values ('end', 'a')",
    )
    .await;
    assert_eq!(next(&mut subscriber, 2).await, ["delete k", "insert end"]);
}

#[tokio::test]
async fn a_page_of_a_replay_that_is_all_rows_which_are_gone_is_not_its_end() {
    let (db, relay) = tasks("", &[]).await;
    run(
        &db,
        "insert into tasks select n::text, 'a' from generate_series(1, 1200) n;
         delete from tasks where id::int <= 1100",
    )
    .await;
    let path = format!("{EVENTS}?after=0");
    let mut stream = relay.client.stream(&path).await;
    assert_eq!(stream.next_row().await["key"]["id"], "1101");
    let mut cursor = "0".to_owned();
    let mut polled = Vec::new();
    loop {
        let answer = relay
            .client
            .get(&format!("{EVENTS}?after={cursor}&limit=7"))
            .await;
        polled.extend(all_said(&answer.events()));
        cursor = answer.cursor();
        if answer.json()["more"] == false {
            break;
        }
    }
    assert_eq!((polled.len(), polled[0].as_str()), (1200, "insert 1101"));
    assert_eq!(polled[100], "delete 1");
}

#[tokio::test]
async fn a_change_of_columns_that_are_not_sent_is_no_event() {
    let (db, relay) = tasks(", columns => '{title,id}'", &[]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "insert into tasks values ('k', 'a', 'one');
         update tasks set done = true;
         update tasks set title = 'two';",
    )
    .await;
    assert_eq!(
        subscriber.next().await["row"].to_string(),
        r#"{"id":"k","title":"two"}"#
    );
    run(&db, "insert into tasks values ('end', 'a')").await;
    assert_eq!(next(&mut subscriber, 2).await, ["update k", "insert end"]);
}

#[tokio::test]
async fn a_row_that_is_too_large_comes_without_its_contents() {
    let (db, relay) = tasks("", &["--max-event-bytes", "1000"]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(&db, "insert into tasks values ('k', 'a', repeat('x', 2000))").await;
    let event = subscriber.next().await;
    assert_eq!((&event["row"], &event["truncated"]), (&Value::Null, &json!(true)));
    assert_eq!(event["key"], json!({"id": "k"}));
}

#[tokio::test]
async fn only_the_changes_that_were_asked_for_are_events() {
    let db = crate::support::database().await;
    run(&db, super::TASKS).await;
    crate::support::attach(&db, "'tasks', room => 'list', changes => '{delete}'").await;
    let relay = crate::support::Relay::serve(&db.relay_url, &[]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "insert into tasks values ('k', 'a'); update tasks set done = true; delete from tasks",
    )
    .await;
    assert_eq!(next(&mut subscriber, 1).await, ["delete k"]);
}

#[tokio::test]
async fn a_published_row_is_told_by_its_key_and_its_events_number() {
    let (db, relay) = journal_of(
        "create table tasks (id uuid primary key default gen_random_uuid(), list text, title text)",
        "'tasks', room => 'list'",
        &["--allow-publish"],
    )
    .await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    let answer = relay.client.post(EVENTS, &json!({"title": "x"})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let event = subscriber.next().await;
    let published = answer.json();
    assert_eq!(
        (&published["id"], &published["key"], &published["room"]),
        (&event["id"], &event["key"], &event["room"])
    );
    assert!(published["id"].is_i64());
    drop(db);
}
