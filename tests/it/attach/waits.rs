//! No wait of attach, detach or uninstall keeps a table's writers or readers waiting for longer than a second.

use rowcast::pg::in_words;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

use super::{attached, source, text, triggers, with_messages};
use crate::support::{TestDatabase, eventually, within};

const INSERT: &str = "insert into messages (room_id) values (1)";

/// A second table, whose attaching stays open in the session that is returned.
async fn attaching_another(db: &TestDatabase) -> Client {
    db.batch_execute("create table other (id serial primary key, room text)")
        .await
        .expect("make");
    let first = db.connect().await;
    first
        .batch_execute(
            "set application_name = 'the deploy'; begin;
             select rowcast.attach('other', room => 'room', never_ring => false)",
        )
        .await
        .expect("attach");
    first
}

/// A session whose transaction looked at the bell and gave the table's lock back with a savepoint.
async fn holds_the_bell(db: &TestDatabase) -> Client {
    let writer = db.connect().await;
    writer
        .batch_execute(&format!(
            "set application_name = 'the shop'; begin; savepoint s; {INSERT}; rollback to s"
        ))
        .await
        .expect("insert");
    let held = "select count(*)::text from pg_locks where relation = 'messages'::regclass";
    assert_eq!(text(db, held).await, "0", "the table's lock was given back");
    writer
}

/// Runs a statement in a session of its own.
async fn start(db: &TestDatabase, sql: &str) -> JoinHandle<Result<(), Error>> {
    let (client, sql) = (db.connect().await, sql.to_owned());
    tokio::spawn(async move { client.batch_execute(&sql).await })
}

/// The error of a call that gave up, which names a session of this application.
async fn gave_up(call: JoinHandle<Result<(), Error>>, application: &str) -> String {
    let error = within(call).await.expect("no panic").expect_err("blocked");
    let said = in_words(&error);
    assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{said}");
    assert!(said.contains(&format!("'{application}'")), "{said}");
    said
}

async fn exists(db: &TestDatabase, relation: &str) -> bool {
    text(
        db,
        &format!("select (to_regclass('{relation}') is not null)::text"),
    )
    .await
        == "true"
}

#[tokio::test]
async fn who_waits_for_another_attach_holds_no_table() {
    for call in [
        "select rowcast.attach('messages', room => 'room_id', never_ring => true)",
        "select rowcast.detach('messages')",
        "select rowcast.uninstall()",
    ] {
        let db = with_messages().await;
        attached(&db, "'messages', room => 'room_id'").await;
        let first = attaching_another(&db).await;
        let second = start(&db, call).await;
        let waits = "select count(*)::text from pg_locks where locktype = 'advisory' and not granted
                     and database = (select oid from pg_database where datname = current_database())";
        eventually(async || text(&db, waits).await == "1" || second.is_finished()).await;
        db.batch_execute(&format!(
            "set lock_timeout = '1ms'; {INSERT}; select from messages; reset lock_timeout"
        ))
        .await
        .expect(call);
        let said = gave_up(second, "the deploy").await;
        assert!(said.contains("another attach, detach or uninstall"), "{said}");
        first.batch_execute("commit").await.expect("commit");
        db.batch_execute(call).await.expect(call);
    }
}

#[tokio::test]
async fn a_bell_that_a_writer_holds_does_not_keep_the_table_from_others() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let writer = holds_the_bell(&db).await;
    within(start(&db, "select rowcast.detach('messages')").await)
        .await
        .expect("no panic")
        .expect("detach");
    assert_eq!(triggers(&db, "messages").await, [""; 0]);
    assert!(
        exists(&db, "rowcast.bell_messages").await,
        "it waits for its writer"
    );
    writer
        .batch_execute(&format!("{INSERT}; commit"))
        .await
        .expect("the writer goes on");

    db.batch_execute("create table other (id serial primary key, room text)")
        .await
        .expect("make");
    attached(&db, "'other', room => 'room'").await;
    assert!(
        !exists(&db, "rowcast.bell_messages").await,
        "the next call drops it"
    );
}

#[tokio::test]
async fn a_bell_that_was_left_serves_the_same_source_again_and_rings() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("select setval('rowcast.bell_messages', 0)")
        .await
        .expect("a relay polls");
    let writer = holds_the_bell(&db).await;
    db.batch_execute("select rowcast.detach('messages')")
        .await
        .expect("detach");
    attached(&db, "'messages', room => 'room_id'").await;
    source(&db).await;
    let flag = "select last_value::text from rowcast.bell_messages";
    assert_eq!(text(&db, flag).await, "1");
    writer.batch_execute("commit").await.expect("commit");
}

#[tokio::test]
async fn uninstall_gives_up_on_a_bell_that_a_writer_holds() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let writer = holds_the_bell(&db).await;
    let said = gave_up(start(&db, "select rowcast.uninstall()").await, "the shop").await;
    assert!(said.contains("schema rowcast is in use"), "{said}");
    writer.batch_execute("commit").await.expect("commit");
    db.batch_execute("select rowcast.uninstall()")
        .await
        .expect("uninstall");
}

