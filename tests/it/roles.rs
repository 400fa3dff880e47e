//! The roles of README.md: what the relays' may not do, and what is said where a grant is missing. That its grants suffice
//! is what every other test says.

use serde_json::Value;
use tokio_postgres::Client;

use crate::support::relay::run as run_rowcast;
use crate::support::roles::role_of_the_relay;
use crate::support::{
    Relay, TestDatabase, attach, connect, database, empty_database, eventually, grant_attached, messages,
    role, run, scene,
};

const PATH: &str = "/v1/rooms/a/events";

/// A statement that PostgreSQL must refuse for want of a privilege.
async fn is_denied(client: &Client, sql: &str) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("42501"),
        "{sql}: {error:?}"
    );
}

/// What `/health/ready` says, once it contains `words`.
async fn health_with(relay: &Relay, words: &str) -> Value {
    let mut health = Value::Null;
    eventually(async || {
        health = relay.client.get("/health/ready").await.json();
        health.to_string().contains(words)
    })
    .await;
    health
}

/// Waits until all is well again, without a remark.
async fn all_is_well(relay: &Relay) {
    eventually(async || {
        let answer = relay.client.get("/health/ready").await;
        answer.status == 200 && answer.json()["notes"] == serde_json::json!([])
    })
    .await;
}

#[tokio::test]
async fn the_relays_role_reads_what_is_attached_and_can_do_nothing_else() {
    let db = messages().await;
    run(
        &db,
        "create table secrets (id bigint generated always as identity primary key, room text)",
    )
    .await;
    let relay = connect(&db.relay_url).await;
    run(&relay, "select from messages").await;
    for forbidden in [
        "insert into messages (room) values ('a')",
        "update messages set body = 'x'",
        "delete from messages",
        "truncate messages",
        "alter table messages disable trigger all",
        "drop table messages",
        "select nextval('messages_id_seq')",
        "select from secrets",
        "insert into secrets (room) values ('a')",
        "select last_value from secrets_id_seq",
        "create table mine (id int)",
        "create schema mine",
        "create table rowcast.mine (id int)",
        "create function rowcast.mine() returns int language sql as 'select 1'",
        "create or replace function rowcast.ring() returns trigger language plpgsql as 'begin return null; end'",
        "alter table rowcast.sources add column mine int",
        "create role mine",
        "set role app",
        "set session authorization app",
        "select pg_read_file('/etc/passwd')",
        "copy messages to program 'true'",
        "select rowcast.attach('messages', room => 'room', never_ring => true)",
        "select rowcast.attach('secrets', room => 'room')",
        "select rowcast.attach('secrets', room => 'room', journal => true)",
        "select rowcast.detach('messages')",
        "select rowcast.uninstall()",
        "drop schema rowcast cascade",
    ] {
        is_denied(&relay, forbidden).await;
    }
}

#[tokio::test]
async fn the_role_that_attaches_is_no_superuser_and_needs_no_more_than_its_tables_and_the_schema() {
    let db = messages().await;
    for forbidden in [
        "create schema mine",
        "create role mine",
        "select pg_read_file('/etc/passwd')",
    ] {
        is_denied(&db, forbidden).await;
    }
    run(
        &db,
        "select rowcast.detach('messages'); select rowcast.uninstall()",
    )
    .await;
}

#[tokio::test]
async fn every_grant_that_is_missing_is_said_with_the_statement_that_mends_it() {
    let (db, relay) = scene(&[]).await;
    run(&db, "create table tasks (id text primary key, list text)").await;
    attach(&db, "'tasks', room => 'list', journal => true").await;
    all_is_well(&relay).await;
    for (lost, remedy) in [
        ("select on messages", "grant select on public.messages to relay;"),
        (
            "select on sequence messages_id_seq",
            "grant select on sequence public.messages_id_seq to relay;",
        ),
        (
            "update on sequence rowcast.bell_messages",
            "grant update on sequence rowcast.bell_messages to relay;",
        ),
        (
            "delete on rowcast.journal_tasks",
            "grant select, delete on rowcast.journal_tasks to relay;",
        ),
    ] {
        run(&db, &format!("revoke {lost} from relay")).await;
        health_with(&relay, remedy).await;
        run(&db, remedy).await;
        all_is_well(&relay).await;
    }
}

/// A relay looks for these at its start and then once a minute.
#[tokio::test]
async fn a_grant_that_is_missing_on_the_registry_is_a_note_with_the_statement_that_mends_it() {
    let db = messages().await;
    for (lost, remedy) in [
        (
            "insert on rowcast.positions",
            "grant select, insert, update on rowcast.positions to relay;",
        ),
        (
            "update on rowcast.sources",
            "grant select, update on rowcast.sources to relay;",
        ),
    ] {
        run(&db, &format!("revoke {lost} from relay")).await;
        let relay = Relay::serve(&db.relay_url, &[]).await;
        let health = health_with(&relay, remedy).await;
        assert!(health["notes"].to_string().contains(remedy), "{health}");
        run(&db, remedy).await;
        all_is_well(&Relay::serve(&db.relay_url, &[]).await).await;
    }
}

#[tokio::test]
async fn a_schema_that_the_relay_may_not_use_is_said_with_the_grant() {
    let (db, relay) = scene(&[]).await;
    run(&db.admin().await, "create schema archive authorization app").await;
    run(&db, "alter table messages set schema archive").await;
    let remedy = "grant usage on schema archive to relay;";
    health_with(&relay, remedy).await;
    run(&db, remedy).await;
    all_is_well(&relay).await;
}

