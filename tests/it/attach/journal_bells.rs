//! The bell of a journal: its trigger rings, once in a transaction, where the flag says so.

use super::journal::{ALL, KINDS, things};
use super::{attached, bells, listener, text};
use crate::support::run;

#[tokio::test]
async fn what_is_written_rings_once_in_a_transaction_and_nothing_else_does() {
    for kind in KINDS {
        let db = things(&format!("{kind}, columns => '{{body}}'")).await;
        let (_client, mut heard) = listener(&db).await;
        for (statement, rings) in [
            ("insert into t values ('1', 'a'), ('2', 'a')", 1),
            (
                "begin; insert into t values ('3', 'a'); update t set body = 'x'; delete from t where id = '3'; commit",
                1,
            ),
            ("begin; insert into t values ('4', 'a'); rollback", 0),
            (
                "begin; savepoint s; insert into t values ('4', 'a'); rollback to s; insert into t values ('5', 'a'); commit",
                1,
            ),
            (
                "begin; insert into t values ('6', 'a'); savepoint s; delete from t where id = '6'; rollback to s; commit",
                1,
            ),
            (
                "insert into t values ('7', 'a'); commit; insert into t values ('8', 'a')",
                2,
            ),
            ("update t set body = body", 0),
            ("delete from t where id = 'none'", 0),
            (
                "insert into t values ('9', null); delete from t where id = '9'",
                0,
            ),
        ] {
            for part in statement.split("; commit; ") {
                run(&db, part).await;
            }
            let heard = bells(&db, &mut heard).await;
            assert_eq!(heard, vec!["t"; rings], "{statement}");
        }
    }
}

#[tokio::test]
async fn two_journals_that_one_transaction_writes_both_ring() {
    let db = things("").await;
    run(
        &db,
        "create table u (id uuid primary key default gen_random_uuid(), room text)",
    )
    .await;
    attached(&db, &format!("'u', room => 'room', {ALL}")).await;
    let (_client, mut heard) = listener(&db).await;
    let both = "insert into t values (gen_random_uuid(), 'a'); insert into u (room) values ('a');";
    run(&db, &format!("begin; {both} {both} commit")).await;
    let mut heard = bells(&db, &mut heard).await;
    heard.sort();
    assert_eq!(heard, ["t", "u"]);
}

#[tokio::test]
async fn a_journal_is_silent_while_the_flag_is_0_and_if_it_must_never_ring() {
    let db = things("").await;
    let (_client, mut heard) = listener(&db).await;
    run(
        &db,
        "select setval('rowcast.bell_t', 0); insert into t values ('1', 'a')",
    )
    .await;
    assert_eq!(bells(&db, &mut heard).await, [""; 0]);
    run(
        &db,
        "select setval('rowcast.bell_t', 1); insert into t values ('2', 'a')",
    )
    .await;
    assert_eq!(bells(&db, &mut heard).await, ["t"]);
    attached(&db, &format!("'t', room => 'room', {ALL}, never_ring => true")).await;
    run(
        &db,
        "select setval('rowcast.bell_t', 1); insert into t values ('3', 'a')",
    )
    .await;
    assert_eq!(bells(&db, &mut heard).await, ["sources:"], "the attach said so");
}

/// The function runs as who attached, who may lose his rights.
#[tokio::test]
async fn a_bell_that_may_not_be_looked_at_is_rung() {
    let db = crate::support::database().await.into_superusers().await;
    let (owner, url) = super::role(&db, "owner").await;
    run(
        &db,
        &format!(
            "{} alter table t owner to {owner}; grant usage, create on schema rowcast to {owner};
             grant select, insert, update, delete on rowcast.sources, rowcast.positions to {owner}",
            super::journal::THINGS
        ),
    )
    .await;
    let theirs = crate::support::connect(&url).await;
    attached(&theirs, &format!("'t', room => 'room', {ALL}")).await;
    run(
        &db,
        &format!("alter sequence rowcast.bell_t owner to postgres; revoke all on sequence rowcast.bell_t from public, {owner}"),
    )
    .await;
    let (_client, mut heard) = listener(&db).await;
    run(&theirs, "insert into t values ('1', 'a')").await;
    assert_eq!(bells(&db, &mut heard).await, ["t"]);
}

/// PostgreSQL would send two equal notifications once, but each costs its look at the flag and at the queue.
#[tokio::test]
async fn that_it_rang_is_known_up_to_the_end_of_its_transaction() {
    let db = things("").await;
    let known = "select coalesce(current_setting('rowcast.rung', true), '')";
    run(&db, "begin; savepoint s; insert into t values ('1', 'a')").await;
    assert_eq!(text(&db, known).await, "t");
    run(&db, "rollback to s").await;
    assert_eq!(text(&db, known).await, "");
    run(&db, "insert into t values ('1', 'a')").await;
    assert_eq!(text(&db, known).await, "t");
    run(&db, "commit").await;
    assert_eq!(text(&db, known).await, "");
}
