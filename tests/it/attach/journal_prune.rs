//! Pruning: the oldest entries go, in batches, as many as `keep` says and no tail still needs.

use super::journal::{ALL, things};
use super::{attached, text};
use crate::support::{TestDatabase, run};

/// A journal with entries 1 to 100, each an hour older than the next, and a tail that has seen all.
async fn hundred(keep: &str) -> TestDatabase {
    let db = things(&format!(", keep => '{keep}'")).await;
    run(
        &db,
        "insert into t select n, 'a' from generate_series(1, 100) n;
         update rowcast.journal_t set at = now() - (100 - id) * interval '1 hour' - interval '1 minute'",
    )
    .await;
    seen(&db, "100, '{}', '{}'").await;
    db
}

/// Saves a position: high, and the gaps' lows and highs.
async fn seen(db: &TestDatabase, position: &str) {
    run(
        db,
        &format!(
            "delete from rowcast.positions;
             insert into rowcast.positions select name, epoch, {position}, 100 from rowcast.sources"
        ),
    )
    .await;
}

async fn prune(db: &TestDatabase, batch: i32) -> String {
    text(db, &format!("select rowcast.prune('t', {batch})::text")).await
}

/// The lowest and highest entry that there is, and what the registry says.
async fn left(db: &TestDatabase) -> String {
    text(
        db,
        "select concat_ws(' ', (select min(id) from rowcast.journal_t), (select max(id) from rowcast.journal_t), pruned_to) from rowcast.sources",
    )
    .await
}

#[tokio::test]
async fn entries_older_than_is_kept_go() {
    let db = hundred("24h").await;
    assert_eq!(prune(&db, 1000).await, "76");
    assert_eq!(left(&db).await, "77 100 76");
    assert_eq!(prune(&db, 1000).await, "0");
    assert_eq!(left(&db).await, "77 100 76");
}

#[tokio::test]
async fn entries_beyond_the_number_that_is_kept_go() {
    let db = hundred("10 rows").await;
    assert_eq!(prune(&db, 1000).await, "90");
    assert_eq!(left(&db).await, "91 100 90");
}

#[tokio::test]
async fn a_batch_is_no_larger_than_asked_and_the_next_goes_on() {
    for keep in ["24h", "24 rows"] {
        let db = hundred(keep).await;
        for (deleted, remains) in [
            ("30", "31 100 30"),
            ("30", "61 100 60"),
            ("16", "77 100 76"),
            ("0", "77 100 76"),
        ] {
            assert_eq!(
                (prune(&db, 30).await.as_str(), left(&db).await.as_str()),
                (deleted, remains),
                "{keep}"
            );
        }
    }
}

/// One that is older than those before it went in while they were uncommitted.
#[tokio::test]
async fn what_is_young_is_never_passed() {
    let db = hundred("24h").await;
    run(&db, "update rowcast.journal_t set at = now() where id = 50").await;
    assert_eq!(prune(&db, 20).await, "20");
    assert_eq!(prune(&db, 1000).await, "29");
    assert_eq!(prune(&db, 1000).await, "0");
    assert_eq!(left(&db).await, "50 100 49");
}

#[tokio::test]
async fn what_no_tail_has_seen_stays() {
    for keep in ["1s", "1 rows"] {
        for (position, remains) in [
            ("40, '{}', '{}'", "41 100 40"),
            ("100, '{20,60}', '{25,61}'", "20 100 19"),
            ("100, '{1}', '{1}'", "1 100 0"),
        ] {
            let db = hundred(keep).await;
            seen(&db, position).await;
            prune(&db, 1000).await;
            assert_eq!(left(&db).await, remains, "{keep} {position}");
        }
        let db = hundred(keep).await;
        run(&db, "update rowcast.positions set epoch = epoch + 1").await;
        assert_eq!(
            (prune(&db, 1000).await, left(&db).await),
            ("0".to_owned(), "1 100 0".to_owned())
        );
        run(&db, "delete from rowcast.positions").await;
        assert_eq!(
            (prune(&db, 1000).await, left(&db).await),
            ("0".to_owned(), "1 100 0".to_owned())
        );
    }
}

