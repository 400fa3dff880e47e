//! Who may do what to a journal, and what is lost of it: reported, and mended by the next attach.

use super::journal::{ALL, KINDS, THINGS, journal_of, taken, things};
use super::{attached, findings, role};
use crate::support::{connect, database, run};

#[tokio::test]
async fn rights_that_would_fail_the_application_are_reported() {
    let db = database().await.into_superusers().await;
    let (owner, url) = role(&db, "owner").await;
    run(
        &db,
        &format!(
            "{THINGS} alter table t owner to {owner}; grant usage, create on schema rowcast to {owner};
        grant select, insert, update, delete on rowcast.sources, rowcast.positions to {owner}"
        ),
    )
    .await;
    attached(&connect(&url).await, &format!("'t', room => 'room', {ALL}")).await;
    for (damage, words, remedy) in [
        (
            format!("revoke usage on schema rowcast from {owner}"),
            "may not write it any more",
            format!("grant usage on schema rowcast to {owner}"),
        ),
        (
            format!("revoke execute on function rowcast.journal_t() from {owner}"),
            "can make no partition",
            format!("grant execute on function rowcast.journal_t() to {owner}"),
        ),
    ] {
        run(&db, &damage).await;
        let found = findings(&db).await;
        assert!(
            found.iter().any(|f| f.contains(words) && f.contains(&remedy)),
            "{found:?}"
        );
        run(&db, &remedy).await;
        assert_eq!(findings(&db).await, [""; 0]);
    }
}

#[tokio::test]
async fn the_owner_makes_partitions_and_a_stranger_forges_nothing() {
    let db = database().await.into_superusers().await;
    let (owner, url) = role(&db, "owner").await;
    run(
        &db,
        &format!(
            "create table t (id text primary key, room text) partition by list (id); alter table t owner to {owner};
             grant create on schema public to public"
        ),
    )
    .await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    let owners = connect(&url).await;
    run(
        &owners,
        "create table t1 partition of t for values in ('1'); insert into t values ('1', 'a')",
    )
    .await;
    assert_eq!(taken(&db).await, ["i a 1"]);

    let (stranger, url) = role(&db, "stranger").await;
    run(&db, &format!("grant usage on schema rowcast to {stranger}")).await;
    let theirs = connect(&url).await;
    run(&theirs, "create table mine (id text, room text)").await;
    for forged in [
        "create trigger forged after insert on mine for each row execute function rowcast.journal_t()",
        "insert into rowcast.journal_t (op, room, key) values ('i', 'a', '{}')",
        "select nextval('rowcast.skips_t')",
        "select setval('rowcast.ids_t', 1)",
    ] {
        let error = theirs.batch_execute(forged).await.expect_err(forged);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{forged}");
    }
    run(&theirs, "drop table mine").await;
}

#[tokio::test]
async fn no_part_of_a_journal_goes_without_its_trigger() {
    for kind in KINDS {
        let db = things(kind).await;
        for part in [
            "table rowcast.journal_t",
            "sequence rowcast.skips_t",
            "function rowcast.journal_t()",
            "sequence rowcast.bell_t",
        ] {
            let error = db.batch_execute(&format!("drop {part}")).await.expect_err(part);
            assert_eq!(error.code().map(|code| code.code()), Some("2BP01"), "{part}");
        }
        run(&db, "drop table rowcast.journal_t cascade; insert into t values ('1', 'a'); drop schema rowcast cascade").await;
        run(
            &db,
            "insert into t values ('2', 'a'); update t set body = 'x'; delete from t; truncate t",
        )
        .await;
    }
}

#[tokio::test]
async fn a_journal_that_was_dropped_is_made_anew() {
    let db = things("").await;
    let epoch = db.epoch("t").await;
    run(&db, "drop table rowcast.journal_t cascade").await;
    attached(&db, &format!("'t', room => 'room', {ALL}")).await;
    assert_ne!(db.epoch("t").await, epoch);
    run(&db, "insert into t values ('1', 'a')").await;
    assert_eq!(taken(&db).await, ["i a 1"]);
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn what_is_disabled_or_lost_is_reported_and_mended_and_writes_go_on() {
    let parted = "create table t (id text primary key, room text) partition by list (id);
                  create table t1 partition of t for values in ('1');";
    for damage in [
        "drop trigger \"!rowcast_journal_t\" on t",
        "alter table t disable trigger \"!rowcast_journal_t\"",
        "alter table t1 disable trigger \"!rowcast_journal_t\"",
        "alter table t1 disable trigger rowcast_truncate_t",
        "drop trigger rowcast_truncate_t on t1",
        "create or replace function rowcast.journal_t() returns trigger language plpgsql as 'begin return null; end'",
    ] {
        let db = journal_of(parted, "'t', room => 'room'").await;
        let epoch = db.epoch("t").await;
        run(&db, damage).await;
        assert_ne!(findings(&db).await, [""; 0], "{damage}");
        run(&db, "insert into t values ('1', 'a'); delete from t").await;
        attached(&db, &format!("'t', room => 'room', {ALL}")).await;
        assert_eq!(findings(&db).await, [""; 0], "{damage}");
        taken(&db).await;
        run(&db, "insert into t values ('1', 'a')").await;
        assert_eq!(taken(&db).await, ["i a 1"], "{damage}");
        assert_eq!(db.epoch("t").await, epoch, "{damage}");
    }
}