#[tokio::test]
async fn a_table_that_was_attached_without_its_grants_is_followed_once_they_are_made() {
    let db = database().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    run(&db, crate::support::MESSAGES).await;
    run(&db, "select rowcast.attach('messages', room => 'room')").await;
    let health = health_with(&relay, "grant select on public.messages to relay;").await;
    assert!(
        !health["reasons"].as_array().expect("a list").is_empty(),
        "{health}"
    );
    grant_attached(&db).await;
    eventually(async || relay.client.get(PATH).await.status == 200).await;
}

/// README's statements where the roles are there already, as in a second database of a server.
async fn prepare_again(db: &TestDatabase) {
    let statements = role_of_the_relay();
    let (first, others) = statements.split_once('\n').expect("several lines");
    assert!(first.starts_with("create role relay "), "{first}");
    run(&db.admin().await, others).await;
}

/// `rowcast serve` as the relays' role, which must fail: its last line.
async fn serve_fails(db: &TestDatabase) -> String {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &db.relay_url,
    ];
    let (status, _, stderr) = run_rowcast(&arguments).await;
    assert!(!status.success(), "{stderr}");
    stderr.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_relays_role_migrates_nothing_and_says_who_is_to() {
    let db = empty_database().await;
    prepare_again(&db).await;
    let said = serve_fails(&db).await;
    assert!(
        said.contains("schema rowcast is missing") && said.contains("`rowcast migrate` once as role app"),
        "{said}"
    );
    let (status, _, stderr) = run_rowcast(&["migrate", "--database-url", &db.app_url]).await;
    assert!(status.success(), "{stderr}");
    drop(Relay::serve(&db.relay_url, &[]).await);

    // As if this program knew one more: what an upgrade finds.
    run(
        &db,
        "delete from rowcast.migrations where version = (select max(version) from rowcast.migrations)",
    )
    .await;
    let said = serve_fails(&db).await;
    assert!(
        said.contains("is of an older Rowcast") && said.contains("`rowcast migrate` once as role app"),
        "{said}"
    );
}

#[tokio::test]
async fn the_statements_serve_as_well_after_tables_were_attached() {
    let db = messages().await;
    run(&db.admin().await, "drop owned by relay").await;
    let said = serve_fails(&db).await;
    assert!(said.contains("grant usage on schema rowcast to relay"), "{said}");
    prepare_again(&db).await;
    grant_attached(&db).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let id = db.say("a", "").await;
    assert_eq!(stream.ids(1).await, [id]);
    all_is_well(&relay).await;
}

/// As a newer Rowcast's migration makes one.
#[tokio::test]
async fn what_a_later_migration_makes_is_granted_without_another_word() {
    let db = database().await;
    run(
        &db,
        "create table rowcast.later (id bigint generated always as identity, body text)",
    )
    .await;
    let relay = connect(&db.relay_url).await;
    run(
        &relay,
        "insert into rowcast.later (body) values ('x'); update rowcast.later set body = 'y'; delete from rowcast.later",
    )
    .await;
}

/// A login that somebody let into the schema, as `rowcast.reauthorize` wants it.
async fn stranger(db: &TestDatabase) -> (String, Client) {
    let (name, url) = role(db, "stranger").await;
    run(
        &db.admin().await,
        &format!("grant usage on schema rowcast to {name}"),
    )
    .await;
    (name, connect(&url).await)
}

#[tokio::test]
async fn whoever_may_use_the_schema_gets_no_more_by_calling_what_grants() {
    let db = messages().await;
    let (name, theirs) = stranger(&db).await;
    run(&theirs, "create temporary table mine (id int)").await;
    for call in [
        "select rowcast.grant_to_owner('mine')",
        "select rowcast.grant_to_owner('pg_class')",
        // Of a table that is attached it grants to that table's owner.
        "select rowcast.grant_to_owner('messages'); select from rowcast.sources",
        "select from rowcast.tickets",
        "select from rowcast.positions",
    ] {
        is_denied(&theirs, call).await;
    }
    let granted = "select count(*) from pg_class c, aclexplode(c.relacl) g
        where c.relnamespace = 'rowcast'::regnamespace and g.grantee = $1::text::regrole";
    let row = db.query_one(granted, &[&name]).await.expect("ask for grants");
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// A journal has the rooms and keys of every row.
#[tokio::test]
async fn who_may_read_some_rows_of_a_table_may_not_read_its_journal() {
    let db = messages().await;
    let (name, url) = role(&db, "reader").await;
    run(
        &db.admin().await,
        &format!(
            "create table own (id serial primary key, room text); select rowcast.attach('own', room => 'room');
             alter table own owner to {name}; grant select on messages to {name};
             alter table messages enable row level security"
        ),
    )
    .await;
    run(
        &db,
        "select rowcast.attach('messages', room => 'room', journal => true)",
    )
    .await;
    let theirs = connect(&url).await;
    run(
        &db.admin().await,
        &format!("grant usage on schema rowcast to {name}"),
    )
    .await;
    run(
        &theirs,
        "select rowcast.grant_to_owner('own'); select from rowcast.positions",
    )
    .await;
    is_denied(&theirs, "select from rowcast.journal_messages").await;
    // The owner reads all rows, and so does whoever no row security applies to.
    run(&db, "select from rowcast.journal_messages").await;
    run(&db.admin().await, &format!("alter role {name} bypassrls")).await;
    run(
        &theirs,
        "select rowcast.grant_to_owner('own'); select from rowcast.journal_messages",
    )
    .await;
}
