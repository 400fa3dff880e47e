//! Attaching tables: what is made, what is refused, and that the application does not notice.

mod anew;
mod inserts;
mod journal;
mod journal_bells;
mod journal_breaks;
mod journal_prune;
mod journal_refusals;
mod journal_rights;
mod journal_switch;
mod journal_writes;
mod locks;
mod refusals;
mod refused_columns;
mod rights;
mod schema;
mod tables;
mod unique;
mod waits;

use rowcast::pg::in_words;
use rowcast::pg::source::{Listed, Source, check, list};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::support::{TestDatabase, database, role, within};

/// An ordinary table to attach.
const MESSAGES: &str =
    "create table messages (id bigint generated always as identity primary key, room_id int, body text);
     create index on messages (room_id, id);";

/// A database with a table `messages`, not attached.
async fn with_messages() -> TestDatabase {
    let db = database().await;
    db.batch_execute(MESSAGES).await.expect("make the table");
    db
}

/// `select rowcast.attach(ARGUMENTS)`: the source's name. It rings unless the arguments say otherwise, although the tests'
/// server allows prepared transactions.
async fn attach(client: &Client, arguments: &str) -> Result<String, tokio_postgres::Error> {
    let ring = if arguments.contains("never_ring") {
        ""
    } else {
        ", never_ring => false"
    };
    let row = client
        .query_one(&format!("select rowcast.attach({arguments}{ring})"), &[])
        .await?;
    Ok(row.get(0))
}

async fn attached(client: &Client, arguments: &str) -> String {
    match attach(client, arguments).await {
        Ok(name) => name,
        Err(error) => panic!("attach({arguments}): {}", in_words(&error)),
    }
}

/// The only source, which is not broken.
async fn source(client: &Client) -> Source {
    let mut all = listed(client).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).source.expect("the source is not broken")
}

async fn listed(client: &Client) -> Vec<Listed> {
    list(client).await.expect("list the sources")
}

async fn findings(client: &Client) -> Vec<String> {
    check(client, &source(client).await)
        .await
        .expect("check the source")
}

/// The names of a table's triggers, sorted.
async fn triggers(client: &Client, table: &str) -> Vec<String> {
    let sql =
        "select tgname::text from pg_trigger where tgrelid = to_regclass($1) and not tgisinternal order by 1";
    let rows = client.query(sql, &[&table]).await.expect("ask for triggers");
    rows.iter().map(|row| row.get(0)).collect()
}

async fn text(client: &Client, sql: &str) -> String {
    client
        .query_one(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .get(0)
}

/// A session that listens, and the payloads it hears.
async fn listener(db: &TestDatabase) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = within(tokio_postgres::connect(&db.app_url, NoTls))
        .await
        .expect("connect");
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(bell) = message {
                let _ = sender.send(bell.payload().to_owned());
            }
        }
    });
    client.batch_execute("listen rowcast").await.expect("listen");
    (client, heard)
}

/// What was heard up to now: notifications come in the order of commits, so one of our own marks the end.
async fn bells(db: &TestDatabase, heard: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
    db.batch_execute("select pg_notify('rowcast', 'probe:end')")
        .await
        .expect("notify");
    let mut all = Vec::new();
    loop {
        match within(heard.recv()).await.expect("the listener lives").as_str() {
            "probe:end" => return all,
            bell => all.push(bell.to_owned()),
        }
    }
}
