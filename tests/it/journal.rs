//! Sources with a journal, from outside: every change of any table over every transport, histories, what expires, and
//! what happens when the table or the source changes.

mod events;
mod expiry;
mod firehose;
mod hazards;
mod keys;
mod listing;
mod skips;
mod switch;

use serde_json::Value;

use crate::support::{Relay, TestDatabase, attach, database, grant_publishing, run};

/// A table as most tests have it: keys that no sequence gives, so that only a journal can follow it.
const TASKS: &str =
    "create table tasks (id text primary key, list text, title text, done bool not null default false)";

const EVENTS: &str = "/v1/rooms/a/events";

/// The table `tasks`, attached with all changes and these further arguments, and a relay.
async fn tasks(arguments: &str, relay: &[&str]) -> (TestDatabase, Relay) {
    journal_of(TASKS, &format!("'tasks', room => 'list'{arguments}"), relay).await
}

/// A table, attached with all changes and these arguments, and a relay.
async fn journal_of(table: &str, arguments: &str, relay: &[&str]) -> (TestDatabase, Relay) {
    let db = database().await;
    run(&db, table).await;
    attach(
        &db,
        &format!("{arguments}, changes => '{{insert,update,delete}}'"),
    )
    .await;
    if relay.contains(&"--allow-publish") {
        grant_publishing(&db).await;
    }
    let relay = Relay::serve(&db.relay_url, relay).await;
    (db, relay)
}

/// What an event says in short: `insert 1`, with the value of the key's column `id`.
fn said(event: &Value) -> String {
    format!(
        "{} {}",
        event["op"].as_str().unwrap(),
        event["key"]["id"].to_string().trim_matches('"')
    )
}

/// The same of many.
fn all_said(events: &[Value]) -> Vec<String> {
    events.iter().map(said).collect()
}
