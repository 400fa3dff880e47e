//! What a gap may not be judged by: a read that was cut, and numbers that the sequence has not given yet.

use rowcast::cursor::OpenSet;
use rowcast::event::RowBody;
use rowcast::room::Room;

use super::{Follower, INSERT, inserting, run, text, with_messages, with_xid};
use crate::support::{attach, connect, server};

/// The rows of one read of a tail that follows.
const ROWS_OF_A_READ: i64 = 2_000;

fn ids(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

/// A read that stops at its limit has not looked at the ids above: row 2,002 commits before it, in a gap that was born
/// earlier, behind more rows in another gap than one read takes.
///
/// Fails when `cut_at` is `None` in the reader's `look`, or `Seen::bury` disregards it.
#[tokio::test]
async fn a_read_that_is_cut_kills_no_gap_beyond_its_last_row() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    let many = connect(&db.app_url).await;
    run(
        &many,
        "begin; insert into messages (room_id) select 1 from generate_series(1, 2001)",
    )
    .await;
    let late = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    assert_eq!(tail.ids().await, [2003]);
    run(&many, "commit").await;
    run(&late, "commit").await;
    let cut = tail.read().await;
    assert!(cut.outcome.cut);
    assert_eq!(cut.ids, ids(1, ROWS_OF_A_READ));
    assert_eq!(tail.ids().await, [2001, 2002]);
}

/// Fails when the rows of a cut read count as all there were: `high` then moves past them.
#[tokio::test]
async fn rows_beyond_the_limit_come_with_the_next_read() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    run(
        &db,
        "insert into messages (room_id) select 1 from generate_series(1, 4500)",
    )
    .await;
    let mut all = Vec::new();
    loop {
        let took = tail.read().await;
        all.extend(took.ids);
        if !took.outcome.cut {
            break;
        }
    }
    assert_eq!(all, ids(1, 4500));
}

/// Fails when `read.sql` counts `least(content_bytes, $6)` although there are no contents: that is $6 for each row.
#[tokio::test]
async fn a_read_without_contents_is_not_cut_by_their_bytes() {
    let db = with_messages().await;
    run(
        &db,
        "insert into messages (room_id) select 1 from generate_series(1, 100)",
    )
    .await;
    let tail = Follower::start(&db.relay_url).await;
    let read = tail
        .store
        .read(&tail.session, &OpenSet::above(0), 200, Some(&[]))
        .await;
    let read = read.expect("read").expect("the source is there");
    assert_eq!((read.rows.len(), read.cut), (100, false));
}

/// Fails when `read.sql` renders the rows of all rooms, or when one that was not rendered counts as gone.
#[tokio::test]
async fn contents_are_read_of_the_rooms_that_are_wanted_alone() {
    let db = with_messages().await;
    run(
        &db,
        "insert into messages (room_id) select n % 2 from generate_series(1, 4) n",
    )
    .await;
    let tail = Follower::start(&db.relay_url).await;
    let is_read = async |rooms: Option<&[Room]>| {
        let read = tail
            .store
            .read(&tail.session, &OpenSet::above(0), 200, rooms)
            .await;
        let rows = read.expect("read").expect("the source is there").rows;
        let bodies = rows.iter().map(|row| match row.body {
            RowBody::Json(_) => true,
            RowBody::NotRead => false,
            RowBody::Gone | RowBody::TooLarge => panic!("it is there, and small: {row:?}"),
        });
        bodies.collect::<Vec<bool>>()
    };
    let [zero, one] = ["0", "1"].map(Room::canonical);
    assert_eq!(is_read(None).await, [true; 4]);
    assert_eq!(is_read(Some(&[])).await, [false; 4]);
    assert_eq!(
        is_read(Some(std::slice::from_ref(&one))).await,
        [true, false, true, false]
    );
    assert_eq!(is_read(Some(&[one, zero])).await, [true; 4]);
}

