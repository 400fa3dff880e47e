//! What most tests begin with: a table `messages`, attached, and a relay that follows it.

use super::{Relay, TestDatabase, database, grant_attached, grant_publishing};

/// Columns as an application might have them. Not attached.
pub const MESSAGES: &str =
    "create table messages (id bigint generated always as identity primary key, room text, body text);
     create index on messages (room, id);";

/// A database with the table `messages`, attached.
pub async fn messages() -> TestDatabase {
    let db = database().await;
    run(&db, MESSAGES).await;
    attach(&db, "'messages', room => 'room'").await;
    db
}

/// The table `messages` and a relay on it, with these arguments.
pub async fn scene(arguments: &[&str]) -> (TestDatabase, Relay) {
    let db = messages().await;
    if arguments.contains(&"--allow-publish") {
        grant_publishing(&db).await;
    }
    let relay = Relay::serve(&db.relay_url, arguments).await;
    (db, relay)
}

/// `select rowcast.attach(ARGUMENTS)`, to ring, although the tests' server allows prepared transactions; and the relays may
/// read the table.
pub async fn attach(client: &tokio_postgres::Client, arguments: &str) {
    run(
        client,
        &format!("select rowcast.attach({arguments}, never_ring => false)"),
    )
    .await;
    grant_attached(client).await;
}

/// Statements that must succeed; PostgreSQL's own words if they do not.
#[track_caller]
pub fn run(client: &tokio_postgres::Client, sql: &str) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        if let Err(error) = super::within(client.batch_execute(sql)).await {
            panic!(
                "{caller}: {sql}: {}",
                error.as_db_error().map_or(error.to_string(), |db| db.to_string())
            );
        }
    }
}

impl TestDatabase {
    /// Inserts a message and returns its id.
    pub async fn say(&self, room: &str, body: &str) -> i64 {
        let sql = "insert into messages (room, body) values ($1, $2) returning id";
        self.query_one(sql, &[&room, &body])
            .await
            .expect("insert a message")
            .get(0)
    }

    /// Inserts `count` messages into a room in one transaction.
    pub async fn say_many(&self, room: &str, count: i64) {
        run(self, &format!("insert into messages (room, body) select '{room}', n::text from generate_series(1, {count}) n")).await;
    }

    /// The epoch of a source, as cursors carry it.
    pub async fn epoch(&self, source: &str) -> i64 {
        let sql = "select epoch from rowcast.sources where name = $1";
        self.query_one(sql, &[&source])
            .await
            .expect("ask for the epoch")
            .get(0)
    }
}
