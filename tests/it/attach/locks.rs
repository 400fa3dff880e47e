//! Good manners: attach and detach wait a second at most, name who blocks them, and try again.

use std::time::Duration;

use rowcast::pg::attach::{AttachError, Attachment, attach, detach, uninstall};

use super::{attached, source, text, triggers, with_messages};
use crate::support::{TestDatabase, eventually, within};

fn messages() -> Attachment {
    Attachment {
        never_ring: Some(false),
        ..Attachment::new("messages", "room_id")
    }
}

/// A session with this application name that has inserted and not committed.
async fn writer(db: &TestDatabase, application: &str) -> tokio_postgres::Client {
    let client = db.connect().await;
    client
        .batch_execute(&format!(
            "set application_name = '{application}'; begin; insert into messages (room_id) values (77)"
        ))
        .await
        .expect("insert");
    client
}

/// Returns once somebody waits for a lock on `messages`.
async fn somebody_waits(db: &TestDatabase) {
    let sql = "select count(*)::text from pg_locks where relation = 'messages'::regclass and not granted";
    eventually(async || text(db, sql).await != "0").await;
}

#[tokio::test]
async fn the_error_names_the_session_that_blocks() {
    let db = with_messages().await;
    let writer = writer(&db, "the shop").await;
    let pid = text(&writer, "select pg_backend_pid()::text").await;
    let error = attach(&db.connect().await, &messages(), Duration::ZERO)
        .await
        .expect_err("blocked");
    assert!(
        matches!(error, AttachError::Blocked { tries: 1, .. }),
        "{error:?}"
    );
    let said = error.to_string();
    for words in [
        &format!("pid {pid}"),
        "'the shop'",
        "idle in transaction",
        "select pg_backend_pid()",
        "public.messages is in use",
    ] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    assert_eq!(triggers(&db, "messages").await, [""; 0]);
}

#[tokio::test]
async fn a_forgotten_prepared_transaction_is_named() {
    let db = with_messages().await;
    let gid = format!("forgotten {}", db.name);
    db.batch_execute(&format!(
        "begin; insert into messages (room_id) values (1); prepare transaction '{gid}'"
    ))
    .await
    .expect("prepare");
    let error = attach(&db.connect().await, &messages(), Duration::ZERO)
        .await
        .expect_err("blocked");
    let said = error.to_string();
    assert!(
        said.contains(&format!("prepared transaction '{gid}' of role app")),
        "{said}"
    );
    db.batch_execute(&format!("rollback prepared '{gid}'"))
        .await
        .expect("roll back");
}

#[tokio::test]
async fn attach_and_detach_succeed_once_the_blocker_ends() {
    let db = with_messages().await;
    let blocker = writer(&db, "slow").await;
    let client = db.connect().await;
    let attaching = tokio::spawn(async move { attach(&client, &messages(), Duration::from_secs(25)).await });
    somebody_waits(&db).await;
    within(db.batch_execute("insert into messages (room_id) values (1)"))
        .await
        .expect("others go on");
    blocker.batch_execute("commit").await.expect("commit");
    within(attaching).await.expect("no panic").expect("attach");
    assert_eq!(source(&db).await.start_id, 2);

    let reader = db.connect().await;
    reader
        .batch_execute("begin; select from messages")
        .await
        .expect("read");
    let client = db.connect().await;
    let detaching = tokio::spawn(async move { detach(&client, "messages", Duration::from_secs(25)).await });
    somebody_waits(&db).await;
    reader.batch_execute("commit").await.expect("commit");
    within(detaching).await.expect("no panic").expect("detach");
    assert_eq!(triggers(&db, "messages").await, [""; 0]);
}

#[tokio::test]
async fn uninstall_leaves_nothing() {
    let db = with_messages().await;
    db.batch_execute("create table other (id serial primary key, room text)")
        .await
        .expect("make");
    attached(&db, "'messages', room => 'room_id'").await;
    attached(&db, "'other', room => 'room'").await;
    let blocker = writer(&db, "slow").await;
    let error = uninstall(&db, Duration::ZERO).await.expect_err("blocked");
    assert!(error.to_string().contains("'slow'"), "{error}");
    blocker.batch_execute("rollback").await.expect("roll back");
    uninstall(&db, Duration::from_secs(25)).await.expect("uninstall");
    for table in ["messages", "other"] {
        assert_eq!(triggers(&db, table).await, [""; 0], "{table}");
    }
    assert_eq!(
        text(
            &db,
            "select count(*)::text from pg_namespace where nspname = 'rowcast'"
        )
        .await,
        "0"
    );
}
