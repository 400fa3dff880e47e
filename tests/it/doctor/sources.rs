//! One source: what is gone, triggers, ids, indexes and privileges.

use super::{breaks, examine, is_found};
use crate::support::{TestDatabase, attach, messages, run};

/// A table `tasks` of edits and deletions, with a journal, and an index for its rooms.
async fn tasks() -> TestDatabase {
    let db = messages().await;
    run(
        &db,
        "create table tasks (id bigint generated always as identity primary key, list text, title text);
              create index tasks_by_list on tasks (list, id)",
    )
    .await;
    attach(
        &db,
        "'tasks', room => 'list', changes => '{insert,update,delete}'",
    )
    .await;
    db
}

#[tokio::test]
async fn triggers_that_are_missing_or_disabled_are_found_and_mended() {
    let db = tasks().await;
    let owner = db.connect().await;
    for (sql, code, severity) in [
        (
            "alter table messages disable trigger rowcast_bell_messages",
            "trigger_disabled",
            "warning",
        ),
        (
            "alter table messages disable trigger rowcast_xid_messages",
            "trigger_disabled",
            "error",
        ),
        (
            "alter table messages enable replica trigger rowcast_xid_messages",
            "trigger_disabled",
            "error",
        ),
        (
            "drop trigger rowcast_truncate_messages on messages",
            "trigger_missing",
            "error",
        ),
        (
            "alter table tasks disable trigger all",
            "trigger_disabled",
            "error",
        ),
        (
            "alter table tasks enable always trigger \"!rowcast_journal_tasks\"",
            "trigger_disabled",
            "error",
        ),
        (
            "drop trigger \"!rowcast_journal_tasks\" on tasks",
            "trigger_missing",
            "error",
        ),
    ] {
        breaks(&db, &owner, sql, code, severity).await;
    }
}

#[tokio::test]
async fn a_partition_without_triggers_is_found_and_mended() {
    let db = messages().await;
    let owner = db.connect().await;
    run(
        &db,
        "create table parted (id bigint generated always as identity, room text, primary key (id, room)) partition by list (room);
         create index on parted (room, id); create table parted_a partition of parted for values in ('a')",
    )
    .await;
    attach(&db, "'parted', room => 'room', id => 'id'").await;
    let noted = examine(&db.relay_url, &[]).await;
    assert_eq!(noted.first("unique_per_partition")["severity"], "note");
    let sql = "create table parted_b partition of parted for values in ('b')";
    // The first of its triggers is the bell's.
    breaks(&db, &owner, sql, "partition_without_triggers", "warning").await;
    breaks(
        &db,
        &owner,
        "drop index parted_room_id_idx",
        "no_room_index",
        "warning",
    )
    .await;
}