/// Fails when names go to the database as text: it has no such letters, refuses them, and nobody gets anything.
#[tokio::test]
async fn a_room_that_the_database_can_not_spell_harms_nobody() {
    let admin = connect(&server().url("postgres")).await;
    run(&admin, "drop database if exists western").await;
    run(
        &admin,
        "create database western template template0 encoding 'WIN1252' lc_collate 'C' lc_ctype 'C'",
    )
    .await;
    let url = server().url("western");
    rowcast::pg::migrate::migrate(&url).await.expect("migrate");
    let db = connect(&url).await;
    run(
        &db,
        "create table places (id bigint generated always as identity primary key, room text not null);
         create index on places (room, id)",
    )
    .await;
    attach(&db, "'places', room => 'room'").await;
    let tail = Follower::start(&url).await;
    run(&db, "insert into places (room) values (chr(233)), ('e')").await;
    let rooms = ["日本", "é"].map(Room::canonical);
    let read = tail
        .store
        .read(&tail.session, &OpenSet::above(0), 10, Some(&rooms))
        .await;
    let rows = read.expect("read").expect("the source is there").rows;
    assert_eq!(rows[0].room.as_ref(), Some(&rooms[1]));
    assert!(matches!(rows[0].body, RowBody::Json(_)), "{rows:?}");
    assert_eq!(rows[1].body, RowBody::NotRead);
}

/// At the start a tail takes what it finds as seen, 20,000 rows at a time; one row's transaction is still open.
///
/// Fails when a start is over with its first read, cut or not: row 20,001 then comes as a new one.
#[tokio::test]
async fn a_start_over_more_rows_than_a_read_takes_keeps_the_gaps_beyond() {
    let db = with_messages().await;
    let rows = "insert into messages (room_id) select 1 from generate_series(1, 20001)";
    let many = connect(&db.app_url).await;
    run(&many, &format!("begin; {rows}")).await;
    let late = inserting(&db.app_url).await;
    run(&db, INSERT).await;
    let mut earlier = Follower::start(&db.relay_url).await;
    earlier.reader.save(&earlier.session).await.expect("save");
    run(&many, "commit").await;
    let mut tail = Follower::start(&db.relay_url).await;
    assert!(tail.open().contains(20_002), "{:?}", tail.open());
    run(&late, "commit").await;
    assert_eq!(tail.ids().await, [20_002]);
}

/// Fails when gaps get a bound beyond the sequence's last value (`Seen::bind` with `last = i64::MAX`).
#[tokio::test]
async fn one_explicit_id_of_a_million_makes_no_gap_of_the_ids_to_come() {
    let db = with_messages().await;
    run(
        &db,
        "insert into messages (room_id) select 1 from generate_series(1, 50)",
    )
    .await;
    let mut tail = Follower::start(&db.relay_url).await;
    run(&db, "insert into messages (id, room_id) values (1000000, 1)").await;
    assert_eq!(tail.ids().await, [1_000_000]);
    for _ in 0..3 {
        tail.look_at_locks().await;
        assert_eq!(tail.ids().await, [0; 0]);
    }
    for id in 51..60 {
        run(&db, INSERT).await;
        assert_eq!(tail.ids().await, [id]);
    }
    assert_eq!(text(&db, "select max(id) from messages").await, "1000000");
}

/// Fails when gaps get a bound beyond the sequence's last value.
#[tokio::test]
async fn explicit_ids_above_the_sequence_are_exact_in_any_order() {
    let db = with_messages().await;
    let mut tail = Follower::start(&db.relay_url).await;
    let (lower, lowest) = (with_xid(&db.app_url).await, connect(&db.app_url).await);
    run(&lower, "insert into messages (id, room_id) values (900, 1)").await;
    run(&db, "insert into messages (id, room_id) values (1000, 1)").await;
    assert_eq!(tail.ids().await, [1000]);
    assert_eq!(tail.ids().await, [0; 0]);
    run(&lower, "commit").await;
    assert_eq!(tail.ids().await, [900]);
    tail.look_at_locks().await;
    assert_eq!(tail.ids().await, [0; 0]);
    run(&lowest, "insert into messages (id, room_id) values (100, 1)").await;
    assert_eq!(tail.ids().await, [100]);
}
