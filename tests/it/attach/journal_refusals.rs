//! What attach refuses where a journal is asked for, each with the reason and the remedy, and what it warns of.

use std::time::Duration;

use rowcast::pg::attach::{Attachment, attach as attach_with_report};

use super::journal::ALL;
use super::refusals::{T, refused, refused_in};
use super::{attached, role, text};
use crate::support::{database, run};

#[tokio::test]
async fn what_a_journal_can_not_have_is_refused() {
    let all = |rest: &str| format!("'t', room => 'room', {ALL}{rest}");
    for (setup, arguments, state, words) in [
        (
            "create table t (id int, room text);",
            all(""),
            "42P16",
            ["has no key", "add column id bigint"],
        ),
        (
            T,
            all(", id => 'room'"),
            "42P16",
            ["has no key in column room", "Make one"],
        ),
        (
            T,
            all(", id => 'nr'"),
            "42703",
            ["no column nr", "It has: id, room"],
        ),
        (T, all(", journal => false"), "22023", ["need a journal", "away"]),
        (
            T,
            "'t', room => 'room', changes => '{upsert}'".to_owned(),
            "22023",
            ["{upsert}", "--changes"],
        ),
        (
            T,
            "'t', room => 'room', changes => '{}'".to_owned(),
            "22023",
            ["{}", "--changes"],
        ),
        (
            T,
            "'t', room => 'room', keep => '1d'".to_owned(),
            "22023",
            ["options of a journal", "--journal"],
        ),
        (
            T,
            "'t', room => 'room', always => true".to_owned(),
            "22023",
            ["options of a journal", "--journal"],
        ),
        (T, all(", keep => 'long'"), "22023", ["'long'", "--keep 7d"]),
        (
            T,
            all(", keep => '0 rows'"),
            "22023",
            ["nothing would be kept", "--keep 7d"],
        ),
        (
            T,
            all(", keep => '-1 day'"),
            "22023",
            ["nothing would be kept", "--keep 7d"],
        ),
        (
            T,
            all(", per_statement => true, always => true"),
            "0A000",
            ["with always", "row trigger"],
        ),
        (
            "create table t (id int primary key, room text) partition by range (id);",
            all(", per_statement => true"),
            "0A000",
            ["a partitioned table", "row trigger"],
        ),
        (
            T,
            format!("'t', room => 'lower(room)', {ALL}, per_statement => true"),
            "0A000",
            ["lower(room)", "row trigger"],
        ),
        (
            T,
            "'t', room => 'lower(room)'".to_owned(),
            "0A000",
            ["is an expression", "--journal"],
        ),
        (
            T,
            format!("'t', room => 'lower(rome)', {ALL}"),
            "42703",
            ["rome", "over one"],
        ),
        (
            T,
            format!("'t', room => 'room || id', {ALL}"),
            "42611",
            ["made of 2 columns", "exactly one"],
        ),
        (
            T,
            format!("'t', room => 'random()::text', {ALL}"),
            "42P17",
            ["not immutable", "over one"],
        ),
        (
            T,
            format!("'t', room => '(select room)', {ALL}"),
            "0A000",
            ["subquery", "over one"],
        ),
        (
            T,
            format!("'t', room => 'md5(''x'')', {ALL}"),
            "42611",
            ["made of 0 columns", "exactly one"],
        ),
        (
            T,
            format!("'t', room => 'room) as a, (room', {ALL}"),
            "42601",
            ["syntax", "over one"],
        ),
        (
            "create table t (id bigserial primary key, room text); create table s () inherits (t);",
            all(""),
            "55000",
            ["is inherited by public.s", "one by one"],
        ),
    ] {
        refused(setup, &arguments, state, &words).await;
    }
}

#[tokio::test]
async fn a_room_that_would_run_anothers_function_is_refused() {
    let db = database().await.into_superusers().await;
    let (name, _url) = role(&db, "other").await;
    run(
        &db,
        &format!(
            "{T} create function theirs(text) returns text immutable language sql as 'select $1';
             alter function theirs(text) owner to {name};
             create function less(text, int) returns text immutable language sql as 'select $1';
             create operator ## (function = less, leftarg = text, rightarg = int); alter function less(text, int) owner to {name}"
        ),
    )
    .await;
    for room in ["theirs(room)", "room ## 1"] {
        let arguments = format!("'t', room => '{room}', {ALL}");
        refused_in(&db, &arguments, "42501", &[&name, "rights of role postgres"]).await;
    }
    run(&db, "alter function theirs(text) owner to postgres").await;
    attached(&db, &format!("'t', room => 'theirs(room)', {ALL}")).await;
    assert_eq!(
        text(
            &db,
            "select room_column || ' ' || room_expression from rowcast.sources"
        )
        .await,
        "room public.theirs(room)"
    );
}

#[tokio::test]
async fn what_will_hurt_is_said() {
    for (table, arguments, words) in [
        ("create table t (id int primary key, room text)", ", room => 'room'", "no index on (room, id): reading the newest rows"),
        (
            "create table t (id int primary key, room text); create index on t (room, id)",
            ", room => 'lower(room)'",
            r#"no index on (((lower(room)) collate pg_catalog."C"), id)"#,
        ),
        // It is compared as the journal has it, byte by byte: PostgreSQL does not take this one.
        (
            "create table t (id int primary key, room text); create index on t (lower(room), id)",
            ", room => 'lower(room)'",
            r#"no index on (((lower(room)) collate pg_catalog."C"), id)"#,
        ),
        (
            "create unlogged table t (id text primary key, room text)",
            ", room => 'room'",
            "a crash of the server empties it, which its subscribers are not told",
        ),
        (
            "create table t (id text primary key, room text); create publication p for all tables",
            ", room => 'room'",
            "publication p publishes all tables: its subscribers fail unless they have table rowcast.journal_t",
        ),
        (
            "create table t (id text primary key, room text);
             create trigger own before update on t for each row execute function suppress_redundant_updates_trigger();
             create trigger again after update on t for each row execute function rowcast.own_xid()",
            ", room => 'room', per_statement => true",
            "trigger again on public.t",
        ),
        ("create table t (id int primary key, room text); create index on t (room, id)", ", room => 'room'", ""),
        (
            "create table t (id int primary key, room text); create index on t (lower(room) collate \"C\", id)",
            ", room => 'lower(room)'",
            "",
        ),
        (
            "create table t (id int primary key, room text); create index on t (((room || 'x') collate \"C\"), id)",
            ", room => 'room || ''x'''",
            "",
        ),
        ("create table t (id text primary key, room text)", ", room => 'room'", ""),
    ] {
        let mut db = database().await;
        if table.contains("for all tables") {
            db = db.into_superusers().await;
        }
        run(&db, table).await;
        let room = arguments
            .split('\'')
            .nth(1)
            .expect("a room")
            .to_owned()
            + if arguments.contains("''x'''") { "'x'" } else { "" };
        let attachment = Attachment {
            changes: Some(vec!["insert".to_owned(), "update".to_owned()]),
            per_statement: Some(arguments.contains("per_statement")),
            never_ring: Some(false),
            ..Attachment::new("t", room)
        };
        let report = attach_with_report(&db, &attachment, Duration::ZERO)
            .await
            .expect("attach");
        let expected = usize::from(!words.is_empty());
        assert_eq!(report.warnings.len(), expected, "{table}: {report:?}");
        assert!(report.warnings.iter().all(|w| w.contains(words)), "{report:?}");
    }
}
