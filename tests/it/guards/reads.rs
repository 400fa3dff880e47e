//! One read is one statement alone in its transaction: what it reports belongs together and is of this moment.

use super::{Follower, INSERT, Quiet, inserting, quiet, run, text};
use crate::support::{connect, eventually};

/// Past the five plans that PostgreSQL makes for a prepared statement before it may keep one.
const READS: u64 = 12;

async fn burn(db: &Quiet, transactions: u64) {
    for _ in 0..transactions {
        run(&db.client, "select pg_current_xact_id()").await;
    }
}

/// `age(xid)` is fixed at its first call in a transaction, and a plan may keep what it was then.
async fn the_counter_moves_as_transactions_begin(db: &Quiet, mut tail: Follower) {
    let mut last = tail.read().await.outcome.header.next_xid;
    for transactions in 0..READS {
        burn(db, transactions).await;
        let header = tail.read().await.outcome.header;
        assert_eq!(
            header.next_xid,
            last + transactions,
            "after {transactions} transactions"
        );
        assert_eq!(header.snapshot_xmin, header.next_xid, "nobody runs");
        last = header.next_xid;
    }
    let next = text(&db.client, "pg_current_xact_id()").await;
    assert_eq!(next, last.to_string(), "the reads took none");
}

/// Fails when the tail's reads share a transaction (`begin` before the first), or the statement takes an id of its own.
#[tokio::test]
async fn each_read_sees_the_transaction_counter_as_it_is_and_moves_it_not() {
    let db = quiet().await;
    let tail = Follower::start(&db.urls.relay).await;
    the_counter_moves_as_transactions_begin(&db, tail).await;
}

/// Fails when an unpinned session leaves out the `commit`.
#[tokio::test]
async fn each_read_without_pinned_settings_sees_the_transaction_counter_as_it_is() {
    let db = quiet().await;
    let tail = Follower::unpinned(&db.urls.relay).await;
    the_counter_moves_as_transactions_begin(&db, tail).await;
}

/// A writer begins and draws its id within the read, between the read's snapshot and its look at the sequence: here the
/// read is made to wait there, by a registry that waits when it is asked for the sequence the second time. The counter
/// looked at before the sequence would be too low for that writer. (The times are counted by a sequence that has logged
/// numbers ahead, so that the read still takes no transaction id.)
///
/// Fails when `transaction_age` stands before the sequence's last value in `read.sql`.
#[tokio::test]
async fn the_counter_is_read_after_the_sequence() {
    let db = quiet().await;
    let mut tail = Follower::start(&db.urls.relay).await;
    run(
        &db.client,
        "alter table rowcast.sources rename to sources_now;
         create sequence rowcast.times;
         create function rowcast.waiting(seq regclass) returns regclass language plpgsql stable as $$
         begin
             if nextval('rowcast.times') = 3 then perform pg_advisory_xact_lock(8); end if;
             return seq;
         end $$;
         create view rowcast.sources as select name, epoch, revision, start_id, journal, pruned_to, never_ring,
             sequence_filenode, bell, skip_sequence, skips, truncations, rowcast.waiting(id_sequence) as id_sequence
             from rowcast.sources_now;
         create function rowcast.columns_as_registered(rowcast.sources) returns boolean language sql as 'select true';
         select nextval('rowcast.times');
         select pg_advisory_lock(8)",
    )
    .await;
    // The explicit id is above the sequence, so that this very read finds the gap below drawn.
    run(&db.client, "insert into messages (id, room_id) values (3, 1)").await;
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    let meanwhile = async {
        eventually(async || text(&db.client, waits).await == "1").await;
        let writer = inserting(&db.urls.app).await;
        run(&db.client, "select pg_advisory_unlock(8)").await;
        writer
    };
    let (first, writer) = tokio::join!(tail.read(), meanwhile);
    assert_eq!(first.ids, [3]);
    assert_eq!(
        first.outcome.header.sequence_last, 1,
        "the writer was not in time: the test tells nothing"
    );
    assert_eq!(tail.ids().await, [0; 0]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&writer, "commit").await;
    assert_eq!(tail.ids().await, [1]);
}

/// Fails when a read leaves its transaction open, or takes a lock for its session.
#[tokio::test]
async fn a_read_leaves_no_lock_and_no_transaction_behind() {
    let db = quiet().await;
    let mut tail = Follower::start(&db.urls.relay).await;
    run(&db.client, INSERT).await;
    assert_eq!(tail.ids().await, [1]);
    let of_the_tail =
        "from pg_stat_activity where application_name = 'rowcast test' and datname = current_database()";
    let admin = connect(&db.urls.admin).await;
    assert_eq!(text(&admin, &format!("select state {of_the_tail}")).await, "idle");
    let locks = format!("select count(*) from pg_locks where pid = (select pid {of_the_tail})");
    assert_eq!(text(&db.client, &locks).await, "0");
}
