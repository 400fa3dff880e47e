//! The demo's application: it inserts a message into one of the rooms a few times a second, and knows of no relay.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{ROOMS, connect};

/// The pause between two messages.
const PAUSE: Duration = Duration::from_millis(400);

const AUTHORS: [&str; 4] = ["Ada", "Grace", "Edsger", "Barbara"];

const BODIES: [&str; 8] = [
    "The kettle is on.",
    "Has anyone seen the long cable?",
    "Deployed; it looks quiet.",
    "A row that commits late arrives late, and once.",
    "I reloaded the page and missed nothing.",
    "Try the same stream with curl.",
    "Lunch in ten minutes?",
    "Insert one yourself with psql.",
];

/// Inserts rows into the demo's database until `shutdown`.
///
/// Errors: the database can't be reached, or is gone.
pub async fn write_rows(database_url: &str, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = connect(database_url).await?;
    let insert = client.prepare(include_str!("../../sql/demo_insert.sql")).await?;
    while shutdown
        .run_until_cancelled(tokio::time::sleep(PAUSE))
        .await
        .is_some()
    {
        client
            .execute(&insert, &[&any(&ROOMS), &any(&AUTHORS), &any(&BODIES)])
            .await?;
    }
    Ok(())
}

/// One of them, each as likely as the others.
fn any(choices: &[&'static str]) -> &'static str {
    choices[rand::random_range(0..choices.len())]
}
