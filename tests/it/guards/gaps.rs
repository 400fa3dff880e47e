//! When a gap may die: only once whoever drew its numbers is over, and the tail has looked after that.

use rowcast::cursor::IdRange;

use super::{Follower, INSERT, inserting, quiet, run, text, with_messages, with_xid};
use crate::support::{attach, connect, eventually};

/// `pg_snapshot_xmax` is one past the newest *finished* transaction: here T1 runs at it.
///
/// Fails when the bound is `pg_snapshot_xmax` (`next_xid: xmax` in `Header::from_sql`).
#[tokio::test]
async fn a_transaction_beyond_every_finished_one_keeps_its_gap_open() {
    let db = quiet().await;
    let mut tail = Follower::start(&db.urls.relay).await;
    let older = with_xid(&db.urls.app).await;
    let younger = inserting(&db.urls.app).await;
    run(&older, INSERT).await;
    run(&older, "commit").await;
    let xmax = text(&db.client, "pg_snapshot_xmax(pg_current_snapshot())").await;
    let running = text(&younger, "pg_current_xact_id()").await;
    assert_eq!(xmax, running, "the test tells nothing");
    assert_eq!(tail.ids().await, [2]);
    assert_eq!(tail.ids().await, [0; 0]);
    assert!(tail.open().contains(1));
    run(&younger, "commit").await;
    assert_eq!(tail.ids().await, [1]);
}

/// The columns of a VALUES list are evaluated in the table's order: the id, then the body, which waits.
///
/// The row's id is drawn, the row is not inserted yet: without the trigger its transaction has no id, and nothing in a
/// snapshot or among the locks tells of it. The sequence has logged numbers ahead, so that nextval assigns no id either.
///
/// Fails when attach makes no `rowcast_xid_…` trigger, or makes it `after insert`.
async fn an_insert_held_between(into: &str) {
    let db = quiet().await;
    run(
        &db.client,
        "create table parted (id bigserial, room_id int, body text, primary key (id, room_id))
            partition by list (room_id);
         create table part partition of parted for values in (1)",
    )
    .await;
    if into != "messages" {
        run(&db.client, "select rowcast.detach('messages')").await;
        attach(&db.client, "'parted', room => 'room_id', id => 'id'").await;
    }
    let insert = format!("insert into {into} (room_id) values (1)");
    run(&db.client, &insert).await;
    let mut tail = Follower::start(&db.urls.relay).await;

    run(&db.client, "select pg_advisory_lock(7)").await;
    let slow = connect(&db.urls.app).await;
    let held = tokio::spawn({
        let insert = format!("insert into {into} (room_id, body) values (1, pg_advisory_xact_lock(7)::text)");
        async move { slow.batch_execute(&insert).await }
    });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    eventually(async || text(&db.client, waits).await == "1").await;
    run(&db.client, &insert).await;
    assert_eq!(tail.ids().await, [3]);
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [0; 0]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&db.client, "select pg_advisory_unlock(7)").await;
    held.await.expect("the task lives").expect("insert");
    assert_eq!(tail.ids().await, [2], "into {into}");
}

#[tokio::test]
async fn an_insert_that_is_slow_after_it_drew_its_id_is_not_lost() {
    an_insert_held_between("messages").await;
}

/// Fails when `rowcast.members` knows no partitions.
#[tokio::test]
async fn an_insert_into_a_partition_that_is_slow_after_it_drew_its_id_is_not_lost() {
    an_insert_held_between("part").await;
}

/// Fails when `Seen::note_table_xmin` lets gaps die at once instead of in the next read.
#[tokio::test]
async fn a_writer_who_ends_before_the_look_at_the_locks_is_seen_by_the_next_read() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    let writer = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2]);
    run(&writer, "commit").await;
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [1]);
}

/// Fails when `Seen::absorb` binds gaps before it buries them.
#[tokio::test]
async fn a_look_at_the_locks_says_nothing_of_gaps_born_after_it() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    tail.look_at_locks().await;
    let writer = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&writer, "commit").await;
    assert_eq!(tail.ids().await, [1]);
}

/// A prepared transaction is nobody's session, and may end in a week.
///
/// Fails when the look at the locks joins by `pid` (in `table_xmin.sql`).
#[tokio::test]
async fn a_prepared_insert_keeps_its_gap_open() {
    let db = with_messages().await;
    run(
        &db,
        "select rowcast.attach('messages', room => 'room_id', never_ring => true)",
    )
    .await;
    let mut tail = Follower::start(&db.relay_url).await;
    let writer = inserting(&db.app_url).await;
    run(&writer, &format!("prepare transaction '{}'", db.name)).await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2]);
    for _ in 0..3 {
        tail.look_at_locks().await;
        assert_eq!(tail.ids().await, [0; 0]);
    }
    run(&db, &format!("commit prepared '{}'", db.name)).await;
    assert_eq!(tail.ids().await, [1]);
}

/// 10,000 numbers rolled back while a transaction of another database stays open: the snapshot's xmin stands still, but
/// nobody writes the table.
///
/// Fails when a noted table's xmin is not used (`Seen::bury`).
#[tokio::test]
async fn gaps_under_a_long_foreign_transaction_die_by_the_tables_own_locks() {
    let (db, foreign) = (with_messages().await, with_messages().await);
    let _long = with_xid(&foreign.app_url).await;
    let mut tail = Follower::start(&db.relay_url).await;
    for _ in 0..10 {
        run(
            &db,
            "begin; insert into messages (room_id) select 1 from generate_series(1, 1000); rollback",
        )
        .await;
        run(&db, INSERT).await;
        tail.read().await;
        tail.look_at_locks().await;
        tail.read().await;
        assert_eq!(tail.open().gaps(), [] as [IdRange; 0]);
    }
}
