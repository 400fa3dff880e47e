//! Sources with a journal, in the database: what attach makes of which table.

use rowcast::pg::attach::{Attachment, attach as attach_with_report};
use std::time::Duration;

use super::{attached, findings, source, text, triggers};
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
async fn brackets_and_quotes_around_a_column_are_no_expression() {
    for room in ["(room)", "\"room\"", "room"] {
        let db = journal_of(THINGS, &format!("'t', room => '{room}'")).await;
        let plain = text(&db, "select (room_expression is null)::text from rowcast.sources").await;
        assert_eq!(plain, "true", "{room}");
    }
}
