//! The saved position: whoever starts next begins there, and whatever was in flight then is still delivered.

use rowcast::cursor::{IdRange, OpenSet};
use rowcast::pg::store::SavedPosition;

use super::{EVENTS, Follower, INSERT, inserting, run, text, with_messages};
use crate::support::{Relay, eventually};

async fn saved(tail: &mut Follower) {
    tail.reader.save(&tail.session).await.expect("save");
}

/// Fails when a start takes the saved position's highest id for all of it, or its gaps for dead.
#[tokio::test]
async fn a_row_in_flight_across_a_crash_is_delivered_by_the_next_tail() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    let late = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2]);
    saved(&mut tail).await;
    drop(tail);
    run(&db, INSERT).await;
    let mut tail = Follower::start(&db.relay_url).await;
    assert_eq!(
        tail.ids().await,
        [0; 0],
        "what came meanwhile stands in the table"
    );
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [4]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&late, "commit").await;
    assert_eq!(tail.ids().await, [1]);
    assert_eq!(tail.ids().await, [0; 0]);
}

/// However old a position is, it is true: gaps are looked for above it, and its own are judged anew.
///
/// Fails when gaps found at the start get no bound, and so never die.
#[tokio::test]
async fn an_old_position_serves_as_well() {
    let db = with_messages().await;
    let mut old = Follower::start(&db.relay_url).await;
    saved(&mut old).await;
    run(
        &db,
        "begin; insert into messages (room_id) select 1 from generate_series(1, 50); rollback",
    )
    .await;
    run(
        &db,
        "insert into messages (room_id) select 1 from generate_series(1, 50)",
    )
    .await;
    let late = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    let mut tail = Follower::start(&db.relay_url).await;
    assert!(tail.open().contains(101));
    assert_eq!(tail.ids().await, [0; 0]);
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [0; 0]);
    run(&late, "commit").await;
    assert_eq!(tail.ids().await, [101]);
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [0; 0]);
    assert_eq!(tail.open(), OpenSet::above(102), "what was rolled back is closed");
}

/// Fails when a position is saved abridged (to a cursor's 512 ranges, which joins gaps).
#[tokio::test]
async fn thousands_of_gaps_are_saved_unabridged() {
    let db = with_messages().await;
    let tail = Follower::start(&db.relay_url).await;
    let gaps = (0..3_000).map(|n| IdRange {
        low: 1 + n * 3,
        high: 1 + n * 3 + n % 2,
    });
    let position = SavedPosition {
        open: OpenSet::new(10_000, gaps),
        highest_drawn: 10_000,
    };
    assert_eq!(position.open.gaps().len(), 3_000);
    let epoch = tail.source.epoch;
    tail.store
        .save_position(&tail.session, epoch, &position)
        .await
        .expect("save");
    let loaded = tail
        .store
        .load_position(&tail.session, epoch)
        .await
        .expect("load");
    assert_eq!(loaded.as_ref(), Some(&position));
    assert_eq!(
        tail.store
            .load_position(&tail.session, epoch + 1)
            .await
            .expect("load"),
        None
    );
}

/// The same from outside: a subscriber that goes on with its cursor on the relay's successor has each row once.
///
/// Fails as the first one does.
#[tokio::test]
async fn a_subscriber_goes_on_at_the_successor_of_a_killed_relay() {
    let db = with_messages().await;
    let mut relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    let late = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [2]);
    let saved = "select count(*) from rowcast.positions where high = 2 and gap_lows = '{1}'";
    eventually(async || text(&db, saved).await == "1").await;
    let cursor = stream.last_event_id.clone().expect("a cursor");
    relay.kill();
    run(&db, INSERT).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stream = relay.client.resume(EVENTS, &cursor).await;
    assert_eq!(stream.ids(1).await, [3]);
    stream.ready().await;
    run(&late, "commit").await;
    assert_eq!(stream.ids(1).await, [1]);
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [4]);
}
