//! The demo's application: it inserts a message into one of the rooms a few times a second, and knows of no relay.

use std::time::Duration;

use tokio::task::JoinHandle;
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

/// The application at work.
#[derive(Debug)]
pub struct Writer {
    ended: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Starts [`write_rows`].
pub fn start_writer(database_url: String) -> Writer {
    let ended = CancellationToken::new();
    let task = tokio::spawn(write_rows(database_url, ended.clone()));
    Writer { ended, task }
}

impl Writer {
    /// Ends it.
    pub async fn stop(self) {
        self.ended.cancel();
        if let Ok(Err(error)) = self.task.await {
            // Its server may have ended by the same Ctrl-C.
            tracing::debug!(%error, "the demo's writer");
        }
    }
}

/// Inserts rows into the demo's database until `shutdown`.
///
/// Errors: the database can't be reached, or is gone.
pub async fn write_rows(database_url: String, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = connect(&database_url).await?;
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
