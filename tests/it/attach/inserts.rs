//! An attached table's inserts: they can't fail or wait because of the triggers, and own a transaction id before they draw an id.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Client;

use super::{attach, attached, bells, listener, role, source, text, triggers, with_messages};
use crate::support::{connect, database, eventually, own_server, run, within};

const INSERT: &str = "insert into messages (room_id) values (1)";

#[tokio::test]
async fn a_role_with_no_right_on_the_schema_inserts_and_rings() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let (writer, url) = role(&db, "writer").await;
    db.batch_execute(&format!("grant insert on messages to {writer}"))
        .await
        .expect("grant");
    let (_client, mut heard) = listener(&db).await;
    connect(&url).await.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
}

#[tokio::test]
async fn a_hostile_search_path_changes_nothing() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    run(&db.admin().await, "create schema evil authorization app").await;
    db.batch_execute(
        "create function evil.pg_notify(text, text) returns void language plpgsql as $$ begin raise 'evil'; end $$;
         create function evil.lt(float8, float8) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
         create operator evil.< (function = evil.lt, leftarg = float8, rightarg = float8);
         set search_path = evil, pg_catalog, public",
    )
    .await
    .expect("make traps");
    db.batch_execute(INSERT).await.expect("insert");
    db.batch_execute("truncate messages").await.expect("truncate");
}

#[tokio::test]
async fn nothing_rings_while_the_flag_is_0() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let (_client, mut heard) = listener(&db).await;
    db.batch_execute("select setval('rowcast.bell_messages', 0)")
        .await
        .expect("disarm");
    db.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, [""; 0]);
    db.batch_execute("select setval('rowcast.bell_messages', 1)")
        .await
        .expect("arm");
    db.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
}

#[tokio::test]
async fn a_lost_grant_on_the_bell_rings_rather_than_fails() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let (writer, url) = role(&db, "writer").await;
    db.batch_execute(&format!(
        "grant insert on messages to {writer}; revoke all on sequence rowcast.bell_messages from public;
         select setval('rowcast.bell_messages', 0)"
    ))
    .await
    .expect("revoke");
    let (_client, mut heard) = listener(&db).await;
    connect(&url).await.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
}

#[tokio::test]
async fn prepared_transactions_work_since_attach_never_rings_where_they_are_allowed() {
    let db = with_messages().await;
    db.query_one("select rowcast.attach('messages', room => 'room_id')", &[])
        .await
        .expect("attach");
    assert!(source(&db).await.never_ring);
    assert_eq!(
        triggers(&db, "messages").await,
        ["rowcast_truncate_messages", "rowcast_xid_messages"]
    );
    let gid = &db.name;
    for work in [INSERT, "truncate messages"] {
        // Even where the flag is wrong and the grant is lost.
        db.batch_execute("select setval('rowcast.bell_messages', 1); revoke all on sequence rowcast.bell_messages from public")
            .await
            .expect("damage");
        db.batch_execute(&format!("begin; {work}; prepare transaction '{gid}'"))
            .await
            .expect("prepare");
        db.batch_execute(&format!("commit prepared '{gid}'"))
            .await
            .expect("commit");
    }
    attach(&db, "'messages', room => 'room_id', never_ring => false")
        .await
        .expect("let it ring");
    assert!(!source(&db).await.never_ring);
    assert_eq!(triggers(&db, "messages").await.len(), 3);
    db.query_one("select rowcast.attach('messages', room => 'room_id')", &[])
        .await
        .expect("attach again");
    assert!(!source(&db).await.never_ring, "the operator's choice stays");
}

#[tokio::test]
async fn dropping_the_schema_leaves_the_table_working() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("drop schema rowcast cascade")
        .await
        .expect("drop");
    db.batch_execute(INSERT).await.expect("insert");
    db.batch_execute("truncate messages").await.expect("truncate");
    assert_eq!(triggers(&db, "messages").await, [""; 0]);
}

/// PostgreSQL 17 can make the queue small enough to fill; before, it holds 8 GB, and the function is shown a fuller one.
#[tokio::test]
async fn a_notification_queue_that_is_half_full_is_not_rung_into() {
    let db = with_messages().await;
    if text(&db, "show server_version_num").await.as_str() >= "170000" {
        return half_full_in_truth().await;
    }
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute(
        "create table fill (usage float8); insert into fill values (0.5);
         create function public.usage() returns float8 language sql as 'select usage from public.fill';
         do $$ begin execute replace(pg_get_functiondef('rowcast.ring'::regproc),
             'pg_catalog.pg_notification_queue_usage()', 'public.usage()'); end $$",
    )
    .await
    .expect("pretend");
    let (_client, mut heard) = listener(&db).await;
    db.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, [""; 0]);
    db.batch_execute("update fill set usage = 0.49")
        .await
        .expect("empty");
    db.batch_execute(INSERT).await.expect("insert");
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
}

