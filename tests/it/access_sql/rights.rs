//! What of access a role may do, and what an upgrade gives to those who were there before.

use std::time::Duration;

use rowcast::pg::migrate::{migrate, steps};
use rowcast::pg::tickets::{TicketError, Tickets};

use super::{rooms, to_database};
use crate::support::{TestDatabase, attach, connect, database, empty_database, role, run, within};

/// README, "Roles": what a role needs that only serves.
fn grants(relay: &str) -> String {
    format!(
        "grant usage on schema rowcast to {relay};
         grant select, insert, update, delete on all tables in schema rowcast to {relay};
         grant select, update on all sequences in schema rowcast to {relay}"
    )
}

async fn ticket_is_used(url: &str) {
    let tickets = Tickets::new(to_database(url).await);
    let room = rooms(&["1"]);
    let issued = tickets.issue("messages", &room, "{}", None, Duration::from_secs(30));
    let ticket = within(issued).await.expect("issue a ticket");
    assert!(within(tickets.redeem(&ticket)).await.expect("redeem").is_some());
    assert_eq!(within(tickets.prune(10)).await.expect("prune"), 0);
}

/// A database as the version before left it.
async fn before_v13() -> TestDatabase {
    let db = empty_database().await.into_superusers().await;
    run(&db, "create schema rowcast").await;
    run(&db, include_str!("../../../sql/create_history.sql")).await;
    for step in steps().iter().filter(|step| step.version < 13) {
        run(&db, &step.sql).await;
        db.execute(
            "insert into rowcast.migrations values ($1, $2, '2026-01-01T00:00:00Z', $3)",
            &[&step.version, &step.name, &step.checksum.to_string()],
        )
        .await
        .expect("note it");
    }
    db
}

#[tokio::test]
async fn a_relay_that_may_only_serve_uses_tickets() {
    let db = database().await.into_superusers().await;
    let (name, url) = role(&db, "relay").await;
    run(&db, &grants(&name)).await;
    ticket_is_used(&url).await;
}

#[tokio::test]
async fn a_role_without_rights_gets_neither_ticket_nor_call() {
    let db = database().await.into_superusers().await;
    let (_, url) = role(&db, "stranger").await;
    let tickets = Tickets::new(to_database(&url).await);
    let room = rooms(&["1"]);
    let issued = tickets.issue("messages", &room, "{}", None, Duration::from_secs(30));
    let error = within(issued).await.expect_err("it may not");
    let TicketError::Database(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.sqlstate().map(|state| state.code()), Some("42501"));
    let stranger = connect(&url).await;
    for sql in ["select * from rowcast.tickets", "select rowcast.reauthorize('1')"] {
        let error = stranger.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code().map(|state| state.code()), Some("42501"), "{sql}");
    }
}

#[tokio::test]
async fn with_usage_of_the_schema_anybody_may_call() {
    let db = database().await.into_superusers().await;
    let (name, url) = role(&db, "app").await;
    run(&db, &format!("grant usage on schema rowcast to {name}")).await;
    run(&connect(&url).await, "select rowcast.reauthorize('1')").await;
}

#[tokio::test]
async fn an_upgrade_gives_tickets_to_relays_and_dumps_to_owners() {
    let db = before_v13().await;
    let (relay, relays_url) = role(&db, "relay").await;
    let (owner, owners_url) = role(&db, "owner").await;
    run(&db, &grants(&relay)).await;
    run(
        &db,
        &format!(
            "create table messages (id bigint generated always as identity primary key, room int);
             create index on messages (room, id); alter table messages owner to {owner};
             create table gone (id bigint generated always as identity primary key, room int)"
        ),
    )
    .await;
    attach(&db, "'messages', room => 'room'").await;
    attach(&db, "'gone', room => 'room'").await;
    run(&db, "drop table gone").await;
    let applied = migrate(&db.admin_url).await.expect("migrate");
    assert_eq!(
        applied.len(),
        steps().iter().filter(|step| step.version >= 13).count()
    );
    ticket_is_used(&relays_url).await;
    // What pg_dump does to each table.
    let owner = connect(&owners_url).await;
    run(
        &owner,
        "begin; lock table rowcast.tickets in access share mode; select * from rowcast.tickets; commit",
    )
    .await;
    owner
        .batch_execute("delete from rowcast.tickets")
        .await
        .expect_err("no more than that");
}
