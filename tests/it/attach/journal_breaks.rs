//! Whatever becomes of an attached table or of the session that writes it: the application's statements succeed.

use super::inserts::{FORMS, NOTED};
use super::journal::{ALL, KINDS, THINGS, journal_of, skipped, taken, things};
use super::{attach, attached, bells, findings, listener, role, text};
use crate::support::{connect, database, run};

/// Operators and functions that a trigger might take for PostgreSQL's own.
const TRAPS: &str = "create function evil.trap(text, text) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.trap(jsonb, jsonb) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.trap(record, record) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.trap(oid, oid) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.trap(int, int) returns boolean language plpgsql as $$ begin raise 'evil'; end $$;
    create operator evil.= (function = evil.trap, leftarg = text, rightarg = text);
    create operator evil.<> (function = evil.trap, leftarg = text, rightarg = text);
    create operator evil.= (function = evil.trap, leftarg = jsonb, rightarg = jsonb);
    create operator evil.*= (function = evil.trap, leftarg = record, rightarg = record);
    create operator evil.= (function = evil.trap, leftarg = oid, rightarg = oid);
    create operator evil.> (function = evil.trap, leftarg = int, rightarg = int);
    create operator evil.<= (function = evil.trap, leftarg = int, rightarg = int);
    create function evil.jsonb_build_object(text, text) returns jsonb language sql as $$ select '{}'::jsonb $$;
    create function evil.octet_length(text) returns int language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.nextval(regclass) returns bigint language plpgsql as $$ begin raise 'evil'; end $$;
    create function evil.clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'evil'; end $$;
    create domain evil.text as pg_catalog.int4; create domain evil.jsonb as pg_catalog.int4; create domain evil.bool as pg_catalog.int4;
    grant usage on schema evil to public;";

#[tokio::test]
async fn a_role_with_no_right_on_the_schema_and_a_hostile_search_path_is_journaled() {
    for kind in KINDS {
        let db = things(kind).await;
        let (writer, url) = role(&db, "writer").await;
        run(&db.admin().await, "create schema evil authorization app").await;
        run(
            &db,
            &format!("{TRAPS} grant select, insert, update, delete on t to {writer}"),
        )
        .await;
        let (_client, mut heard) = listener(&db).await;
        let theirs = connect(&url).await;
        run(
            &theirs,
            "set search_path = evil, public, pg_catalog; insert into t values ('1', 'a'); update t set body = 'x';
             update t set room = 'b'; delete from t",
        )
        .await;
        assert_eq!(taken(&db).await, ["i a 1", "u a 1", "d a 1", "i b 1", "d b 1"]);
        assert_eq!(bells(&db, &mut heard).await, ["t"]);
        assert_eq!(skipped(&db).await, "0");
        for forbidden in [
            "select from rowcast.journal_t",
            "insert into rowcast.journal_t (op, room, key) values ('i', 'a', '{}')",
        ] {
            theirs.batch_execute(forbidden).await.expect_err(forbidden);
        }
    }
}

/// What happens to a table with a row ('1', 'a', 'x'), statements that must succeed afterwards, and how many are counted as skips
/// by a row trigger.
const BREAKS: [(&str, &str, &str); 8] = [
    (
        "alter table t rename id to nr",
        "insert into t values ('2', 'a'); update t set body = 'y'; delete from t",
        "5",
    ),
    (
        "alter table t rename room to place",
        "insert into t values ('2', 'a'); delete from t where body is null",
        "2",
    ),
    (
        "alter table t drop room",
        "insert into t values ('2', 'x'); update t set body = 'y'; delete from t",
        "5",
    ),
    (
        "alter table t alter id type varchar(20)",
        "insert into t values ('2', 'a'); update t set body = 'y'; delete from t",
        "5",
    ),
    (
        "alter table t alter room type varchar(20)",
        "insert into t values ('2', 'a'); update t set body = 'y'; delete from t",
        "5",
    ),
    (
        "alter table t drop constraint t_pkey, drop id, add id uuid",
        "insert into t values ('a', 'b', null); delete from t",
        "3",
    ),
    (
        "alter table t rename to other",
        "insert into other values ('2', 'a'); update other set body = 'y'; delete from other",
        "0",
    ),
    (
        "alter table t rename body to words; alter table t add more text",
        "insert into t values ('2', 'a'); update t set words = 'y'; delete from t",
        "0",
    ),
];

#[tokio::test]
async fn columns_that_are_renamed_dropped_or_of_another_type_are_skipped_and_counted() {
    for (breaking, writing, skips) in BREAKS {
        for (kind, fresh) in [("", true), ("", false), (KINDS[1], true), (KINDS[1], false)] {
            let db = things(&format!("{kind}, columns => '{{body}}'")).await;
            let old = db.connect().await;
            // The session knows the trigger's plans already.
            run(
                &old,
                "insert into t values ('1', 'a', 'x'); update t set body = 'z'; update t set body = 'x'",
            )
            .await;
            run(&db, breaking).await;
            let writer = if fresh { db.connect().await } else { old };
            run(&writer, writing).await;
            if breaking.contains("rename body") {
                // The column that is sent is gone: what can't be compared counts as changed, row by row.
                assert_eq!(skipped(&db).await == "0", kind.is_empty(), "{breaking}");
                continue;
            }
            if kind.is_empty() {
                assert_eq!(skipped(&db).await, skips, "{breaking} {fresh}");
            } else {
                assert_eq!(skipped(&db).await != "0", skips != "0", "{breaking} {fresh}");
            }
        }
    }
}

