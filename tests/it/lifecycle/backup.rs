//! Backup and restore: what `pg_dump` took along is followed again, and cursors of before get the reset that docs/operations.md
//! promises.

use crate::support::dump::{self, Format};
use crate::support::{Relay, TestDatabase, attach, empty_database, messages, run};

use super::ready;

const MESSAGES: &str = "/v1/sources/messages/rooms/a/events";
const TASKS: &str = "/v1/sources/tasks/rooms/a/events";

/// A source that is followed itself, and one with a journal, with rows that a relay has delivered; and a cursor of each.
async fn delivered() -> (TestDatabase, [(&'static str, String); 2]) {
    let db = messages().await;
    run(
        &db,
        "create table tasks (id bigint generated always as identity primary key, list text, done bool default false)",
    )
    .await;
    attach(
        &db,
        "'tasks', room => 'list', changes => '{insert,update,delete}'",
    )
    .await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut streams = [
        relay.client.stream(MESSAGES).await,
        relay.client.stream(TASKS).await,
    ];
    for stream in &mut streams {
        stream.ready().await;
    }
    db.say_many("a", 3).await;
    run(
        &db,
        "insert into tasks (list) values ('a'), ('a'); update tasks set done = true",
    )
    .await;
    for (stream, count) in streams.iter_mut().zip([3, 4]) {
        stream.ids(count).await;
    }
    let mut cursors = Vec::new();
    for path in [MESSAGES, TASKS] {
        cursors.push((path, relay.client.get(path).await.cursor()));
    }
    (db, cursors.try_into().expect("two"))
}

#[tokio::test]
async fn a_dump_that_is_restored_is_followed_and_cursors_of_before_are_reset() {
    let (db, cursors) = delivered().await;
    for (by, format) in [(&db.app_url, Format::Plain), (&db.admin_url, Format::Custom)] {
        let Some(dump) = dump::of(&db, by, format).await else {
            return;
        };
        let copy = empty_database().await;
        // As whoever dumped it: the application's role needs no superuser for either.
        let into = if by == &db.app_url {
            &copy.app_url
        } else {
            &copy.admin_url
        };
        dump.restore(into).await;

        let relay = Relay::serve(&copy.relay_url, &[]).await;
        ready(&relay).await;
        for (path, cursor) in &cursors {
            let refused = relay.client.get(&format!("{path}?after={cursor}")).await;
            assert_eq!(
                (refused.status.as_u16(), refused.code().as_str()),
                (409, "epoch"),
                "{path}"
            );
            let mut stream = relay.client.resume(path, cursor).await;
            let reset = stream.next_event().await;
            assert_eq!(reset.event.as_deref(), Some("reset"), "{path}");
            assert!(reset.data.unwrap_or_default().contains("\"epoch\""), "{path}");
        }
        let mut stream = relay.client.stream(MESSAGES).await;
        stream.ready().await;
        let mut changes = relay.client.stream(TASKS).await;
        changes.ready().await;
        assert_eq!(copy.say("a", "after").await, 4, "its sequence goes on");
        assert_eq!(stream.ids(1).await, [4]);
        run(&copy, "update tasks set done = false where id = 1").await;
        assert_eq!(changes.ids(1).await, [5], "its journal goes on");
        assert_eq!(
            relay.client.get(&format!("{MESSAGES}?last=10")).await.ids(),
            [1, 2, 3, 4]
        );
    }
}
