//! Answers are kept for a moment, forgotten when told, and equal questions are put once. What is under way is held by a lock
//! that the statement waits for.

use std::sync::Arc;

use futures_util::future::join_all;
use rowcast::pg::authorize::Authorizer;
use rowcast::pg::reauthorize::{Calls, Reauthorize, RoomHash};
use rowcast::pg::source::Source;
use rowcast::room::Room;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{MEMBERS_ONLY, SEVEN, authorizer, rooms, with_members};
use crate::support::{TestDatabase, eventually, run, within};

/// [`MEMBERS_ONLY`], whose snapshot is taken before it waits for the gate.
const GATED: &str = "select exists (select from members where room_id = $1 and user_id = ($2->>'sub')::int)
                     from pg_advisory_xact_lock_shared(1)";

/// Keeps statements waiting.
async fn closed_gate(db: &TestDatabase) -> Client {
    let gate = db.connect().await;
    run(&gate, "select pg_advisory_lock(1)").await;
    gate
}

async fn open(gate: &Client) {
    run(gate, "select pg_advisory_unlock(1)").await;
}

/// Returns when so many statements wait at the gate.
async fn waiting(db: &TestDatabase, count: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database()
               and application_name = 'rowcast authorize' and wait_event = 'advisory'";
    eventually(async || db.query_one(sql, &[]).await.expect("ask").get::<_, i64>(0) == count).await;
}

/// Asks for room 1 in a task.
fn asking(authorizer: &Arc<Authorizer>, source: &Source) -> JoinHandle<bool> {
    let (authorizer, source) = (authorizer.clone(), source.clone());
    tokio::spawn(async move { ask(&authorizer, &source).await })
}

/// Whether user 7 may read room 1.
async fn ask(authorizer: &Authorizer, source: &Source) -> bool {
    let may = within(authorizer.may_read(source, &rooms(&["1"]), SEVEN)).await;
    may.expect("an answer")[0]
}

fn room(name: &str) -> Calls {
    let room = Some(RoomHash::of(&Room::canonical(name)));
    Reauthorize { source: None, room }.into()
}

#[tokio::test]
async fn an_answer_is_kept_until_it_is_forgotten() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, MEMBERS_ONLY).await;
    // The answer may be two seconds old before the table is changed, on a slow machine: then the round says nothing.
    eventually(async || {
        run(&db, "insert into members values (1, 7)").await;
        authorizer.forget(&Reauthorize::ALL.into());
        assert!(ask(&authorizer, &source).await);
        run(&db, "delete from members where user_id = 7").await;
        authorizer.forget(&room("2"));
        ask(&authorizer, &source).await
    })
    .await;
    authorizer.forget(&room("1"));
    assert!(!ask(&authorizer, &source).await, "it was forgotten");
}

#[tokio::test]
async fn an_answer_is_that_of_its_source_and_claims() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, MEMBERS_ONLY).await;
    assert!(ask(&authorizer, &source).await);
    let others = within(authorizer.may_read(&source, &rooms(&["1"]), r#"{"sub":"9"}"#)).await;
    assert_eq!(others.expect("an answer"), [false]);
    run(&db, "delete from members").await;
    let other_source = Source {
        name: "other".into(),
        ..source.clone()
    };
    assert!(!ask(&authorizer, &other_source).await);
    let attached_anew = Source {
        revision: source.revision + 1,
        ..source
    };
    assert!(!ask(&authorizer, &attached_anew).await);
}

/// The pool has four connections, so that without this rule two of six would ask after the change.
#[tokio::test]
async fn equal_questions_that_are_under_way_are_asked_once() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, GATED).await;
    let gate = closed_gate(&db).await;
    let six = tokio::spawn({
        let (authorizer, source) = (authorizer.clone(), source.clone());
        async move { join_all((0..6).map(|_| ask(&authorizer, &source))).await }
    });
    waiting(&db, 1).await;
    run(&db, "delete from members").await;
    open(&gate).await;
    assert_eq!(within(six).await.expect("no panic"), [true; 6]);
}

#[tokio::test]
async fn an_answer_from_before_a_change_is_not_kept_behind_it() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, GATED).await;
    let gate = closed_gate(&db).await;
    let before = asking(&authorizer, &source);
    waiting(&db, 1).await;
    run(&db, "delete from members").await;
    authorizer.forget(&room("1"));
    let after = asking(&authorizer, &source);
    waiting(&db, 2).await;
    open(&gate).await;
    assert!(within(before).await.expect("no panic"));
    assert!(!within(after).await.expect("no panic"));
    assert!(!ask(&authorizer, &source).await);
}

#[tokio::test]
async fn a_question_whose_asker_goes_away_is_put_by_who_waits_for_it() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, GATED).await;
    let gate = closed_gate(&db).await;
    let first = asking(&authorizer, &source);
    waiting(&db, 1).await;
    let second = asking(&authorizer, &source);
    first.abort();
    // The one that was given up waits on: nobody tells PostgreSQL.
    waiting(&db, 2).await;
    open(&gate).await;
    assert!(within(second).await.expect("no panic"));
    assert!(ask(&authorizer, &source).await, "the pool is as before");
}

/// Its end was not sent yet, and the next one would be asked inside of it.
#[tokio::test]
async fn a_session_that_is_dropped_within_its_transaction_is_closed() {
    let (db, source) = with_members().await;
    let authorizer = authorizer(&db.admin_url, MEMBERS_ONLY).await;
    let alter = db.admin().await;
    run(&alter, "begin; lock table members").await;
    let sessions = async || {
        let sql = "select wait_event_type = 'Lock' from pg_stat_activity
                   where datname = current_database() and application_name = 'rowcast authorize'";
        let rows = db.query(sql, &[]).await.expect("ask");
        rows.iter()
            .map(|row| row.get::<_, Option<bool>>(0) == Some(true))
            .collect::<Vec<_>>()
    };
    let asked = asking(&authorizer, &source);
    eventually(async || sessions().await == [true]).await;
    asked.abort();
    within(asked).await.expect_err("it was aborted");
    run(&alter, "commit").await;
    eventually(async || sessions().await.is_empty()).await;
    assert!(ask(&authorizer, &source).await);
}
