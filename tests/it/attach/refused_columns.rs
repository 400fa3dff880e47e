//! What attach refuses of id, room and sent columns.

use super::refusals::{T, refused, refused_in};
use super::{attached, findings, text};
use crate::support::{database, run};

#[tokio::test]
async fn ids_without_a_sequence() {
    for column in [
        "bigint",
        "bigint default 1",
        "bigint default (random() * 1000)::bigint",
    ] {
        let setup = format!("create table t (id {column} primary key, room text)");
        refused(
            &setup,
            "'t', room => 'room'",
            "55000",
            &["draws no ids from a sequence", "as identity"],
        )
        .await;
    }
}

#[tokio::test]
async fn ids_that_an_expression_makes_of_a_sequence() {
    for default in [
        "nextval('s') * 2",
        "nextval('s'::text)",
        "greatest(nextval('s'), 5)",
    ] {
        let setup =
            format!("create sequence s; create table t (id bigint default {default} primary key, room text)");
        refused(
            &setup,
            "'t', room => 'room'",
            "55000",
            &["draws no ids from a sequence"],
        )
        .await;
    }
}

#[tokio::test]
async fn sequences_that_do_not_count_one_by_one_from_1() {
    for (option, words) in [
        ("cache 20", "in blocks (cache 20)"),
        ("increment 2", "steps of 2"),
        ("minvalue -5", "below 1 (minvalue -5)"),
        ("minvalue 0 start 0", "below 1 (minvalue 0)"),
        ("cycle", "begins anew"),
    ] {
        let setup = format!(
            "create table t (id bigint generated always as identity ({option}) primary key, room text)"
        );
        refused(
            &setup,
            "'t', room => 'room'",
            "55000",
            &[words, "alter sequence public.t_id_seq"],
        )
        .await;
    }
}

#[tokio::test]
async fn keys_that_are_not_one_integer() {
    let named = "--id COLUMN";
    refused(
        "create table t (a int, b int, room text, primary key (a, b))",
        "'t', room => 'room'",
        "42P16",
        &["2 columns (a, b)", named],
    )
    .await;
    refused(
        "create table t (id serial, room text)",
        "'t', room => 'room'",
        "42P16",
        &["no primary key", named],
    )
    .await;
    refused(
        "create table t (id uuid primary key, room text)",
        "'t', room => 'room'",
        "42804",
        &["id column id of public.t is of type uuid", named],
    )
    .await;
    refused(
        &format!("create domain d as bigint; {T} alter table t add seq d"),
        "'t', room => 'room', id => 'seq'",
        "42804",
        &["id column seq"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_column() {
    refused(
        T,
        "'t', room => 'Room'",
        "42703",
        &["no column \"Room\"", "It has: id, room"],
    )
    .await;
    refused(T, "'t', room => 'room', id => 'nr'", "42703", &["no column nr"]).await;
    refused(
        T,
        "'t', room => 'room', columns => '{id,body}'",
        "42703",
        &["no column body"],
    )
    .await;
    refused(T, "'t', room => 'ctid'", "42703", &["no column ctid"]).await;
}

#[tokio::test]
async fn no_columns_or_one_twice() {
    refused(
        T,
        "'t', room => 'room', columns => '{}'",
        "22023",
        &["empty or names one twice"],
    )
    .await;
    refused(
        T,
        "'t', room => 'room', columns => '{id,id}'",
        "22023",
        &["empty or names one twice"],
    )
    .await;
}

#[tokio::test]
async fn rooms_of_other_types() {
    let types = "create type mood as enum ('a'); create domain d as text;";
    for room in [
        "char(3)",
        "\"char\"",
        "boolean",
        "numeric",
        "json",
        "timestamptz",
        "mood",
        "d",
        "text[]",
        "name",
    ] {
        let setup = format!("{types} create table t (id serial primary key, room {room})");
        refused(
            &setup,
            "'t', room => 'room'",
            "42804",
            &["room column room of public.t is of type", "add column"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_room_with_a_nondeterministic_collation() {
    let setup = "create collation loose (provider = icu, locale = 'und', deterministic = false);
                 create table t (id serial primary key, room text collate loose)";
    refused(
        setup,
        "'t', room => 'room'",
        "42P21",
        &["nondeterministic collation public.loose"],
    )
    .await;
}

#[tokio::test]
async fn a_column_that_would_be_taken_for_the_row() {
    for further in ["", ", journal => true"] {
        refused(
            "create table t (id serial primary key, room text, rowcast_row text)",
            &format!("'t', room => 'room'{further}"),
            "55000",
            &["rowcast_row of public.t", "rename column rowcast_row"],
        )
        .await;
        // One that comes later is found.
        let db = database().await;
        run(&db, T).await;
        attached(&db, &format!("'t', room => 'room'{further}")).await;
        assert_eq!(findings(&db).await, [""; 0]);
        run(&db, "alter table t add rowcast_row text").await;
        let found = findings(&db).await;
        assert!(
            found.len() == 1 && found[0].contains("rename column"),
            "{found:?}"
        );
        run(&db, "alter table t rename column rowcast_row to row").await;
        assert_eq!(findings(&db).await, [""; 0]);
    }
}

/// PostgreSQL has them from version 18 on.
#[tokio::test]
async fn a_room_that_is_not_stored() {
    let db = database().await;
    let made = db
        .batch_execute(
            "create table t (id serial primary key, kind text, room text generated always as (upper(kind)) virtual)",
        )
        .await;
    if text(&db, "show server_version_num").await.as_str() < "180000" {
        let error = made.expect_err("there is no such column before PostgreSQL 18");
        assert_eq!(error.code().map(|code| code.code()), Some("42601"));
        return;
    }
    made.expect("make the table");
    let stored = "alter table public.t drop column room, add column room text generated always as (upper(kind)) stored;";
    for arguments in [
        "'t', room => 'room'",
        "'t', room => 'room', journal => true",
        "'t', room => 'lower(room)', journal => true",
    ] {
        refused_in(
            &db,
            arguments,
            "55000",
            &["room column room of public.t is a virtual", stored],
        )
        .await;
    }
    run(&db, stored).await;
    attached(&db, "'t', room => 'room'").await;
    // Sent, one does no harm; but an update that changes it alone must be seen.
    run(
        &db,
        "alter table t add half text generated always as (left(kind, 1)) virtual",
    )
    .await;
    attached(&db, "'t', room => 'room', columns => '{id,half}'").await;
    let updates = "'t', room => 'room', changes => '{insert,update}', source => 'updates'";
    refused_in(
        &db,
        &format!("{updates}, columns => '{{id,half}}'"),
        "55000",
        &["column half of public.t is a virtual", "Store it"],
    )
    .await;
    attached(&db, updates).await;
}
