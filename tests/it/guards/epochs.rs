//! When ids begin anew: every cursor of before is void, and is told so; and only then.

use super::{ATTACH, Follower, INSERT, inserting, run, with_messages};
use crate::support::{TestDatabase, attach, within};

/// A database with rows 1 to 10, a tail that has seen them, and its epoch.
async fn ten_rows() -> (TestDatabase, Follower, i64) {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    run(
        &db,
        "insert into messages (room_id) select 1 from generate_series(1, 10)",
    )
    .await;
    assert_eq!(tail.ids().await.len(), 10);
    let epoch = tail.rejoin();
    (db, tail, epoch)
}

/// Reads until the tail stands in an epoch for good, and returns it.
async fn epoch_now(tail: &mut Follower) -> i64 {
    within(async { while tail.try_read().await.expect("read").cut {} }).await;
    tail.rejoin()
}

/// Fails without the trigger `rowcast_truncate_…`, and when the reader does not compare epochs.
#[tokio::test]
async fn truncate_begins_an_epoch_and_the_rows_after_it_are_new() {
    let (db, mut tail, epoch) = ten_rows().await;
    run(&db, "begin; truncate messages").await;
    run(&db, INSERT).await;
    run(&db, "rollback").await;
    assert_eq!(epoch_now(&mut tail).await, epoch, "it was rolled back");
    run(&db, "begin; truncate messages").await;
    run(&db, INSERT).await;
    run(&db, "commit").await;
    assert_eq!(tail.read_across().await, epoch + 1);
    assert_eq!(tail.ids().await, [12]);
}

/// Fails without `rowcast_truncate_…`'s `start_id`: row 1 of the new numbering would count as seen.
#[tokio::test]
async fn truncate_restart_identity_begins_an_epoch_from_1() {
    let (db, mut tail, epoch) = ten_rows().await;
    run(&db, "truncate messages restart identity").await;
    run(&db, INSERT).await;
    assert_eq!(tail.read_across().await, epoch + 1);
    assert_eq!(tail.ids().await, [1]);
}

/// Fails when `began_anew` disregards `sequence_is_same`.
#[tokio::test]
async fn a_sequence_that_was_restarted_begins_an_epoch_although_it_stands_higher() {
    let (db, mut tail, epoch) = ten_rows().await;
    run(&db, "alter sequence messages_id_seq restart with 1000").await;
    run(&db, INSERT).await;
    assert_eq!(epoch_now(&mut tail).await, epoch + 1);
    assert_eq!(epoch_now(&mut tail).await, epoch + 1, "once");
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [1001]);
}

/// As a dump restored over the table leaves it.
///
/// Fails when `began_anew` disregards the sequence's last value.
#[tokio::test]
async fn a_sequence_that_stands_below_what_was_seen_begins_an_epoch() {
    let (db, mut tail, epoch) = ten_rows().await;
    run(
        &db,
        "delete from messages where id > 5; select setval('messages_id_seq', 5)",
    )
    .await;
    assert_eq!(epoch_now(&mut tail).await, epoch + 1);
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [6]);
}

/// Fails when the saved position's `highest_drawn` is not compared at the start.
#[tokio::test]
async fn a_sequence_set_back_while_no_tail_was_there_begins_an_epoch() {
    let (db, mut tail, epoch) = ten_rows().await;
    tail.reader.save(&tail.session).await.expect("save");
    drop(tail);
    run(
        &db,
        "delete from messages where id > 5; select setval('messages_id_seq', 5)",
    )
    .await;
    let mut tail = Follower::start(&db.relay_url).await;
    assert_eq!(tail.rejoin(), epoch + 1);
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [6]);
}

/// A crash may set a sequence back over numbers whose transactions never committed; `setval` does here what it would do.
///
/// Fails when `Place::note_drawn` takes the sequence's last value for what was closed.
#[tokio::test]
async fn a_crash_that_sets_the_sequence_back_over_uncommitted_numbers_begins_no_epoch() {
    let (db, mut tail, epoch) = ten_rows().await;
    let lost = inserting(&db.app_url).await;
    run(
        &lost,
        "insert into messages (room_id) select 1 from generate_series(1, 9)",
    )
    .await;
    assert_eq!(tail.ids().await, [0; 0]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&lost, "rollback").await;
    run(&db, "select setval('messages_id_seq', 10)").await;
    assert_eq!(epoch_now(&mut tail).await, epoch);
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [11]);
    tail.reader.save(&tail.session).await.expect("save");
    assert_eq!(
        Follower::start(&db.relay_url).await.rejoin(),
        epoch,
        "nor at the next start"
    );
}

/// The ids of the old epoch are used again: what stands there counts as seen, what comes is new.
///
/// Fails when a tail keeps its own `high` across epochs.
#[tokio::test]
async fn a_detached_and_attached_table_begins_an_epoch() {
    let (db, mut tail, epoch) = ten_rows().await;
    tail.reader.save(&tail.session).await.expect("save");
    run(&db, "select rowcast.detach('messages')").await;
    attach(&db, ATTACH).await;
    let mut tail = Follower::start(&db.relay_url).await;
    assert_ne!(tail.rejoin(), epoch);
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [11]);
}

impl Follower {
    /// Reads until the epoch changes, as a subscriber that is told so, and returns the new one.
    async fn read_across(&mut self) -> i64 {
        let before = self.rejoin();
        within(async {
            loop {
                self.try_read().await.expect("read");
                let now = self.rejoin();
                if now != before {
                    return now;
                }
            }
        })
        .await
    }
}
