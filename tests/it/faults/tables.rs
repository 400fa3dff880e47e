//! The table changes under the relay. `lifecycle::tables` and `lifecycle::truncate` have the answers meanwhile.

use super::trial::{Trial, set_up};
use super::{not_ready, ready};
use crate::support::{Relay, TestDatabase, database, run};

async fn stage() -> (TestDatabase, Relay) {
    let db = database().await;
    set_up(&db).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    (db, relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_table_is_renamed() {
    let (db, relay) = stage().await;
    let trial = Trial::begin("table renamed", [&relay.url; 2], &db.app_url).await;
    for (from, to) in [("messages", "posts"), ("posts", "messages")] {
        run(&db, &format!("alter table {from} rename to {to}")).await;
        trial.desk().write_into(to);
        trial.goes_on().await;
        ready(&relay).await;
    }
    trial
        .end(
            "`alter table … rename to`, and back",
            "streams wait and polls get 503 for half a second, until the relay has looked the name up",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_column_is_renamed() {
    let (db, relay) = stage().await;
    let trial = Trial::begin("room column renamed", [&relay.url; 2], &db.app_url).await;
    run(&db, "alter table messages rename room_id to place").await;
    not_ready(&relay, "source messages").await;
    // What the application writes meanwhile.
    run(
        &db,
        "insert into messages (place, body) select 'lobby', 'meanwhile' from generate_series(1, 20)",
    )
    .await;
    run(&db, "alter table messages rename place to room_id").await;
    trial.goes_on().await;
    ready(&relay).await;
    trial
        .end(
            "`alter table … rename column` of the room, rows written under the new name, and back",
            "streams wait, polls get 503; `/health/ready` names the source and why; mends itself",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_truncate_arrives_once() {
    let (db, relay) = stage().await;
    let trial = Trial::begin_with_resets("table truncated", &relay.url, &db.app_url).await;
    run(&db, "truncate messages restart identity").await;
    trial.goes_on_afresh().await;
    ready(&relay).await;
    trial
        .end(
            "`truncate … restart identity` while it is written",
            "a reset (`truncated`, `epoch` for who comes back later); they fetch afresh",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_table_that_is_made_again_arrives_once() {
    let (db, relay) = stage().await;
    let trial = Trial::begin_with_resets("table dropped and restored", &relay.url, &db.app_url).await;
    run(&db, "drop table messages").await;
    not_ready(&relay, "gone").await;
    set_up(&db).await;
    trial.goes_on_afresh().await;
    ready(&relay).await;
    trial
        .end(
            "`drop table`, made again, `rowcast attach`",
            "503 while it is gone, then a reset (`truncated`, `epoch`); they fetch afresh",
        )
        .await;
}

/// The bell's trigger alone: without the one that gives a transaction its id first, rows are outside of the promise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_bells_trigger_is_disabled() {
    let db = database().await;
    set_up(&db).await;
    let relay = Relay::serve(&db.relay_url, &["--quiet-after", "50ms"]).await;
    let trial = Trial::begin("trigger disabled", [&relay.url; 2], &db.app_url).await;
    trial.desk().be_quiet();
    relay.logs("\"to\":\"armed\"").await;
    run(&db, "alter table messages disable trigger rowcast_bell_messages").await;
    trial.goes_on().await;
    // Looked for at the start and once a minute.
    let other = Relay::serve(&db.relay_url, &[]).await;
    crate::support::eventually(async || {
        let notes = other.client.get("/health/ready").await.json()["notes"].to_string();
        notes.contains("rowcast_bell_messages")
    })
    .await;
    run(&db, "alter table messages enable trigger rowcast_bell_messages").await;
    trial.goes_on().await;
    trial
        .end(
            "`alter table … disable trigger rowcast_bell_…`, and enabled again",
            "rows up to a second later; `/health/ready` notes it within a minute",
        )
        .await;
}