#[tokio::test]
async fn what_a_truncate_closed_goes_however_young() {
    let db = hundred("7d").await;
    run(&db, "truncate t; insert into t values ('x', 'a')").await;
    assert_eq!(
        (prune(&db, 60).await, prune(&db, 60).await),
        ("60".to_owned(), "40".to_owned())
    );
    assert_eq!(left(&db).await, "101 101 100");
}

/// A cursor that has seen every entry has not expired, whatever numbers were rolled back above them.
#[tokio::test]
async fn what_is_remembered_is_an_entrys_number() {
    let db = hundred("24h").await;
    run(&db, "delete from rowcast.journal_t where id between 10 and 90").await;
    assert_eq!(prune(&db, 1000).await, "9");
    assert_eq!(left(&db).await, "91 100 9");
    run(&db, "delete from rowcast.journal_t").await;
    assert_eq!(prune(&db, 1000).await, "0");
    assert_eq!(left(&db).await, "9");
}

#[tokio::test]
async fn one_prunes_at_a_time_and_nobody_waits() {
    let db = hundred("10 rows").await;
    run(&db, "create table u (id uuid primary key, room text)").await;
    attached(&db, &format!("'u', room => 'room', {ALL}")).await;
    let other = db.connect().await;
    for held in [
        "select rowcast.prune('t', 5)",
        "select rowcast.prune('u', 5)",
        "select from rowcast.sources for update",
        "truncate t",
    ] {
        run(&other, &format!("begin; {held}")).await;
        run(&db, "set lock_timeout = '1ms'").await;
        assert_eq!(prune(&db, 1000).await, "0", "{held}");
        run(&db, "reset lock_timeout").await;
        run(&other, "rollback").await;
    }
    assert_eq!(prune(&db, 1000).await, "90");
}

/// PostgreSQL would find the deadlock, and fail one of them, after a second.
#[tokio::test]
async fn pruning_truncating_and_attaching_take_their_locks_in_one_order() {
    let db = hundred("10 rows").await.into_superusers().await;
    run(&db, "set deadlock_timeout = '10ms'").await;
    let (truncating, attaching) = (db.connect().await, db.connect().await);
    for _ in 0..20 {
        let all = format!(
            "select rowcast.attach('t', room => 'room', {ALL}, never_ring => false, keep => '20 rows')"
        );
        let back = all.replace("20 rows", "10 rows");
        let (pruned, truncated, first, second) = tokio::join!(
            db.batch_execute("select rowcast.prune('t', 10); select rowcast.prune('t', 10)"),
            truncating.batch_execute("truncate t"),
            attaching.batch_execute(&all),
            attaching.batch_execute(&back),
        );
        for result in [pruned, truncated, first, second] {
            result.expect("no deadlock");
        }
    }
}

#[tokio::test]
async fn a_direct_source_and_one_that_is_not_there_prune_nothing() {
    let db = hundred("10 rows").await;
    run(&db, "create table d (id serial primary key, room text)").await;
    attached(&db, "'d', room => 'room'").await;
    for source in ["d", "nope"] {
        assert_eq!(
            text(&db, &format!("select rowcast.prune('{source}', 10)::text")).await,
            "0"
        );
    }
}

#[tokio::test]
async fn a_relay_that_may_write_the_registry_prunes_what_another_attached() {
    let db = crate::support::database().await;
    run(&db, super::journal::THINGS).await;
    attached(&db, &format!("'t', room => 'room', {ALL}, keep => '1 rows'")).await;
    run(&db, "insert into t values ('1', 'a'), ('2', 'a')").await;
    run(&db.admin().await, "create publication all_of_it for all tables").await;
    seen(&db, "2, '{}', '{}'").await;
    let theirs = crate::support::connect(&db.relay_url).await;
    run(&theirs, "select rowcast.prune('t', 10); select pg_sequence_last_value('rowcast.skips_t'), pg_sequence_last_value('rowcast.ids_t')").await;
    assert_eq!(left(&db).await, "2 2 1");
}
