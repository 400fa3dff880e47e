//! Gaps and long transactions: whoever keeps a transaction open delays nobody else's rows, and the ids that were rolled
//! back meanwhile do not pile up in the cursors.

use tokio_postgres::Client;

use crate::support::{Relay, Stream, TestDatabase, connect, database, eventually, grant_attached, server};

/// Rolls back `rounds` times `rows` ids, each time followed by a row that is kept: that makes `rounds` gaps.
fn roll_back(rounds: u32, rows: u32) -> String {
    format!(
        "do $$ begin
            for round in 1..{rounds} loop
                insert into messages (room_id, body) select 'elsewhere', 'rolled back' from generate_series(1, {rows});
                rollback;
                insert into messages (room_id, body) values ('elsewhere', 'kept');
                commit;
            end loop;
        end $$"
    )
}

const INSERT: &str = "insert into messages (room_id, body) values ('lobby', 'kept') returning id";

/// A relay on a table whose inserts are followed, and a stream of its only room.
struct Scene {
    db: TestDatabase,
    relay: Relay,
    stream: Stream,
}

impl Scene {
    async fn set() -> Self {
        let db = database().await;
        db.batch_execute(
            "create table messages (id bigint generated always as identity primary key, room_id text, body text);
             create index on messages (room_id, id);
             select rowcast.attach('messages', room => 'room_id')",
        )
        .await
        .expect("attach a table");
        grant_attached(&db).await;
        let relay = Relay::serve(&db.relay_url, &[]).await;
        let mut stream = relay.client.stream("/v1/rooms/lobby/events").await;
        stream.ready().await;
        Self { db, relay, stream }
    }

    /// Inserts a row, sees it arrive, and returns the cursor that came with it.
    async fn row_arrives(&mut self) -> String {
        let id: i64 = self.db.query_one(INSERT, &[]).await.expect("insert").get(0);
        let frame = self.stream.next_event().await;
        assert_eq!(frame.json()["id"], id);
        frame.id.expect("an event has a cursor")
    }

    /// Rolls back 10,000 ids, in more gaps than a cursor holds, between two rows that arrive; then waits until the cursors
    /// of new rows tell of no gap.
    async fn ten_thousand_gaps_die(&mut self) {
        self.row_arrives().await;
        self.db
            .batch_execute(&roll_back(1_000, 10))
            .await
            .expect("roll back");
        self.row_arrives().await;
        self.cursors_become_free_of_gaps().await;
    }

    async fn cursors_become_free_of_gaps(&mut self) {
        eventually(async || !self.row_arrives().await.contains('~')).await;
    }

    /// The cursor that a poll without one answers: the tail's position.
    async fn present(&self) -> String {
        self.relay
            .client
            .get("/v1/rooms/lobby/events?limit=1")
            .await
            .cursor()
    }
}

/// A transaction that stays open as long as what is returned lives: it has an id and a snapshot, and runs `statement`.
async fn long_transaction(url: &str, statement: &str) -> Client {
    let client = connect(url).await;
    client
        .batch_execute("begin isolation level repeatable read; select pg_current_xact_id()")
        .await
        .expect("begin");
    client
        .batch_execute(statement)
        .await
        .expect("the transaction's statement");
    client
}

#[tokio::test]
async fn a_long_transaction_in_another_database_delays_no_row_and_keeps_no_gap() {
    let mut scene = Scene::set().await;
    let foreign = long_transaction(&server().url("postgres"), "select 1").await;
    scene.ten_thousand_gaps_die().await;
    assert!(!foreign.is_closed());
}

#[tokio::test]
async fn a_long_transaction_that_does_not_write_the_table_delays_no_row_and_keeps_no_gap() {
    let mut scene = Scene::set().await;
    let statement = "create temporary table other as select 1; select count(*) from messages";
    let idle = long_transaction(&scene.db.app_url, statement).await;
    scene.ten_thousand_gaps_die().await;
    idle.batch_execute("commit")
        .await
        .expect("it was open until here");
}

#[tokio::test]
async fn a_long_transaction_that_wrote_the_table_delays_only_its_own_rows() {
    let mut scene = Scene::set().await;
    scene.row_arrives().await;
    let writer = long_transaction(&scene.db.app_url, "select 1").await;
    let late: i64 = writer.query_one(INSERT, &[]).await.expect("insert").get(0);
    scene.row_arrives().await;
    scene
        .db
        .batch_execute(&roll_back(100, 100))
        .await
        .expect("roll back");
    for _ in 0..20 {
        let cursor = scene.row_arrives().await;
        assert!(cursor.contains('~') && cursor.len() < 2_000, "{cursor}");
    }
    let resumed_from = scene.present().await;

    writer.batch_execute("commit").await.expect("commit");
    assert_eq!(scene.stream.next_row().await["id"], late);
    let path = format!("/v1/rooms/lobby/events?after={resumed_from}");
    assert_eq!(scene.relay.client.get(&path).await.ids(), [late]);
    scene.cursors_become_free_of_gaps().await;
}

#[tokio::test]
async fn many_gaps_under_a_writer_of_the_table_make_no_cursor_that_is_refused() {
    let mut scene = Scene::set().await;
    let writer = long_transaction(&scene.db.app_url, "select 1").await;
    writer.query_one(INSERT, &[]).await.expect("insert");
    // More gaps than a cursor's text holds.
    scene
        .db
        .batch_execute(&roll_back(1_500, 1))
        .await
        .expect("roll every second one back");
    let cursor = scene.row_arrives().await;
    assert!(cursor.len() < 16 * 1024, "{} bytes", cursor.len());
    let resumed = format!("/v1/rooms/lobby/events?after={cursor}");
    assert_eq!(scene.relay.client.get(&resumed).await.ids(), [0_i64; 0]);
    writer.batch_execute("rollback").await.expect("roll back");
    scene.cursors_become_free_of_gaps().await;
}
