//! A source over time: attached again, changed, truncated, damaged, detached.

use super::{MESSAGES, attached, bells, findings, listed, listener, role, source, text, with_messages};
use crate::support::connect;

#[tokio::test]
async fn the_same_attach_again_changes_nothing_and_locks_nothing() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    let mut writer = db.connect().await;
    let insert = writer.transaction().await.expect("begin");
    insert
        .batch_execute("insert into messages (room_id) values (1)")
        .await
        .expect("insert");
    attached(&db, "'public.messages', room => 'room_id', id => 'id'").await;
    assert_eq!(source(&db).await, before);
}

#[tokio::test]
async fn other_columns_change_the_source_in_its_place() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    attached(&db, "'messages', room => 'room_id', columns => '{body,id}'").await;
    let after = source(&db).await;
    assert_eq!(after.columns, ["body", "id"]);
    assert_eq!(
        after.payload_columns,
        Some(vec!["body".to_owned(), "id".to_owned()])
    );
    assert_eq!((after.epoch, after.ordinal), (before.epoch, before.ordinal));
}

#[tokio::test]
async fn another_room_column_begins_a_new_epoch() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute("insert into messages (room_id) values (1)")
        .await
        .expect("insert");
    attached(&db, "'messages', room => 'body'").await;
    let after = source(&db).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.start_id, after.ordinal), (1, before.ordinal));
}

#[tokio::test]
async fn a_lost_or_disabled_trigger_is_reported_and_made_again() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute(
        "drop trigger rowcast_xid_messages on messages; alter table messages disable trigger rowcast_bell_messages",
    )
    .await
    .expect("damage");
    let found = findings(&db).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let epoch = source(&db).await.epoch;
    attached(&db, "'messages', room => 'room_id'").await;
    assert_eq!(findings(&db).await, [""; 0]);
    assert_eq!(source(&db).await.epoch, epoch);
}

#[tokio::test]
async fn truncate_begins_a_new_epoch_whoever_truncates() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let (stranger, url) = role(&db, "stranger").await;
    db.batch_execute(&format!(
        "grant truncate on messages to {stranger}; insert into messages (room_id) values (1), (2)"
    ))
    .await
    .expect("grant");
    let before = source(&db).await;
    let (_client, mut heard) = listener(&db).await;
    let theirs = connect(&url).await;
    theirs.batch_execute("truncate messages").await.expect("truncate");
    let after = source(&db).await;
    assert_eq!((after.epoch, after.start_id), (before.epoch + 1, 2));
    assert_eq!(bells(&db, &mut heard).await, ["messages"]);
    db.batch_execute("truncate messages restart identity")
        .await
        .expect("truncate");
    let last = source(&db).await;
    assert_eq!((last.epoch, last.start_id), (before.epoch + 2, 0));
    assert_ne!(last.sequence_filenode, after.sequence_filenode);
}

#[tokio::test]
async fn a_strangers_trigger_can_not_raise_the_epoch() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute(
        "create table theirs (x int);
         create trigger t after truncate on theirs for each statement execute function rowcast.truncated('messages');
         truncate theirs; drop table theirs",
    )
    .await
    .expect("truncate");
    assert_eq!(source(&db).await, before);
}

#[tokio::test]
async fn detach_works_when_the_table_or_the_triggers_are_gone() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("drop trigger rowcast_bell_messages on messages; select rowcast.detach('messages')")
        .await
        .expect("detach");
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("drop table messages").await.expect("drop");
    let broken = listed(&db).await.remove(0).source.expect_err("its table is gone");
    assert_eq!(broken.to_string(), "its table is gone");
    db.batch_execute("select rowcast.detach('messages')")
        .await
        .expect("detach");
    assert!(listed(&db).await.is_empty());
    assert_eq!(
        text(
            &db,
            "select count(*)::text from pg_class where relname = 'bell_messages'"
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn a_table_made_anew_is_attached_in_the_place_of_the_old_one() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    let before = source(&db).await;
    db.batch_execute(&format!("drop table messages; {MESSAGES}"))
        .await
        .expect("make anew");
    attached(&db, "'messages', room => 'room_id'").await;
    let after = source(&db).await;
    assert_ne!(
        (after.epoch, after.relation_oid),
        (before.epoch, before.relation_oid)
    );
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn what_broke_a_source_is_said_in_words() {
    let db = with_messages().await;
    for (damage, words) in [
        (
            "alter table messages rename room_id to room",
            "its room column room_id is gone",
        ),
        ("alter table messages rename id to nr", "its id column id is gone"),
        ("alter table messages drop column body", "columns are gone: body"),
        (
            "alter table messages alter room_id type numeric",
            "its room column is of type numeric now",
        ),
        (
            "alter table messages alter id drop identity",
            "its ids are drawn from another sequence now, or from none",
        ),
    ] {
        attached(&db, "'messages', room => 'room_id', columns => '{id,body}'").await;
        db.batch_execute(damage).await.expect("damage");
        let broken = listed(&db).await.remove(0).source.expect_err(damage);
        assert_eq!(broken.to_string(), words);
        db.batch_execute(&format!(
            "select rowcast.detach('messages'); drop table messages; {MESSAGES}"
        ))
        .await
        .expect("mend");
    }
}

#[tokio::test]
async fn a_sequence_altered_later_is_reported() {
    let db = with_messages().await;
    attached(&db, "'messages', room => 'room_id'").await;
    db.batch_execute("alter sequence messages_id_seq cache 10")
        .await
        .expect("alter");
    let found = findings(&db).await;
    assert!(
        found.len() == 1 && found[0].contains("in blocks (cache 10)"),
        "{found:?}"
    );
}
