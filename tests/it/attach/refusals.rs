//! What attach refuses: each with the reason and the remedy.

use rowcast::pg::in_words;

use super::{attach, attached, findings, role};
use crate::support::{TestDatabase, connect, database, empty_database};

/// Runs `setup`, then attach with `arguments`: it must be refused with this SQLSTATE and these words.
pub async fn refused(setup: &str, arguments: &str, state: &str, words: &[&str]) {
    let db = database().await;
    db.batch_execute(setup).await.expect("set up");
    refused_in(&db, arguments, state, words).await;
}

/// As [`refused`], where the set-up takes a superuser.
async fn refused_to_superuser(setup: &str, arguments: &str, state: &str, words: &[&str]) {
    let db = database().await.into_superusers().await;
    db.batch_execute(setup).await.expect("set up");
    refused_in(&db, arguments, state, words).await;
}

pub async fn refused_in(client: &tokio_postgres::Client, arguments: &str, state: &str, words: &[&str]) {
    let error = attach(client, arguments).await.expect_err("attach is refused");
    let said = in_words(&error);
    assert_eq!(error.code().map(|code| code.code()), Some(state), "{said}");
    for part in words {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(
        error.as_db_error().is_some_and(|e| e.hint().is_some()),
        "no remedy: {said}"
    );
}

pub const T: &str = "create table t (id bigserial primary key, room text);";

#[tokio::test]
async fn a_table_that_is_not_there() {
    refused(
        "",
        "'nowhere', room => 'room'",
        "42P01",
        &["there is no table nowhere", "public.messages"],
    )
    .await;
}

#[tokio::test]
async fn views_and_other_relations() {
    for (made, name, kind) in [
        ("create view v as select * from t", "v", "view"),
        (
            "create materialized view m as select * from t",
            "m",
            "materialized view",
        ),
        ("create sequence s", "s", "sequence"),
        (
            "create foreign data wrapper w; create server w foreign data wrapper w; create foreign table f (id int) server w",
            "f",
            "foreign table",
        ),
    ] {
        refused_to_superuser(
            &format!("{T} {made}"),
            &format!("'{name}', room => 'room'"),
            "42809",
            &[kind, "not a table"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_temporary_table() {
    refused(
        "create temp table t (id serial primary key, room text)",
        "'t', room => 'room'",
        "42809",
        &["temporary"],
    )
    .await;
}

#[tokio::test]
async fn a_partition_alone() {
    let setup = "create table t (id bigserial primary key, room text) partition by range (id);
                 create table t1 partition of t for values from (1) to (1000)";
    refused(
        setup,
        "'t1', room => 'room'",
        "42809",
        &["partition of public.t", "attach public.t"],
    )
    .await;
}

#[tokio::test]
async fn a_foreign_partition() {
    let setup = "create table t (id bigserial, room text) partition by range (id);
                 create foreign data wrapper w; create server w foreign data wrapper w;
                 create foreign table t1 partition of t for values from (1) to (1000) server w";
    refused_to_superuser(
        setup,
        "'t', room => 'room', id => 'id'",
        "55000",
        &["foreign table", "another server"],
    )
    .await;
}

#[tokio::test]
async fn a_table_with_children() {
    refused(
        &format!("{T} create table child () inherits (t)"),
        "'t', room => 'room'",
        "55000",
        &["inherited by public.child"],
    )
    .await;
}

#[tokio::test]
async fn a_table_fed_by_a_subscription() {
    let (publisher, db) = (
        empty_database().await.into_superusers().await,
        database().await.into_superusers().await,
    );
    let slot = &db.name;
    publisher
        .batch_execute(&format!("{T} create publication p for table t"))
        .await
        .expect("publish");
    publisher
        .batch_execute(&format!(
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ))
        .await
        .expect("make a slot");
    let url = &publisher.admin_url;
    db.batch_execute(T).await.expect("make the table");
    db.batch_execute(&format!(
        "create subscription {slot} connection '{url}' publication p with (create_slot = false, slot_name = '{slot}', enabled = false)"
    ))
    .await
    .expect("subscribe");
    refused_in(
        &db,
        "'t', room => 'room'",
        "55000",
        &["fed by a subscription", "on the publisher"],
    )
    .await;
    let journal = "'t', room => 'room', journal => true";
    refused_in(&db, journal, "55000", &["fed by a subscription", "--always"]).await;
    let (owner, theirs) = owner_of(&db, "t").await;
    refused_in(
        &theirs,
        "'t', room => 'room'",
        "55000",
        &["fed by a subscription"],
    )
    .await;
    attached(&db, &format!("{journal}, always => true")).await;
    assert_eq!(findings(&db).await, [""; 0]);
    db.batch_execute(&format!("alter subscription {slot} set (slot_name = none)"))
        .await
        .expect(&owner);
    db.batch_execute(&format!("drop subscription {slot}"))
        .await
        .expect("drop the subscription");
    publisher
        .batch_execute(&format!("select pg_drop_replication_slot('{slot}')"))
        .await
        .expect("drop the slot");
}

/// Gives a table to a new role that may write the registry, and opens a session of it.
async fn owner_of(db: &TestDatabase, table: &str) -> (String, tokio_postgres::Client) {
    let (owner, url) = role(db, "owner").await;
    db.batch_execute(&format!(
        "alter table {table} owner to {owner}; grant usage, create on schema rowcast to {owner};
         grant select, insert, update, delete on rowcast.sources, rowcast.positions to {owner}"
    ))
    .await
    .expect("give it away");
    (owner, connect(&url).await)
}

#[tokio::test]
async fn row_security_that_applies_to_the_role() {
    let db = database().await.into_superusers().await;
    db.batch_execute(&format!("{T} alter table t enable row level security"))
        .await
        .expect("set up");
    let (_, theirs) = owner_of(&db, "t").await;
    attached(&theirs, "'t', room => 'room'").await;
    db.batch_execute("select rowcast.detach('t'); alter table t force row level security")
        .await
        .expect("force");
    refused_in(
        &theirs,
        "'t', room => 'room'",
        "55000",
        &["row security", "bypassrls"],
    )
    .await;
}

#[tokio::test]
async fn a_role_without_rights_on_the_table_or_the_registry() {
    let db = database().await.into_superusers().await;
    db.batch_execute(T).await.expect("set up");
    let (name, url) = role(&db, "weak").await;
    db.batch_execute(&format!(
        "grant usage on schema rowcast to {name}; grant select on rowcast.sources to {name}"
    ))
    .await
    .expect("grant");
    let theirs = connect(&url).await;
    refused_in(
        &theirs,
        "'t', room => 'room'",
        "42501",
        &["may not make triggers on public.t", "role postgres"],
    )
    .await;
    db.batch_execute(&format!("alter table t owner to {name}"))
        .await
        .expect("give");
    refused_in(
        &theirs,
        "'t', room => 'room'",
        "42501",
        &["may not write the registry", "grant create"],
    )
    .await;
}

#[tokio::test]
async fn a_function_that_inserts_need_taken_from_public() {
    for function in [
        "pg_current_xact_id()",
        "pg_sequence_last_value(regclass)",
        "pg_notify(text, text)",
        "pg_notification_queue_usage()",
        "has_sequence_privilege(oid, text)",
    ] {
        refused_to_superuser(
            &format!("{T} revoke execute on function pg_catalog.{function} from public"),
            "'t', room => 'room'",
            "42501",
            &["public may not execute", "grant execute"],
        )
        .await;
    }
}

#[tokio::test]
async fn names_that_can_not_be_a_sources() {
    refused(
        r#"create table "Odd" (id serial primary key, room text)"#,
        r#"'"Odd"', room => 'room'"#,
        "42602",
        &["'Odd' can't be the name", "--source NAME"],
    )
    .await;
    refused(
        T,
        "'t', room => 'room', source => 'a:b'",
        "42602",
        &["1 to 40 characters"],
    )
    .await;
}

#[tokio::test]
async fn a_name_that_another_table_has() {
    let db = database().await;
    let admin = db.admin().await;
    admin
        .batch_execute("create schema s authorization app")
        .await
        .expect("make a schema");
    db.batch_execute(&format!(
        "{T} create table s.t (id serial primary key, room text)"
    ))
    .await
    .expect("set up");
    attached(&db, "'t', room => 'room'").await;
    refused_in(
        &db,
        "'s.t', room => 'room'",
        "42710",
        &["source t is table public.t already", "--source"],
    )
    .await;
    attached(&db, "'s.t', room => 'room', source => 't2'").await;
}

#[tokio::test]
async fn catalogs_and_our_own_tables() {
    refused(
        "",
        "'rowcast.sources', room => 'name'",
        "42809",
        &["no table of an application"],
    )
    .await;
    refused(
        "",
        "'pg_catalog.pg_class', room => 'relname'",
        "42809",
        &["no table of an application"],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_source_is_not_detached() {
    let db = database().await;
    let error = db
        .batch_execute("select rowcast.detach('x')")
        .await
        .expect_err("unknown");
    assert!(
        in_words(&error).contains("there is no source x. None is attached."),
        "{}",
        in_words(&error)
    );
}