#[tokio::test]
async fn a_room_expression_whose_function_is_gone_is_skipped_and_counted() {
    let db = journal_of(
        &format!(
            "{THINGS} create function room_of(text) returns text immutable language sql as 'select $1';"
        ),
        "'t', room => 'room_of(room)'",
    )
    .await;
    run(
        &db,
        "insert into t values ('1', 'a'); drop function room_of(text); insert into t values ('2', 'a')",
    )
    .await;
    assert_eq!(
        (taken(&db).await, skipped(&db).await),
        (vec!["i a 1".to_owned()], "1".to_owned())
    );
}

/// A type of the application's own might cast itself by a function of the application's, with the rights of who attached.
#[tokio::test]
async fn values_of_the_applications_types_are_printed_and_not_cast() {
    let db = database().await;
    run(
        &db,
        "create type mood as enum ('glad'); create table t (id mood primary key, room mood);
         create function trap(mood) returns text language plpgsql as $$ begin raise 'cast'; end $$;
         create function trap_json(mood) returns json language plpgsql as $$ begin raise 'cast'; end $$;
         create cast (mood as text) with function trap(mood); create cast (mood as json) with function trap_json(mood)",
    )
    .await;
    for kind in KINDS {
        attached(&db, &format!("'t', room => 'room', {ALL}{kind}")).await;
        run(&db, "insert into t values ('glad', 'glad'); delete from t").await;
    }
}

#[tokio::test]
async fn a_journals_sequence_that_is_set_back_fails_nothing() {
    for kind in KINDS {
        let db = things(kind).await;
        run(&db, "insert into t values ('1', 'a'), ('2', 'a'); select setval('rowcast.ids_t', 1, false); insert into t values ('3', 'a')").await;
        assert_eq!(taken(&db).await.len(), 3);
    }
}

/// A trigger with an exception block around its write would consume one for each row.
#[tokio::test]
async fn a_thousand_rows_consume_one_transaction_id() {
    for kind in KINDS {
        let db = things(kind).await;
        let next = "select pg_current_xact_id()::text";
        for statement in [
            "insert into t select n, 'a' from generate_series(1, 1000) n",
            "update t set body = 'x'",
            "update t set room = 'b'",
            "delete from t",
            "alter table t rename room to place",
            "insert into t select n, 'a' from generate_series(1, 1000) n",
        ] {
            // Other tests share the server: one quiet attempt shows it.
            let mut least = i64::MAX;
            for _ in 0..20 {
                let before: i64 = text(&db, next).await.parse().expect("a number");
                run(&db, &format!("begin; {statement}; rollback")).await;
                let after: i64 = text(&db, next).await.parse().expect("a number");
                least = least.min(after - before);
                if least == 2 {
                    break;
                }
            }
            assert!(least < 900, "{statement}: {least}");
            run(&db, statement).await;
        }
    }
}

#[tokio::test]
async fn a_publication_of_all_tables_hinders_neither_writers_nor_pruning() {
    let db = things("").await;
    run(&db.admin().await, "create publication everything for all tables").await;
    run(
        &db,
        "alter table t replica identity full; insert into t values ('1', 'a');
         delete from rowcast.journal_t; delete from t",
    )
    .await;
}

#[tokio::test]
async fn replicated_changes_are_journaled_if_attach_was_told_so() {
    let parted = "create table t (id text primary key, room text) partition by list (id);
                  create table t1 partition of t for values in ('1');";
    let db = journal_of(parted, "'t', room => 'room'").await;
    let replica = "set session_replication_role = replica; insert into t values ('1', 'a'); update t1 set room = 'b'; delete from t";
    run(&db.admin().await, replica).await;
    assert_eq!(taken(&db).await, [""; 0]);

    attached(&db, &format!("'t', room => 'room', {ALL}, always => true")).await;
    let (_client, mut heard) = listener(&db).await;
    run(&db.admin().await, replica).await;
    assert_eq!(taken(&db).await, ["i a 1", "d a 1", "i b 1", "d b 1"]);
    assert_eq!(bells(&db, &mut heard).await, ["t"]);
    let before = db.epoch("t").await;
    run(
        &db.admin().await,
        "set session_replication_role = replica; truncate t",
    )
    .await;
    assert!(db.epoch("t").await > before);
    // PostgreSQL before 15 copies the trigger, but not that it always fires.
    run(
        &db,
        "create table t2 partition of t for values in ('2'); alter table t2 disable trigger user",
    )
    .await;
    assert_ne!(findings(&db).await, [""; 0]);
    attached(&db, &format!("'t', room => 'room', {ALL}, always => true")).await;
    assert_eq!(findings(&db).await, [""; 0]);
    run(
        &db.admin().await,
        "set session_replication_role = replica; insert into t2 values ('2', 'a')",
    )
    .await;
    assert_eq!(taken(&db).await, ["i a 2"]);

    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    run(&db.admin().await, replica).await;
    assert_eq!((taken(&db).await, findings(&db).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_source_that_never_rings_lets_transactions_be_prepared() {
    for form in [FORMS[0], "update t set room = 'b'", "delete from t"] {
        let db = database().await;
        run(&db, NOTED).await;
        attach(&db, &format!("'t', room => 'room', {ALL}, never_ring => true"))
            .await
            .expect("attach");
        let gid = &db.name;
        run(
            &db,
            &format!(
                "{}; begin; {form}; prepare transaction '{gid}'",
                FORMS[0].replace("'a'", "'0'")
            ),
        )
        .await;
        run(&db, &format!("commit prepared '{gid}'")).await;
    }
}
