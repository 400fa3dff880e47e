//! Sources with a journal, in the database: what attach makes, what it refuses, and what becomes of it.

use rowcast::pg::attach::{Attachment, attach as attach_with_report};
use std::time::Duration;

use super::refusals::{T, refused};
use super::{attached, findings, role, source, text, triggers};
use crate::support::{TestDatabase, database, run};

/// All changes.
pub const ALL: &str = "changes => '{insert,update,delete}'";

/// Each kind of trigger, as an argument of attach.
pub const KINDS: [&str; 2] = ["", ", per_statement => true"];

/// A table that only a journal can follow.
pub const THINGS: &str = "create table t (id text primary key, room text, body text);";

/// The table [`THINGS`], with a journal of all changes and these further arguments.
pub async fn things(arguments: &str) -> TestDatabase {
    journal_of(THINGS, &format!("'t', room => 'room'{arguments}")).await
}

/// Tables, one of them attached with all changes.
pub async fn journal_of(tables: &str, arguments: &str) -> TestDatabase {
    let db = database().await;
    run(&db, tables).await;
    attached(&db, &format!("{arguments}, {ALL}")).await;
    db
}

/// What was written into the journal of source `t` since the last call: operation, room and key's column `id`.
pub async fn taken(db: &TestDatabase) -> Vec<String> {
    let sql = "with gone as (delete from rowcast.journal_t returning *)
               select op::text || ' ' || room || ' ' || coalesce(key ->> 'id', key::text) from gone order by id";
    let rows = db.query(sql, &[]).await.expect("take the journal");
    rows.iter().map(|row| row.get(0)).collect()
}

/// How many changes the trigger of source `t` could not read.
pub async fn skipped(db: &TestDatabase) -> String {
    text(
        db,
        "select coalesce(pg_sequence_last_value('rowcast.skips_t'), 0)::text",
    )
    .await
}

/// The relations and functions of journals that there are, sorted.
pub async fn remains(db: &TestDatabase) -> String {
    text(
        db,
        "select coalesce(string_agg(name, ' ' order by name), '') from (
            select relname::text from pg_class where relnamespace = 'rowcast'::regnamespace and relkind in ('r', 'S')
               and relname ~ '^(journal|ids|skips|bell)_'
            union all select proname || '()' from pg_proc where pronamespace = 'rowcast'::regnamespace and prorettype = 'trigger'::regtype
               and proname ~ '^journal_') r (name)",
    )
    .await
}

#[tokio::test]
async fn attach_makes_a_journal_its_function_and_two_triggers_and_again_changes_nothing() {
    let db = things("").await;
    assert_eq!(
        triggers(&db, "t").await,
        ["!rowcast_journal_t", "rowcast_truncate_t"]
    );
    assert_eq!(triggers(&db, "rowcast.journal_t").await, [""; 0]);
    assert_eq!(remains(&db).await, "bell_t ids_t journal_t journal_t() skips_t");
    let row = text(
        &db,
        "select concat_ws(' ', id_sequence, start_id, journal, skip_sequence, key_columns, key_types, room_type, keep_for, keep_rows,
                          pruned_to, skips, id_column is null) from rowcast.sources",
    )
    .await;
    assert_eq!(
        row,
        "rowcast.ids_t 0 rowcast.journal_t rowcast.skips_t {id} {text} text 7 days 0 0 t"
    );
    let before = source(&db).await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    assert_eq!((source(&db).await, findings(&db).await), (before, vec![]));
    let again = Attachment {
        changes: Some(["update", "delete", "insert"].map(str::to_owned).to_vec()),
        never_ring: Some(false),
        ..Attachment::new("t", "room")
    };
    let report = attach_with_report(&db, &again, Duration::ZERO)
        .await
        .expect("attach");
    assert_eq!((report.changes, report.warnings), (vec![], vec![]));
}

#[tokio::test]
async fn the_key_is_the_primary_key_else_the_best_unique_index() {
    for (table, arguments, key, order) in [
        ("id bigint primary key, room text", "", "{id}", "id"),
        ("id smallint primary key, room text", "", "{id}", "id"),
        ("id numeric primary key, room text", "", "{id}", "-"),
        ("a int, b int, room text, primary key (b, a)", "", "{b,a}", "-"),
        (
            "a int, b int not null unique, room text, primary key (a)",
            ", id => 'b'",
            "{b}",
            "b",
        ),
        (
            "a int not null, b uuid not null unique, room text, unique (a, room)",
            "",
            "{b}",
            "-",
        ),
        (
            "a int not null, b int not null, c int not null unique, room text, unique (a, b)); \
             alter table t replica identity using index t_a_b_key; create table other (",
            "",
            "{a,b}",
            "-",
        ),
        // None of these names a row: nullable, deferrable, partial, over an expression.
        (
            "a int unique, b int not null unique deferrable, c text not null, d int not null, e int not null, room text, unique (d, e)); \
             create unique index on t (c) where a > 0; create unique index on t (lower(c)); create table other (",
            "",
            "{d,e}",
            "-",
        ),
    ] {
        let db = database().await;
        run(&db, &format!("create table t ({table})")).await;
        attached(&db, &format!("'t', room => 'room', journal => true{arguments}")).await;
        let found = text(
            &db,
            "select key_columns::text || ' ' || coalesce(id_column, '-') from rowcast.sources",
        )
        .await;
        assert_eq!(found, format!("{key} {order}"), "{table}");
        assert_eq!(findings(&db).await, [""; 0], "{table}");
    }
}

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
        super::refusals::refused_in(&db, &arguments, "42501", &[&name, "rights of role postgres"]).await;
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
async fn brackets_and_quotes_around_a_column_are_no_expression() {
    for room in ["(room)", "\"room\"", "room"] {
        let db = journal_of(THINGS, &format!("'t', room => '{room}'")).await;
        let plain = text(&db, "select (room_expression is null)::text from rowcast.sources").await;
        assert_eq!(plain, "true", "{room}");
    }
}

#[tokio::test]
async fn what_will_hurt_is_said() {
    for (table, arguments, words) in [
        ("create table t (id int primary key, room text)", ", room => 'room'", "no index on (room, id): reading the newest rows"),
        (
            "create table t (id int primary key, room text); create index on t (room, id)",
            ", room => 'lower(room)'",
            "no index on ((lower(room)), id)",
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
            "create table t (id int primary key, room text); create index on t (lower(room), id)",
            ", room => 'lower(room)'",
            "",
        ),
        (
            "create table t (id int primary key, room text); create index on t ((room || 'x'), id)",
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
