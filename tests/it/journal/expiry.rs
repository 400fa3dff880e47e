//! Pruning: who comes with a cursor that is older than what is kept is told so, and nobody else.

use serde_json::json;

use crate::support::{eventually, grant_attached, run};

use super::{EVENTS, all_said, tasks};

/// Entries in the journal of `tasks`.
async fn entries(db: &tokio_postgres::Client) -> i64 {
    db.query_one("select count(*) from rowcast.journal_tasks", &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn a_cursor_that_is_older_than_what_is_kept_has_expired() {
    let (db, relay) = tasks(", keep => '10 rows'", &["--prune-interval", "50ms"]).await;
    let mut follower = relay.client.stream(EVENTS).await;
    let old = follower.ready().await;
    run(
        &db,
        "insert into tasks select n::text, 'a' from generate_series(1, 100) n",
    )
    .await;
    for _ in 0..100 {
        follower.next_row().await;
    }
    eventually(async || entries(&db).await == 10).await;
    let fresh = follower.last_event_id.clone().unwrap();

    // The ring still has it all. A relay that was started since has nothing but the journal.
    let other = crate::support::Relay::serve(&db.relay_url, &[]).await;
    for cursor in [old.as_str(), "0", "89"] {
        let answer = other.client.get(&format!("{EVENTS}?after={cursor}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (409, "expired"),
            "{cursor}"
        );
        let next = other
            .client
            .get(&format!("{EVENTS}?after={}", answer.cursor()))
            .await;
        assert_eq!((next.status.as_u16(), next.events().len()), (200, 0));
        let mut stream = other.client.stream(&format!("{EVENTS}?after={cursor}")).await;
        let reset = stream.next_event().await;
        assert_eq!(reset.event.as_deref(), Some("reset"));
        assert_eq!(reset.json()["code"], "expired");
        stream.ready().await;
    }
    let kept = other.client.get(&format!("{EVENTS}?after=90")).await;
    assert_eq!(kept.events().len(), 10);

    // Who kept up has missed nothing.
    run(&db, "delete from tasks where id = '7'").await;
    assert_eq!(all_said(&[follower.next_row().await]), ["delete 7"]);
    let resumed = other.client.get(&format!("{EVENTS}?after={fresh}")).await;
    assert_eq!(all_said(&resumed.events()), ["delete 7"]);
}

#[tokio::test]
async fn a_reset_brings_the_newest_of_what_is_kept() {
    let (db, relay) = tasks(", keep => '5 rows'", &["--prune-interval", "50ms"]).await;
    run(
        &db,
        "insert into tasks select n::text, 'a' from generate_series(1, 50) n",
    )
    .await;
    eventually(async || entries(&db).await == 5).await;
    let mut stream = relay.client.stream(&format!("{EVENTS}?after=1&last=2")).await;
    assert_eq!(stream.next_event().await.json()["code"], json!("expired"));
    assert_eq!(
        all_said(&[stream.next_row().await, stream.next_row().await]),
        ["insert 49", "insert 50"]
    );
    stream.ready().await;
}

#[tokio::test]
async fn nothing_is_pruned_that_a_transaction_may_still_commit() {
    let (db, relay) = tasks(", keep => '1 rows'", &["--prune-interval", "50ms"]).await;
    let mut follower = relay.client.stream(EVENTS).await;
    follower.ready().await;
    let late = crate::support::connect(&db.app_url).await;
    run(&late, "begin; insert into tasks values ('late', 'a')").await;
    run(
        &db,
        "insert into tasks select n::text, 'a' from generate_series(1, 30) n",
    )
    .await;
    for _ in 0..30 {
        follower.next_row().await;
    }
    // Another journal is pruned: so this one was looked at as well, and kept what lies above the open transaction.
    run(
        &db,
        "create table others (id text primary key, list text);
         select rowcast.attach('others', room => 'list', changes => '{insert,update}', keep => '1 rows', never_ring => false);",
    )
    .await;
    grant_attached(&db).await;
    run(
        &db,
        "insert into others select n::text, 'a' from generate_series(1, 30) n",
    )
    .await;
    let others = "select count(*) from rowcast.journal_others";
    eventually(async || db.query_one(others, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    assert_eq!(entries(&db).await, 30);
    run(&late, "commit").await;
    assert_eq!(all_said(&[follower.next_row().await]), ["insert late"]);
    eventually(async || entries(&db).await == 1).await;
}
