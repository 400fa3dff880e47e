//! Chat life: an application that writes a message every few seconds, mends what it mistyped, takes things back, and
//! knows of no relay.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;

use super::switches::Writing;
use super::{ROOMS, connect};

/// The pauses between two deeds.
pub const PAUSES: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);

/// What is said at once, so that nobody enters an empty room.
const BEGINNING: usize = 12;

/// How many of its messages it remembers, to edit or delete one.
const REMEMBERED: usize = 4;

/// Others than those whom the page lends its panes.
const AUTHORS: [&str; 4] = ["Barbara", "Edsger", "Frances", "Leslie"];

/// What is said, and what it is edited to, where it was mistyped.
const BODIES: [(&str, Option<&str>); 16] = [
    ("The kettle is on.", None),
    ("Has anyone seen the long cable?", None),
    ("Deployed; it looks quite.", Some("Deployed; it looks quiet.")),
    ("A row that commits late arrives late, and once.", None),
    ("I reloaded the page and missed nothing.", None),
    ("Try the same stream with curl.", None),
    ("Lunch in tem minutes?", Some("Lunch in ten minutes?")),
    ("Insert one yourself, with psql.", None),
    ("The train was on time. I was not.", None),
    ("Wich room is the demo in?", Some("Which room is the demo in?")),
    ("Found it. It was behind the printer.", None),
    ("Who else lost Wi-Fi just now? Nothing is missing here.", None),
    ("Cake in the kitchen.", None),
    ("The build is geren.", Some("The build is green.")),
    ("Two relays, one table, the same messages.", None),
    ("Back in five.", None),
];

/// The application at work.
#[derive(Debug)]
pub struct Writer {
    ended: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Starts [`write_rows`] with pauses for people.
pub fn start_writer(database_url: String, writing: watch::Receiver<Writing>) -> Writer {
    let ended = CancellationToken::new();
    let task = tokio::spawn(write_rows(database_url, PAUSES, writing, ended.clone()));
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

/// Writes into the demo's database until `shutdown`, one deed after each of the `pauses` and none while `writing` is
/// paused.
///
/// Errors: the database can't be reached, or is gone.
pub async fn write_rows(
    database_url: String,
    pauses: Range<Duration>,
    mut writing: watch::Receiver<Writing>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let life = async {
        let mut chat = Chat::join(&database_url).await?;
        for _ in 0..BEGINNING {
            chat.say().await?;
        }
        loop {
            tokio::time::sleep(rand::random_range(pauses.clone())).await;
            if writing.wait_for(|writing| !writing.paused).await.is_err() {
                return Ok(());
            }
            chat.act().await?;
        }
    };
    shutdown.run_until_cancelled(life).await.unwrap_or(Ok(()))
}

/// A message that it wrote.
struct Said {
    id: i64,
    /// What it should have been, until it is edited.
    meant: Option<&'static str>,
}

struct Chat {
    client: Client,
    insert: Statement,
    edit: Statement,
    delete: Statement,
    /// Its newest, oldest first.
    recent: VecDeque<Said>,
}

impl Chat {
    async fn join(database_url: &str) -> anyhow::Result<Self> {
        let client = connect(database_url).await?;
        Ok(Self {
            insert: client.prepare(include_str!("../../sql/demo_insert.sql")).await?,
            edit: client.prepare(include_str!("../../sql/demo_edit.sql")).await?,
            delete: client.prepare(include_str!("../../sql/demo_delete.sql")).await?,
            client,
            recent: VecDeque::new(),
        })
    }

    /// Mends a slip, now and then takes something back, and mostly says something.
    async fn act(&mut self) -> anyhow::Result<()> {
        let slip = self.recent.iter_mut().find(|said| said.meant.is_some());
        if let Some(slip) = slip.filter(|_| rand::random_bool(0.6)) {
            let meant = slip.meant.take();
            self.client.execute(&self.edit, &[&slip.id, &meant]).await?;
        } else if self.recent.len() == REMEMBERED && rand::random_bool(0.1) {
            let taken_back = self.recent.remove(rand::random_range(0..REMEMBERED));
            let id = taken_back.map(|said| said.id);
            self.client.execute(&self.delete, &[&id]).await?;
        } else {
            self.say().await?;
        }
        Ok(())
    }

    async fn say(&mut self) -> anyhow::Result<()> {
        let (body, meant) = any(&BODIES);
        let row = self
            .client
            .query_one(&self.insert, &[&any(&ROOMS), &any(&AUTHORS), &body])
            .await?;
        let id = row.try_get(0)?;
        self.recent.push_back(Said { id, meant });
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        Ok(())
    }
}

/// One of them, each as likely as the others.
fn any<T: Copy>(choices: &[T]) -> T {
    choices[rand::random_range(0..choices.len())]
}
