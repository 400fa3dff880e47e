//! A journal is one more relation to follow: the rules of gaps hold for its entries, and three more for what is special
//! about it (pruning, rows listed from the table, other statements after another attach).

use rowcast::cursor::IdRange;
use rowcast::room::Room;
use rowcast::tail::ReadError;
use rowcast::tail::reader::Outcome;

use crate::support::{TestDatabase, attach, database};

use super::{Follower, quiet, run, text, with_xid};

/// Its ids are drawn ahead, by whom and when one likes; the journal draws its own.
const NOTES: &str = "create table messages (id bigint primary key, room_id int, body text);
     create sequence ahead;";

const ATTACH: &str = "'messages', room => 'room_id', changes => '{insert,update,delete}', keep => '1 rows'";

const INSERT: &str = "insert into messages (id, room_id) values (nextval('ahead'), 1)";

async fn notes() -> TestDatabase {
    let db = database().await;
    run(&db, NOTES).await;
    attach(&db, ATTACH).await;
    db
}

#[tokio::test]
async fn an_entry_that_commits_late_is_delivered_once_whatever_ids_the_rows_have() {
    let db = notes().await;
    let mut tail = Follower::start(&db.relay_url).await;
    run(&db, "select nextval('ahead'); select setval('ahead', 90)").await;
    let late = crate::support::connect(&db.app_url).await;
    run(&late, "begin; insert into messages (id, room_id) values (1, 1)").await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2]);
    assert_eq!(tail.open().gaps(), [IdRange { low: 1, high: 1 }]);
    run(&late, "commit").await;
    assert_eq!(tail.ids().await, [1]);
    assert!(tail.open().gaps().is_empty());
}

/// Fails where the locks are looked up on the attached table's partitions and not on the journal, or the bound is not noted.
#[tokio::test]
async fn an_entry_that_was_rolled_back_is_given_up_while_a_foreign_transaction_is_open() {
    let db = quiet().await;
    run(
        &db.client,
        "select rowcast.detach('messages'); drop table messages",
    )
    .await;
    run(&db.client, NOTES).await;
    attach(&db.client, ATTACH).await;
    let mut tail = Follower::start(&db.urls.relay).await;
    let foreign = with_xid(&db.urls.app).await;
    run(&db.client, &format!("begin; {INSERT}; rollback; {INSERT}")).await;
    assert_eq!(tail.ids().await, [2]);
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [0; 0]);
    assert!(tail.open().gaps().is_empty(), "{:?}", tail.open());

    // While somebody writes the table, the look says nothing about what came after he began.
    let writer = inserting_ahead(&db.urls.app).await;
    run(&db.client, &format!("begin; {INSERT}; rollback; {INSERT}")).await;
    assert_eq!(tail.ids().await, [5]);
    tail.look_at_locks().await;
    tail.ids().await;
    assert_eq!(tail.open().gaps(), [IdRange { low: 3, high: 4 }]);
    run(&writer, "commit").await;
    assert_eq!(tail.ids().await, [3]);
    drop(foreign);
}

async fn inserting_ahead(url: &str) -> tokio_postgres::Client {
    let client = crate::support::connect(url).await;
    run(&client, "begin").await;
    run(&client, INSERT).await;
    client
}

/// A tail that was away for longer than entries are kept has missed some, and so has who follows it. It must neither wait for
/// them nor go on as if nothing was missed.
#[tokio::test]
async fn a_tail_that_pruning_overtook_starts_over() {
    let db = notes().await;
    let mut away = Follower::start(&db.relay_url).await;
    let mut other = Follower::start(&db.relay_url).await;
    for _ in 0..5 {
        run(&db, INSERT).await;
    }
    assert_eq!(other.ids().await, [1, 2, 3, 4, 5]);
    other
        .reader
        .save(&other.session)
        .await
        .expect("save the position");
    assert_eq!(text(&db, "rowcast.prune('messages', 100)").await, "4");

    let before = away.after;
    let Outcome { rows, .. } = away.try_read().await.expect("read");
    assert_eq!(rows, 1);
    assert!(matches!(
        away.subscriber.pull(before),
        rowcast::hub::Pull::Overtaken
    ));
    assert_eq!(away.open().lowest(), 6);
    // And a replay of what was missed says that it is not whole.
    let missed = [IdRange { low: 4, high: 5 }];
    let page = away.store.replay(&[Room::canonical("1")], &missed, 10).await;
    assert_eq!(page.expect("read").expect("registered").kept_above, 4);
    run(&db, INSERT).await;
    away.rejoin();
    assert_eq!(away.ids().await, [6]);
}

/// Their entries follow, and a row that is listed and inserted once more is there twice.
#[tokio::test]
async fn rows_whose_insertion_was_not_seen_are_not_listed() {
    let db = notes().await;
    let tail = Follower::start(&db.relay_url).await;
    for _ in 0..3 {
        run(&db, INSERT).await;
    }
    run(&db, "update messages set body = 'x' where id = 1").await;
    let room = [Room::canonical("1")];
    let unseen = async |low: i64, high: i64| {
        let open = [IdRange { low, high }];
        let found = tail.store.newest(&room, &open, i64::MAX, 10).await;
        let rows = found.expect("read").expect("a key with an order").rows;
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(unseen(5, i64::MAX).await, [1, 2, 3]);
    assert_eq!(unseen(2, i64::MAX).await, [1]);
    assert_eq!(
        unseen(4, i64::MAX).await,
        [1, 2, 3],
        "an update that was not seen hides nothing"
    );
    assert_eq!(unseen(2, 2).await, [1, 3]);
}

#[tokio::test]
async fn statements_of_another_attach_are_not_believed() {
    let db = notes().await;
    let mut tail = Follower::start(&db.relay_url).await;
    run(&db, INSERT).await;
    run(
        &db,
        "select rowcast.attach('messages', room => 'room_id', never_ring => false, journal => true)",
    )
    .await;
    run(&db, INSERT).await;
    let error = tail.try_read().await.expect_err("another journal");
    assert!(
        matches!(error, ReadError::Replanned | ReadError::Database(_)),
        "{error}"
    );
}
