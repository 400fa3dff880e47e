//! `last` and `before`: of a table whose key has an order its newest rows as they stand, else the journal's entries.

use serde_json::{Value, json};

use crate::support::{run, with_query};

use super::{EVENTS, all_said, journal_of, tasks};

const NUMBERED: &str = "create table tasks (id bigint primary key, list text, title text);
     create index on tasks (list, id);
     insert into tasks select n, case n % 2 when 0 then 'a' else 'b' end, n::text from generate_series(1, 20) n";

const ARGUMENTS: &str = "'tasks', room => 'list'";

#[tokio::test]
async fn the_newest_rows_are_those_of_the_table_even_from_before_it_was_attached() {
    let (db, relay) = journal_of(NUMBERED, ARGUMENTS, &[]).await;
    run(&db, "update tasks set title = 'edited' where id = 18").await;
    for path in ["?last=3", "?last=3&wait=20", "?limit=3"] {
        let answer = relay.client.get(&format!("{EVENTS}{path}")).await;
        let events = answer.events();
        assert_eq!(
            events[1],
            json!({"op": "insert", "id": null, "room": "a", "key": {"id": 18},
                   "row": {"id": 18, "list": "a", "title": "edited"}}),
            "{path}"
        );
        assert_eq!(
            all_said(&events),
            ["insert 16", "insert 18", "insert 20"],
            "{path}"
        );
        assert_eq!(answer.json()["more"], false);
        run(&db, "insert into tasks values (-1, 'a')").await;
        let next = relay
            .client
            .get(&with_query(EVENTS, &format!("after={}", answer.cursor())))
            .await;
        assert_eq!(all_said(&next.events()), ["insert -1"], "{path}");
        run(&db, "delete from tasks where id = -1").await;
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_newest_rows_and_goes_on_with_what_comes() {
    let (db, relay) = journal_of(NUMBERED, ARGUMENTS, &[]).await;
    let mut stream = relay.client.stream(&format!("{EVENTS}?last=2")).await;
    for key in [18, 20] {
        let frame = stream.next_event().await;
        assert_eq!(frame.id, None, "it has no place among the journal's entries");
        assert_eq!(frame.json()["key"]["id"], key);
    }
    stream.ready().await;
    run(&db, "update tasks set title = 'x' where id = 2").await;
    assert_eq!(all_said(&[stream.next_row().await]), ["update 2"]);
}

#[tokio::test]
async fn before_scrolls_back_by_key() {
    let (_db, relay) = journal_of(NUMBERED, ARGUMENTS, &[]).await;
    let mut below = 1_000;
    let mut pages = Vec::new();
    loop {
        let answer = relay
            .client
            .get(&format!("{EVENTS}?before={below}&limit=4"))
            .await;
        let events = answer.events();
        pages.push(all_said(&events));
        below = events[0]["key"]["id"].as_i64().unwrap();
        if answer.json()["more"] == false {
            break;
        }
    }
    assert_eq!(
        pages,
        [
            &["insert 14", "insert 16", "insert 18", "insert 20"][..],
            &["insert 6", "insert 8", "insert 10", "insert 12"],
            &["insert 2", "insert 4"]
        ]
    );
    let none = relay.client.get(&format!("{EVENTS}?before=2")).await;
    assert_eq!((none.events().len(), &none.json()["more"]), (0, &json!(false)));
}

#[tokio::test]
async fn several_rooms_have_their_newest_rows_together() {
    let (_db, relay) = journal_of(NUMBERED, ARGUMENTS, &[]).await;
    let answer = relay.client.get("/v1/events?room=a&room=b&last=3").await;
    assert_eq!(
        all_said(&answer.events()),
        ["insert 18", "insert 19", "insert 20"]
    );
}

#[tokio::test]
async fn of_a_limit_and_a_larger_last_the_newest_rows_remain() {
    let (_db, relay) = journal_of(NUMBERED, ARGUMENTS, &[]).await;
    let answer = relay.client.get(&format!("{EVENTS}?last=9&limit=2")).await;
    assert_eq!(all_said(&answer.events()), ["insert 18", "insert 20"]);
    assert_eq!(answer.json()["more"], false);
}

#[tokio::test]
async fn a_room_that_is_too_long_for_a_journal_is_not_listed() {
    let (db, relay) = journal_of(NUMBERED, ARGUMENTS, &["--allow-firehose"]).await;
    run(
        &db,
        "insert into tasks values (30, repeat('x', 1025)), (31, null)",
    )
    .await;
    let answer = relay.client.get("/v1/events?room=*&last=2").await;
    assert_eq!(all_said(&answer.events()), ["insert 19", "insert 20"]);
}

#[tokio::test]
async fn keys_without_an_order_have_the_journals_history() {
    let (db, relay) = tasks("", &[]).await;
    run(
        &db,
        "insert into tasks values ('x', 'a'), ('y', 'a'); update tasks set title = 't' where id = 'x'; delete from tasks where id = 'y'",
    )
    .await;
    let events = relay.client.get(&format!("{EVENTS}?last=3")).await.events();
    // The insertion of y is an entry whose row is gone.
    assert_eq!(all_said(&events), ["update x", "delete y"]);
    let delete = events[1]["id"].as_i64().unwrap();
    let older = relay
        .client
        .get(&format!("{EVENTS}?before={delete}&limit=5"))
        .await;
    assert_eq!(all_said(&older.events()), ["insert x", "update x"]);
}

#[tokio::test]
async fn a_history_does_not_reach_behind_a_truncate() {
    let (db, relay) = tasks("", &[]).await;
    run(
        &db,
        "insert into tasks values ('x', 'a'); delete from tasks; truncate tasks; insert into tasks values ('y', 'a')",
    )
    .await;
    let events = relay.client.get(&format!("{EVENTS}?last=9")).await.events();
    assert_eq!(all_said(&events), ["insert y"]);
    assert_eq!(events[0]["row"]["title"], Value::Null);
}