/// Dropping a trigger takes more than making one. Who holds the lesser lock and waits for the greater keeps writers out
/// while it waits for readers.
#[tokio::test]
async fn attach_asks_for_its_strongest_lock_at_once() {
    let journal = "changes => '{insert,update,delete}'";
    for (before, change) in [
        ("journal => false", "never_ring => true"),
        ("journal => false", journal),
        (journal, "journal => true"),
        (journal, "changes => '{insert}'"),
    ] {
        asks_at_once(before, change).await;
    }
}

async fn asks_at_once(before: &str, change: &str) {
    let db = with_messages().await;
    attached(&db, &format!("'messages', room => 'room_id', {before}")).await;
    let reader = db.connect().await;
    reader
        .batch_execute("set application_name = 'a report'; begin; select from messages")
        .await
        .expect("read");
    let change = format!("select rowcast.attach('messages', room => 'room_id', {change})");
    let call = start(&db, &change).await;
    let waiter = "select coalesce(string_agg(h.mode, ' '), 'nothing') from pg_locks w
                  left join pg_locks h on h.pid = w.pid and h.granted and h.relation = w.relation and h.mode <> 'AccessShareLock'
                  where w.relation = 'messages'::regclass and not w.granted having count(w.pid) > 0";
    let mut held = None;
    eventually(async || {
        held = db
            .query_opt(waiter, &[])
            .await
            .expect("ask")
            .map(|row| row.get::<_, String>(0));
        held.is_some() || call.is_finished()
    })
    .await;
    assert_eq!(held.as_deref(), Some("nothing"), "{change}");
    gave_up(call, "a report").await;
    reader.batch_execute("commit").await.expect("commit");
    db.batch_execute(&change).await.expect("attach");
}

/// Each of two partitions would be had within a second of its own.
#[tokio::test]
async fn partitions_share_the_second() {
    let db = with_messages().await;
    db.batch_execute(
        "create table t (id bigserial primary key, room text) partition by range (id);
         create table t1 partition of t for values from (1) to (100);
         create table t2 partition of t for values from (100) to (200)",
    )
    .await
    .expect("make");
    let (one, two) = (db.connect().await, db.connect().await);
    for (writer, table) in [(&one, "t1"), (&two, "t2")] {
        writer
            .batch_execute(&format!("begin; lock table {table} in row exclusive mode"))
            .await
            .expect("lock");
    }
    let client = db.connect().await;
    let waiting = tokio::spawn(async move {
        client
            .batch_execute(
                "begin; create temp table begun as select clock_timestamp() as at;
                 do $$ begin perform rowcast.attach('t', room => 'room', never_ring => false);
                       raise 'attached'; exception when lock_not_available then null; end $$",
            )
            .await?;
        client
            .query_one(
                "select (clock_timestamp() - at < interval '1700 ms')::text, current_setting('lock_timeout') from begun",
                &[],
            )
            .await
    });
    let second = "select count(*)::text from pg_locks where relation = 't2'::regclass and not granted";
    let first = "select count(*)::text from pg_locks where relation = 't1'::regclass and not granted";
    eventually(async || text(&db, first).await == "1").await;
    // Most of the second has passed when the first partition is had.
    eventually(async || {
        let waited = "select coalesce(max(clock_timestamp() - waitstart) > interval '800 ms', true)::text
                      from pg_locks where relation = 't1'::regclass and not granted";
        text(&db, waited).await == "true"
    })
    .await;
    one.batch_execute("rollback").await.expect("end");
    eventually(async || text(&db, second).await == "1" || waiting.is_finished()).await;
    let row = within(waiting).await.expect("no panic").expect("it gave up");
    assert_eq!((row.get(0), row.get(1)), ("true", "0"));
}

#[tokio::test]
async fn a_shorter_timeout_of_the_session_holds_and_stays() {
    let db = with_messages().await.into_superusers().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let blocker = db.connect().await;
    blocker
        .batch_execute(&format!("set application_name = 'slow'; begin; {INSERT}"))
        .await
        .expect("insert");
    let call = "begin; set local lock_timeout = '30ms'; set local deadlock_timeout = '100ms';
                do $$ declare begun timestamptz := clock_timestamp(); begin
                    begin
                        perform rowcast.detach('messages');
                    exception when lock_not_available then
                        if clock_timestamp() - begun > interval '900 ms' then raise 'it waited too long'; end if;
                    end;
                    if current_setting('lock_timeout') <> '30ms' then raise 'after the failure: %', current_setting('lock_timeout'); end if;
                end $$;
                commit";
    within(db.batch_execute(call)).await.expect("it keeps to 30 ms");
    blocker.batch_execute("rollback").await.expect("roll back");
    for (call, after) in [
        (
            "attach('messages', room => 'body', never_ring => false)",
            "attach",
        ),
        ("detach('messages')", "detach"),
    ] {
        db.batch_execute("begin; set local lock_timeout = '7s'")
            .await
            .expect("begin");
        db.batch_execute(&format!("select rowcast.{call}"))
            .await
            .expect(after);
        assert_eq!(text(&db, "show lock_timeout").await, "7s", "after {after}");
        db.batch_execute("commit").await.expect("commit");
        assert_eq!(text(&db, "show lock_timeout").await, "0", "after {after}");
    }
}
