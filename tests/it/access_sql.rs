//! What access needs of the database: tickets, the operator's statement, and the call that has it asked again.

mod answers;
mod asking;
mod authorize;
mod failures;
mod reauthorize;
mod rights;
mod tickets;

use std::sync::Arc;

use rowcast::pg::authorize::Authorizer;
use rowcast::pg::source::{Source, list};
use rowcast::pg::{Database, PoolOptions};
use rowcast::room::Room;

use crate::support::{TestDatabase, attach, database, run, within};

/// A table whose rooms are numbers, and who is in which.
const ROOMS_AND_MEMBERS: &str =
    "create table messages (id bigint generated always as identity primary key, room_id int, body text);
     create index on messages (room_id, id);
     create table members (room_id int, user_id int);
     insert into members values (1, 7), (2, 7), (1, 8);";

/// The statement of README: whether user `sub` is a member of the room.
const MEMBERS_ONLY: &str =
    "select exists (select from members where room_id = $1 and user_id = ($2->>'sub')::int)";

/// User 7.
const SEVEN: &str = r#"{"sub":"7"}"#;

async fn to_database(url: &str) -> Database {
    within(Database::connect(url, &PoolOptions::default()))
        .await
        .expect("connect")
}

async fn authorizer(url: &str, statement: &str) -> Arc<Authorizer> {
    Arc::new(Authorizer::new(to_database(url).await, statement.to_owned()))
}

/// A database with rooms and members, and its source.
async fn with_members() -> (TestDatabase, Source) {
    let db = database().await.into_superusers().await;
    run(&db, ROOMS_AND_MEMBERS).await;
    run(&db, "grant select on all tables in schema public to relay").await;
    attach(&db, "'messages', room => 'room_id'").await;
    let source = source(&db, "messages").await;
    (db, source)
}

/// A source by name, which is not broken.
async fn source(client: &tokio_postgres::Client, name: &str) -> Source {
    let listed = list(client).await.expect("list the sources");
    let found = listed.into_iter().find(|listed| listed.name == name);
    found.expect(name).source.expect("the source is not broken")
}

fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|name| Room::canonical(name)).collect()
}
