//! A column of the key or the room that goes away: the application goes on, the source says that it is broken, and who
//! subscribes is told that something is missing.

use crate::support::{eventually, run};

use super::{EVENTS, all_said, tasks};

/// Breaks the table, writes, mends it: the subscriber is reset, and what comes after is delivered.
async fn skips_and_resets(breaking: &str, writing: &str, mending: &str) {
    let (db, relay) = tasks("", &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    let cursor = stream.ready().await;
    run(&db, "insert into tasks values ('before', 'a')").await;
    stream.next_row().await;
    run(&db, breaking).await;
    run(&db, writing).await;
    eventually(async || {
        let ready = relay.client.get("/health/ready").await;
        ready.status == 503 && ready.body.contains("column")
    })
    .await;
    run(&db, mending).await;
    loop {
        let frame = stream.next_event().await;
        match frame.event.as_deref() {
            Some("reset") => break,
            None => {}
            Some(other) => panic!("{other}"),
        }
    }
    stream.ready().await;
    run(&db, "insert into tasks (id, list) values ('after', 'a')").await;
    assert_eq!(all_said(&[stream.next_row().await]), ["insert after"]);
    eventually(async || relay.client.get("/health/ready").await.status == 200).await;
    let old = relay.client.get(&format!("{EVENTS}?after={cursor}")).await;
    assert_eq!((old.status.as_u16(), old.code().as_str()), (409, "epoch"));
}

#[tokio::test]
async fn a_renamed_key_column_breaks_the_source_and_not_the_application() {
    skips_and_resets(
        "alter table tasks rename id to code",
        "insert into tasks values ('x', 'a'); update tasks set done = true; delete from tasks where code = 'x'",
        "alter table tasks rename code to id",
    )
    .await;
}

#[tokio::test]
async fn a_renamed_room_column_breaks_the_source_and_not_the_application() {
    skips_and_resets(
        "alter table tasks rename list to place",
        "insert into tasks values ('x', 'a'); update tasks set place = 'b'",
        "alter table tasks rename place to list",
    )
    .await;
}

#[tokio::test]
async fn a_retyped_key_column_breaks_the_source_and_not_the_application() {
    skips_and_resets(
        "alter table tasks alter id type varchar(40)",
        "insert into tasks values ('x', 'a')",
        "alter table tasks alter id type text",
    )
    .await;
}

#[tokio::test]
async fn a_dropped_room_column_breaks_the_source_and_not_the_application() {
    skips_and_resets(
        "alter table tasks drop list",
        "insert into tasks (id) values ('x')",
        "alter table tasks add list text",
    )
    .await;
}
