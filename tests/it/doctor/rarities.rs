//! What seldom happens to a source, each broken for real.

use super::{breaks, examine, is_found};
use crate::support::pooler::{PoolMode, Pooler, StartupOptions};
use crate::support::{TestDatabase, attach, messages, run};

/// A partitioned table whose ids come from a sequence by a default, and `messages`.
async fn parted() -> TestDatabase {
    let db = messages().await;
    run(
        &db,
        "create sequence numbers;
         create table parted (id bigint not null default nextval('numbers'), room text, primary key (id, room)) partition by list (room);
         create index on parted (room, id); create table parted_a partition of parted for values in ('a')",
    )
    .await;
    attach(&db, "'parted', room => 'room', id => 'id'").await;
    db
}

/// A table `tasks` with a journal, written by each statement.
async fn tasks() -> TestDatabase {
    let db = messages().await;
    run(
        &db,
        "create table tasks (id bigint generated always as identity primary key, list text, title text);
         create index on tasks (list, id)",
    )
    .await;
    attach(
        &db,
        "'tasks', room => 'list', changes => '{insert,update,delete}', per_statement => true",
    )
    .await;
    db
}

#[tokio::test]
async fn a_partition_that_draws_ids_of_its_own_is_found_and_mended() {
    let db = parted().await;
    let owner = db.connect().await;
    let sql = "create sequence others; alter table parted_a alter id set default nextval('others')";
    breaks(&db, &owner, sql, "partition_sequence", "error").await;
}

#[tokio::test]
async fn a_partition_on_another_server_is_found_and_what_it_keeps_from_being_looked_at() {
    let db = parted().await;
    let admin = db.admin().await;
    // PostgreSQL takes none beside an index that is unique.
    let sql = "alter table parted drop constraint parted_pkey;
               create foreign data wrapper nothing; create server elsewhere foreign data wrapper nothing;
               create foreign table parted_b partition of parted for values in ('b') server elsewhere";
    run(&admin, sql).await;
    let broken = examine(&db.relay_url, &[]).await;
    assert_eq!(broken.first("foreign_partition")["severity"], "error");
    let failed = broken.first("check_failed");
    assert_eq!(
        (&failed["severity"], &failed["source"]),
        (&"warning".into(), &"parted".into()),
        "{failed:#}"
    );
    let others = broken
        .findings
        .iter()
        .filter(|finding| finding["source"] == "messages");
    assert_eq!(
        others.filter(|finding| finding["severity"] == "ok").count(),
        3,
        "{:#?}",
        broken.findings
    );
    for code in ["foreign_partition", "check_failed"] {
        is_found(
            &db,
            &admin,
            "select",
            code,
            "",
            "drop foreign table if exists parted_b",
        )
        .await;
        run(
            &admin,
            "create foreign table parted_b partition of parted for values in ('b') server elsewhere",
        )
        .await;
    }
}

#[tokio::test]
async fn a_journal_that_its_own_roles_can_not_use_is_found_and_mended() {
    let db = tasks().await;
    let admin = db.admin().await;
    for (sql, code) in [
        ("revoke insert on rowcast.journal_tasks from app", "journal_owner"),
        (
            "revoke execute on function rowcast.journal_tasks() from app, public",
            "journal_function",
        ),
    ] {
        breaks(&db, &admin, sql, code, "error").await;
    }
}

#[tokio::test]
async fn what_attach_warned_of_is_a_note() {
    let db = tasks().await;
    let admin = db.admin().await;
    for (sql, code, words, mend) in [
        (
            "create publication everything for all tables",
            "publication_of_all_tables",
            "rowcast.journal_tasks",
            "drop publication everything",
        ),
        (
            "create trigger again after update on tasks for each row execute function rowcast.own_xid()",
            "trigger_after_statement",
            "\"note\"",
            "drop trigger again on tasks",
        ),
    ] {
        is_found(&db, &admin, sql, code, words, mend).await;
    }
}

#[tokio::test]
async fn a_column_that_a_journal_can_not_have_is_found() {
    let db = tasks().await;
    let admin = db.admin().await;
    let sql = "alter table tasks add column rowcast_row text";
    is_found(
        &db,
        &admin,
        sql,
        "reserved_column",
        "rowcast_row",
        "alter table tasks drop column rowcast_row",
    )
    .await;
    let version = admin
        .query_one("show server_version_num", &[])
        .await
        .expect("a version");
    // PostgreSQL has them since 18.
    if version.get::<_, &str>(0) >= "180000" {
        let sql = "alter table tasks add column loud text generated always as (title || '!') virtual";
        is_found(
            &db,
            &admin,
            sql,
            "virtual_column",
            "loud",
            "alter table tasks drop column loud",
        )
        .await;
    }
}

#[tokio::test]
async fn a_time_column_that_is_gone_is_found() {
    let db = messages().await;
    run(
        &db,
        "alter table messages add column at timestamptz default now()",
    )
    .await;
    attach(&db, "'messages', room => 'room', time_column => 'at'").await;
    let admin = db.admin().await;
    assert!(examine(&db.relay_url, &[]).await.of("time_column").is_empty());
    let gone = "alter table messages rename at to since";
    is_found(
        &db,
        &admin,
        gone,
        "time_column",
        "\"warning\"",
        "alter table messages rename since to at",
    )
    .await;
}

#[tokio::test]
async fn a_trigger_that_does_something_else_is_found_and_mended() {
    let db = messages().await;
    let owner = db.connect().await;
    let sql = "drop trigger rowcast_xid_messages on messages;
               create trigger rowcast_xid_messages before insert on messages for each statement
               execute function rowcast.ring('messages')";
    breaks(&db, &owner, sql, "trigger_wrong", "error").await;
}

#[tokio::test]
async fn a_bell_that_is_gone_is_found() {
    let db = messages().await;
    let admin = db.admin().await;
    let mend = "select rowcast.attach('messages', room => 'room', never_ring => false);
                grant select, usage, update on all sequences in schema rowcast to relay;
                grant select on all sequences in schema rowcast to public";
    is_found(
        &db,
        &admin,
        "drop sequence rowcast.bell_messages cascade",
        "bell_gone",
        "rowcast attach",
        mend,
    )
    .await;
}

#[tokio::test]
async fn a_pooler_in_session_mode_that_drops_the_options_of_sessions_is_a_note() {
    let db = messages().await;
    let pooler = Pooler::start_in(PoolMode::Session, StartupOptions::Ignored).await;
    let through = examine(&pooler.url(&db.name), &[]).await;
    assert_eq!(through.first("startup_options")["severity"], "note");
    assert!(
        through.of("pooler").is_empty() && through.of("listen").is_empty(),
        "{:#?}",
        through.findings
    );
    assert_eq!(through.code, 0, "{:#?}", through.findings);
}

/// Each room is one row: an index on the room alone leads there as well, and is the smaller one.
#[tokio::test]
async fn an_index_that_postgresql_does_not_take_is_a_note() {
    let db = messages().await;
    let admin = db.admin().await;
    run(
        &admin,
        "insert into messages (room) select 'room ' || n from generate_series(1, 20000) n;
         create index messages_of_rooms on messages (room);",
    )
    .await;
    run(&admin, "vacuum analyze messages").await;
    is_found(
        &db,
        &admin,
        "select",
        "other_room_index",
        "analyze",
        "drop index messages_of_rooms",
    )
    .await;
}
