//! An id names one row: attach wants an index that sees to it.

use rowcast::pg::attach::{Attachment, attach as attach_with_report};
use std::time::Duration;

use super::refusals::refused;
use super::{attached, findings, text};
use crate::support::database;

#[tokio::test]
async fn an_id_that_no_index_makes_unique() {
    let bare = "create table t (id bigserial not null, room text, flag bool default true);";
    for made in [
        "",
        "create index on t (id)",
        "create unique index on t (id, room)",
        "create unique index on t (room, id)",
        "create unique index on t (id) where flag",
        "create unique index on t ((id + 0))",
        "alter table t add unique (id) deferrable",
    ] {
        refused(
            &format!("{bare} {made}"),
            "'t', room => 'room', id => 'id'",
            "55000",
            &[
                "no unique index on id of public.t",
                "create unique index concurrently on public.t (id);",
            ],
        )
        .await;
    }
    refused(
        "create table t (id bigserial, room text, primary key (id) deferrable)",
        "'t', room => 'room'",
        "55000",
        &["no unique index on id"],
    )
    .await;
}

#[tokio::test]
async fn an_index_that_is_not_valid() {
    let db = database().await;
    db.batch_execute("create table t (id bigserial, room text); insert into t (id) values (1), (1)")
        .await
        .expect("make");
    db.batch_execute("create unique index concurrently on t (id)")
        .await
        .expect_err("an id is there twice");
    assert_eq!(
        text(
            &db,
            "select count(*)::text from pg_index where indrelid = 't'::regclass"
        )
        .await,
        "1"
    );
    super::attach(&db, "'t', room => 'room', id => 'id'")
        .await
        .expect_err("the index is not valid");
    db.batch_execute("delete from t; reindex table t")
        .await
        .expect("mend");
    attached(&db, "'t', room => 'room', id => 'id'").await;
}

#[tokio::test]
async fn the_remedy_helps_and_what_is_lost_later_is_reported() {
    let db = database().await;
    db.batch_execute(
        "create table t (id bigserial, room text); create unique index u on t (id) include (room)",
    )
    .await
    .expect("make");
    attached(&db, "'t', room => 'room', id => 'id'").await;
    assert_eq!(findings(&db).await, [""; 0]);
    db.batch_execute("drop index u").await.expect("lose it");
    let found = findings(&db).await;
    assert!(
        found.len() == 1 && found[0].contains("no unique index on id of public.t"),
        "{found:?}"
    );
    db.batch_execute("create unique index concurrently on public.t (id)")
        .await
        .expect("the remedy");
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn partitions_may_need_their_key_in_the_index_and_attach_says_what_that_means() {
    let parted = "create table t (id bigserial, at int, room text) partition by range (at);
                  create table t1 partition of t for values from (1) to (9) partition by list (room);
                  create table t1a partition of t1 for values in ('a');";
    for index in ["", "create index on t (id, at, room)"] {
        refused(
            &format!("{parted} {index}"),
            "'t', room => 'room', id => 'id'",
            "55000",
            &[
                "no unique index on id of public.t",
                "create unique index on public.t (id, ",
            ],
        )
        .await;
    }
    refused(
        "create table t (id bigserial, at int, room text, primary key (at, id)) partition by range (at)",
        "'t', room => 'room', id => 'id'",
        "55000",
        &["no unique index on id"],
    )
    .await;
    refused(
        "create table t (id bigserial, at int, room text, primary key (id, at, room)) partition by range (at)",
        "'t', room => 'room', id => 'id'",
        "55000",
        &["no unique index on id"],
    )
    .await;

    let db = database().await;
    db.batch_execute(&format!("{parted} create unique index on t (id, at, room)"))
        .await
        .expect("make");
    let attachment = Attachment {
        id: Some("id".to_owned()),
        never_ring: Some(false),
        ..Attachment::new("t", "room")
    };
    let report = attach_with_report(&db, &attachment, Duration::ZERO)
        .await
        .expect("attach");
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("unique only together with (at, room)")),
        "{report:?}"
    );
    assert_eq!(findings(&db).await, [""; 0]);
}

#[tokio::test]
async fn a_partition_key_that_is_the_id_needs_no_warning() {
    let db = database().await;
    db.batch_execute(
        "create table t (id bigserial primary key, room text) partition by range (id);
         create table t1 partition of t for values from (1) to (9); create index on t (room, id)",
    )
    .await
    .expect("make");
    let attachment = Attachment {
        never_ring: Some(false),
        ..Attachment::new("t", "room")
    };
    let report = attach_with_report(&db, &attachment, Duration::ZERO)
        .await
        .expect("attach");
    assert_eq!(report.warnings, [""; 0]);
}