async fn half_full_in_truth() {
    let server = own_server(&[("max_notify_queue_pages", "64")]);
    let url = server.url("postgres");
    rowcast::pg::migrate::migrate(&url).await.expect("migrate");
    let db = connect(&url).await;
    db.batch_execute(super::MESSAGES).await.expect("make the table");
    attached(&db, "'messages', room => 'room_id'").await;
    let idle = connect(&url).await;
    idle.batch_execute("listen other").await.expect("listen");
    idle.batch_execute("begin").await.expect("stand in the way");
    let usage = "select pg_notification_queue_usage()::text";
    eventually(async || {
        db.batch_execute("select pg_notify('other', repeat('x', 7000) || random())")
            .await
            .expect("fill");
        text(&db, usage).await.parse::<f64>().expect("a number") >= 0.5
    })
    .await;
    let before = text(&db, usage).await;
    db.batch_execute(INSERT).await.expect("insert");
    assert_eq!(text(&db, usage).await, before);
}

/// The table's first default notes whether the transaction has an id: it is evaluated before the row's id is drawn.
pub const NOTED: &str = "create table t (
        noted boolean not null default (pg_current_xact_id_if_assigned() is not null),
        id bigint generated by default as identity primary key, room text unique);
    create table source (room text);
    insert into source select 'many ' || n from generate_series(1, 20) n;
    create view plain as select room from t;
    create view instead as select room from t;
    create function place() returns trigger language plpgsql as
        $$ begin insert into public.t (room) values (new.room); return new; end $$;
    create trigger place instead of insert on instead for each row execute function place();
    create view ruled as select room from t;
    create rule ruled as on insert to ruled do instead insert into t (room) values (new.room);
    create table logged (room text);
    create trigger place after insert on logged for each row execute function place();
    create table deferred (room text);
    create constraint trigger place after insert on deferred deferrable initially deferred for each row execute function place();
    create function by_sql() returns void language sql as $$ insert into public.t (room) values ('by sql') $$;
    create function by_plpgsql() returns void language plpgsql as $$ begin execute 'insert into public.t (room) values (''x'')'; end $$;
    create procedure by_procedure() language plpgsql as
        $$ begin insert into public.t (room) values ('a'); commit; insert into public.t (room) values ('b'); end $$;";

pub const FORMS: [&str; 23] = [
    "insert into t (room) values ('a')",
    "insert into t (room) values ('a'), ('b'), ('c')",
    "insert into t default values",
    "insert into t (room) select room from source",
    "insert into t (room) select 'a' returning id",
    "insert into t (room) values ('a') on conflict do nothing",
    "insert into t (room) values ('a') on conflict (room) do update set room = excluded.room || '2'",
    "with new as (insert into t (room) values ('a') returning room) select * from new",
    "with s as (select room from source) insert into t (room) select room from s",
    "with gone as (delete from source where room = 'many 1' returning room) insert into t (room) select room from gone",
    "insert into plain values ('a')",
    "insert into instead values ('a')",
    "insert into ruled values ('a')",
    "insert into logged values ('a')",
    "insert into deferred values ('a')",
    "select by_sql()",
    "select by_plpgsql()",
    "call by_procedure()",
    "do $$ begin insert into t (room) values ('a'); end $$",
    "prepare p as insert into t (room) values ($1); execute p('a')",
    "explain analyze insert into t (room) values ('a')",
    "begin; savepoint a; insert into t (room) values ('a'); rollback to a; insert into t (room) values ('b'); commit",
    "begin isolation level serializable; insert into t (room) values ('a'); commit",
];

#[tokio::test]
async fn every_form_of_insert_owns_a_transaction_id_before_it_draws_an_id() {
    let db = database().await;
    db.batch_execute(NOTED).await.expect("make the tables");
    db.batch_execute(FORMS[0]).await.expect("insert");
    assert_eq!(
        text(&db, "select bool_and(noted)::text from t").await,
        "false",
        "the test tells nothing"
    );
    db.batch_execute("delete from t").await.expect("empty");
    attached(&db, "'t', room => 'room'").await;
    for form in FORMS {
        db.batch_execute(form)
            .await
            .unwrap_or_else(|error| panic!("{form}: {error:?}"));
        all_noted(&db, form).await;
    }
    if text(&db, "show server_version_num").await.as_str() >= "150000" {
        let merge = "merge into t using source on t.room = source.room when not matched then insert (room) values (source.room)";
        db.batch_execute(merge).await.expect(merge);
        all_noted(&db, merge).await;
    }
    let mut copy = pin!(
        db.copy_in::<_, Bytes>("copy t (room) from stdin")
            .await
            .expect("copy")
    );
    within(copy.send(Bytes::from_static(b"a\nb\n")))
        .await
        .expect("send");
    within(copy.finish()).await.expect("finish");
    all_noted(&db, "copy").await;
    db.execute("insert into t (room) values ($1)", &[&"a"])
        .await
        .expect("insert");
    all_noted(&db, "the extended protocol").await;
}

async fn all_noted(db: &Client, form: &str) {
    let noted = text(db, "select coalesce(bool_and(noted)::text, 'no row') from t").await;
    assert_eq!(noted, "true", "{form}");
    db.batch_execute("delete from t").await.expect("empty");
}