#[tokio::test]
async fn sequences_that_do_not_number_rows_one_by_one_are_found() {
    let db = messages().await;
    let admin = db.admin().await;
    for (sql, code, severity) in [
        (
            "alter sequence messages_id_seq cache 20",
            "sequence_settings",
            "error",
        ),
        (
            "alter sequence messages_id_seq increment 2",
            "sequence_settings",
            "error",
        ),
        (
            "insert into messages (id, room) overriding system value values (500, 'a')",
            "ids_above_sequence",
            "warning",
        ),
        (
            "alter sequence messages_id_seq maxvalue 1000; select setval('messages_id_seq', 900)",
            "sequence_nearly_used_up",
            "warning",
        ),
    ] {
        breaks(&db, &admin, sql, code, severity).await;
    }
    assert_eq!(
        examine(&db.relay_url, &[]).await.first("sequence_altered")["severity"],
        "note"
    );
    let seen = "insert into rowcast.positions (source, epoch, high, gap_lows, gap_highs, highest_drawn)
                select name, epoch, 5000, '{}', '{}', 5000 from rowcast.sources";
    is_found(
        &db,
        &admin,
        seen,
        "sequence_set_back",
        "5000",
        "delete from rowcast.positions",
    )
    .await;
    let none = "alter table messages alter id drop identity";
    is_found(&db, &admin, none, "no_sequence", "another sequence",
        "alter table messages alter id add generated always as identity; select rowcast.attach('messages', room => 'room');
         grant select on sequence messages_id_seq to relay").await;
}

#[tokio::test]
async fn indexes_that_do_not_lead_to_what_is_read_are_found_and_mended() {
    let db = tasks().await;
    let admin = db.admin().await;
    for (sql, code, severity) in [
        ("drop index messages_room_id_idx", "no_room_index", "warning"),
        // One that has the room alone sorts all of it.
        (
            "drop index messages_room_id_idx; create index on messages (room)",
            "no_room_index",
            "warning",
        ),
        // PostgreSQL may prefer it in a small table, which is no more than a note.
        (
            "drop index messages_room_idx; drop index messages_room_id_idx",
            "no_room_index",
            "warning",
        ),
        ("drop index tasks_by_list", "no_room_index", "warning"),
        ("drop index rowcast.byroom_tasks", "no_room_index", "warning"),
        ("drop index rowcast.byid_tasks", "no_id_index", "error"),
        (
            "alter table messages drop constraint messages_pkey",
            "no_unique_index",
            "error",
        ),
    ] {
        breaks(&db, &admin, sql, code, severity).await;
    }
    run(&admin, "alter table tasks drop constraint tasks_pkey").await;
    let broken = examine(&db.relay_url, &[]).await;
    assert_eq!(
        (
            broken.of("no_key_index").len(),
            broken.of("no_unique_index").len()
        ),
        (1, 1)
    );
    run(&admin, &broken.remedy("no_key_index")).await;
    assert!(examine(&db.relay_url, &[]).await.of("no_key_index").is_empty());
}

/// The room of a row is an expression, and compared as the journal has it: another index than that on the expression alone.
#[tokio::test]
async fn the_index_for_a_room_that_is_an_expression_is_one_that_postgresql_uses() {
    let db = messages().await;
    let admin = db.admin().await;
    run(
        &db,
        "create table tasks (id bigint generated always as identity primary key, tenant text)",
    )
    .await;
    attach(&db, "'tasks', room => 'lower(tenant)', journal => true").await;
    breaks(&db, &admin, "select", "no_room_index", "warning").await;

    // What attach itself advises serves as well.
    run(&db, "drop index tasks_lower_id_idx").await;
    let said = "select unnest(rowcast.attach_warnings(s)) from rowcast.sources s where name = 'tasks'";
    let advice: String = db.query_one(said, &[]).await.expect("one advice").get(0);
    let (_, statement) = advice.split_once("Make one: ").expect("a statement");
    assert!(examine(&db.relay_url, &[]).await.of("no_room_index").len() == 1);
    run(&db, statement).await;
    assert!(
        examine(&db.relay_url, &[]).await.of("no_room_index").is_empty(),
        "{statement}"
    );
    assert!(
        db.query_opt(said, &[]).await.expect("ask").is_none(),
        "it is content, too"
    );
}

#[tokio::test]
async fn privileges_that_are_missing_are_found_all_at_once_and_mended() {
    let db = tasks().await;
    let admin = db.admin().await;
    for (sql, severity) in [
        (
            "revoke select on messages from relay; revoke select on sequence messages_id_seq from relay;
          revoke update on sequence rowcast.bell_messages from relay",
            "error",
        ),
        (
            "revoke delete on rowcast.journal_tasks from relay; revoke select on sequence rowcast.skips_tasks from relay",
            "error",
        ),
        ("revoke insert, update on rowcast.positions from relay", "!error"),
        ("revoke insert on rowcast.tickets from relay", "!warning"),
        (
            "revoke execute on all functions in schema rowcast from public",
            "!error",
        ),
    ] {
        breaks(&db, &admin, sql, "missing_privilege", severity).await;
    }
    breaks(
        &db,
        &admin,
        "revoke select on sequence rowcast.bell_messages from public",
        "bell_not_public",
        "warning",
    )
    .await;
    let publishing = examine(&db.relay_url, &["--allow-publish"]).await;
    let grants: Vec<&str> = publishing
        .of("missing_privilege")
        .iter()
        .filter_map(|f| f["remedy"].as_str())
        .collect();
    assert_eq!(
        grants,
        [
            "grant insert on public.messages to relay;",
            "grant insert on public.tasks to relay;"
        ]
    );
}

#[tokio::test]
async fn a_table_or_column_that_is_gone_is_found() {
    let db = tasks().await;
    let admin = db.admin().await;
    for (sql, code, words, mend) in [
        (
            "alter table messages rename room to space",
            "column_gone",
            "room column room",
            "alter table messages rename space to room",
        ),
        (
            "alter table tasks rename id to number",
            "column_gone",
            "its id column",
            "alter table tasks rename number to id",
        ),
        (
            "alter table messages alter room type char(9)",
            "column_type",
            "of type character now",
            "alter table messages alter room type text",
        ),
        (
            "alter table messages set unlogged",
            "unlogged",
            "crash",
            "alter table messages set logged",
        ),
        (
            "create table child () inherits (messages)",
            "inheritance_children",
            "child",
            "drop table child",
        ),
        (
            "alter table messages enable row level security; create policy p on messages using (true)",
            "row_security",
            "alter role relay bypassrls",
            "alter table messages disable row level security",
        ),
        (
            "drop table rowcast.journal_tasks cascade",
            "journal_gone",
            "its journal",
            "select rowcast.detach('tasks')",
        ),
    ] {
        is_found(&db, &admin, sql, code, words, mend).await;
    }
    breaks(&db, &admin, "drop table messages", "table_gone", "error").await;
    assert_eq!(
        examine(&db.relay_url, &[]).await.first("nothing_attached")["severity"],
        "note"
    );
}

#[tokio::test]
async fn a_table_that_a_subscription_feeds_is_found() {
    let db = messages().await;
    let admin = db.admin().await;
    let fed = "set allow_system_table_mods = on;
               insert into pg_subscription_rel (srsubid, srrelid, srsubstate) values (1, 'messages'::regclass, 'r')";
    is_found(
        &db,
        &admin,
        fed,
        "subscription",
        "--always",
        "delete from pg_subscription_rel",
    )
    .await;
}

#[tokio::test]
async fn a_question_that_does_not_fit_is_found() {
    let db = messages().await;
    let report = examine(&db.relay_url, &["--authorize-sql", "select 1"]).await;
    let finding = report.first("authorize_sql");
    assert_eq!(
        (&finding["severity"], &finding["source"]),
        (&"error".into(), &"messages".into())
    );
}
