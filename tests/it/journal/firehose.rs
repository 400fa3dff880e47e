//! The firehose and NDJSON over a journal: every change of every room, and the rows that have no place in it.

use serde_json::{Value, json};

use crate::support::{Relay, Subscriber, Transport, run};

use super::{journal_of, tasks};

const ALL: &str = "/v1/events?room=*";

/// Of the next events: operation, room and key.
async fn next(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(in_short(&subscriber.next().await));
    }
    events
}

fn in_short(event: &Value) -> String {
    let [op, room, key] = [&event["op"], &event["room"], &event["key"]["id"]];
    format!("{op} {room} {key}").replace('"', "")
}

const CHANGES: &str = "insert into tasks values ('k', 'a', 'one'), ('l', 'b', 'two'), ('n', null, 'nowhere');
     update tasks set title = 'three' where id = 'l';
     update tasks set list = 'c' where id = 'k';
     update tasks set list = 'd' where id = 'n';
     delete from tasks";

#[tokio::test]
async fn the_firehose_brings_every_change_of_every_room() {
    let (db, relay) = tasks("", &["--allow-firehose"]).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, ALL).await;
        // Each statement is read before the next one: what is gone by then would be no event.
        let expected = [
            &["insert a k", "insert b l"][..],
            &["update b l"],
            &["delete a k", "insert c k"],
            &["insert d n"],
        ];
        for (statement, expected) in CHANGES.split(';').zip(expected) {
            run(&db, statement).await;
            assert_eq!(
                next(&mut subscriber, expected.len()).await,
                expected,
                "{transport:?}"
            );
        }
        run(&db, "delete from tasks").await;
        let mut deleted = next(&mut subscriber, 3).await;
        deleted.sort_unstable();
        assert_eq!(
            deleted,
            ["delete b l", "delete c k", "delete d n"],
            "{transport:?}"
        );
    }
}

#[tokio::test]
async fn an_older_cursor_of_the_firehose_is_replayed_from_the_journal() {
    let (db, relay) = tasks("", &["--allow-firehose"]).await;
    let begin = relay.client.get(ALL).await.cursor();
    run(&db, CHANGES).await;
    run(&db, "insert into tasks values ('k', 'a', 'again')").await;
    let fresh = Relay::serve(&db.relay_url, &["--allow-firehose"]).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::resume(&fresh.client, transport, ALL, &begin).await;
        let mut events = next(&mut subscriber, 6).await;
        // The insertion of `k` in `a` finds a row in that room, as it stands now.
        assert_eq!(events.remove(0), "insert a k", "{transport:?}");
        assert_eq!(events.remove(0), "delete a k", "{transport:?}");
        assert_eq!(events.pop().as_deref(), Some("insert a k"), "{transport:?}");
        events.sort_unstable();
        assert_eq!(
            events,
            ["delete b l", "delete c k", "delete d n"],
            "{transport:?}"
        );
    }
}

#[tokio::test]
async fn rows_of_the_table_come_as_lines_without_a_cursor_behind_them() {
    let notes = "create table notes (id bigint primary key, list text, title text);
         insert into notes values (1, 'a', 'one'), (2, null, 'two'), (3, 'b', 'three'), (4, 'c', 'four')";
    let (db, relay) = journal_of(notes, "'notes', room => 'list'", &["--allow-firehose"]).await;
    let mut lines = relay.client.lines(&format!("{ALL}&last=2")).await;
    for (id, list, title) in [(3, "b", "three"), (4, "c", "four")] {
        let row = json!({"id": id, "list": list, "title": title});
        assert_eq!(
            lines.next_line().await.unwrap(),
            json!({"op": "insert", "id": null, "room": list, "key": {"id": id}, "row": row})
        );
    }
    let cursor = lines.control("ready").await;
    run(&db, "update notes set title = 'changed' where id = 1").await;
    let mut resumed = relay.client.lines(&format!("{ALL}&after={cursor}")).await;
    for lines in [&mut lines, &mut resumed] {
        let event = lines.next_row().await;
        assert_eq!((&event["op"], &event["room"]), (&json!("update"), &json!("a")));
    }
    let older = relay.client.get(&format!("{ALL}&before=4&limit=2")).await;
    let keys: Vec<_> = older
        .events()
        .iter()
        .map(|event| event["key"]["id"].clone())
        .collect();
    assert_eq!(keys, [json!(1), json!(3)]);
}
