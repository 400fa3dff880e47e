//! Tables with journals: every change once, per key in its order, and a picture that ends like the table.
//!
//! Four tables under two relays, each with what can't be followed without a journal: random keys; a composite key over
//! partitions that are written to directly; ids that are drawn ahead or given; a table fed by a subscription to a second
//! PostgreSQL. Two of the journals are pruned meanwhile: one so seldom that nobody may notice, one so soon that
//! subscribers come too late, fetch the table and go on from there.

mod holder;
mod picture;
mod sources;
mod statements;
mod truth;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rowcast::demo::postgres::Postgres;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::audience::Audience;
use super::faults::{Fault, Stage};
use super::received::{ALL_ROOMS, Transport};
use super::subscribers::Subscriber;
use super::writers::{Tally, Writer, hold_a_transaction};
use super::{ROOMS, Run, SETTINGS};
use crate::support::{connect, eventually, own_server, run as run_sql};
use sources::{DOCUMENTS, NOTES, NOTES_TABLE, Rows, Source, TABLES, TABLES_OF_THE_RELAYS, Table};
use statements::Target;
use truth::Truth;

pub use picture::Picture;

/// Of each table.
const WRITERS: usize = 4;
const SUBSCRIBERS: usize = 6 * Transport::ALL.len();

/// How long more than asked for is written where too little happened.
const AT_MOST_LONGER: Duration = Duration::from_secs(40);

/// Pruning must be quick to be met in a run.
const ARGUMENTS: [&str; 3] = ["--prune-interval", "200ms", "--allow-firehose"];

/// The subscription's backends are terminated, too, and a relay falls behind what is pruned.
const FAULTS: [Fault; 2] = [
    Fault::Backends("logical replication%worker"),
    Fault::Freeze {
        relay: 0,
        time: Duration::from_secs(2),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_reaches_every_subscriber_once_and_pictures_end_like_the_tables() {
    let mut run = Run::new("journal");
    let (server, publisher) = servers().await;
    let per_statement = run.rng.random();
    let mut stage = Stage::set(server, &schema(per_statement), &ARGUMENTS).await;
    let sources = TABLES.map(|table| Source::new(table, &stage.url()));
    let mut before = Vec::new();
    for source in &sources {
        before.push(source.snapshot(&[ALL_ROOMS]).await.rows);
    }
    subscribe_to(&publisher, &stage.admin_url()).await;
    let mut audience = Audience::new();
    for number in 0..SUBSCRIBERS {
        audience.enter(subscriber(number, &sources, &stage, &mut run.rng));
    }
    audience.has_begun().await;

    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let mut writers = writers(&stage.url(), &publisher.url("postgres"), &mut run.rng, &stop).await;
    let holder = tokio::spawn(holder::hold(stage.url(), stop.clone()));
    let mut elsewhere = JoinSet::new();
    elsewhere.spawn(hold_a_transaction(stage.other_url(), end.clone()));

    stage
        .torment(Fault::schedule(&mut run.rng, run.time, &FAULTS))
        .await;
    let client = connect(&stage.url()).await;
    // On a busy machine it takes longer until a run is worth anything.
    let worth_it = async || {
        let came_too_late: u64 = audience.sum(|one| one.tally.expired);
        came_too_late > 2 && verdict::is_enough(&client, &sources).await
    };
    let _ = timeout(AT_MOST_LONGER, until(worth_it)).await;
    stop.cancel();
    let mut tally = Tally::default();
    while let Some(one) = writers.join_next().await {
        tally = [tally, one.expect("a writer ends")].into_iter().sum();
    }
    let held = holder.await.expect("the holder ends");

    // What is not written to any more grows old all the same, and with it the cursors of those who have everything.
    run_sql(&client, &DOCUMENTS.attach(per_statement, Some("7d"))).await;
    applied(&connect(&publisher.url("postgres")).await, &client).await;
    let truths = read(&client, &sources, before).await;
    let caught_up = audience
        .catches_up(|one| {
            verdict::of(&truths, one)
                .required(one)
                .all(|id| one.ids.contains_key(&id))
        })
        .await;
    end.cancel();
    elsewhere.join_all().await;
    let subscribers = audience.leave(&stage.addresses).await;
    verdict::print(&truths, &tally, &held, &subscribers, &stage);
    verdict::judge(&truths, &held, &subscribers, run.seed);
    assert!(caught_up, "the subscribers took too long, seed {}", run.seed);
    verdict::everything_happened(&truths, &tally, &held, &subscribers, &stage);
}

/// The relays' server and the one that publishes notes to it.
async fn servers() -> (Postgres, Postgres) {
    let publisher = spawn_blocking(|| own_server(&[]));
    let settings = [&SETTINGS[..], &[("wal_retrieve_retry_interval", "200ms")]].concat();
    let server = spawn_blocking(move || own_server(&settings));
    let (server, publisher) = tokio::join!(server, publisher);
    (
        server.expect("a server starts"),
        publisher.expect("a server starts"),
    )
}

fn schema(per_statement: bool) -> String {
    let fill_and_attach = |table: &&'static Table| {
        let fill = match table.name {
            "notes" => String::new(),
            _ => Target::new(table).fill(),
        };
        fill + &table.install(per_statement)
    };
    let tables: Vec<String> = TABLES.iter().map(fill_and_attach).collect();
    [TABLES_OF_THE_RELAYS, NOTES_TABLE, &tables.concat()].concat()
}

/// The table of notes is filled by the publisher's from now on. Without `synchronous_commit` a crash would undo what
/// the relays have shown.
async fn subscribe_to(publisher: &Postgres, url: &str) {
    let publication = "create publication notes for table notes;";
    connect(&publisher.url("postgres"))
        .await
        .batch_execute(&[NOTES_TABLE, &Target::new(&NOTES).fill(), publication].concat())
        .await
        .expect("publish the notes");
    let subscription = format!(
        "create subscription notes connection '{}' publication notes with (synchronous_commit = on)",
        publisher.url("postgres")
    );
    connect(url)
        .await
        .batch_execute(&subscription)
        .await
        .expect("subscribe to the notes");
}

/// The writers of all tables, the notes' on their own server.
async fn writers(url: &str, publisher: &str, rng: &mut StdRng, stop: &CancellationToken) -> JoinSet<Tally> {
    let mut writers = JoinSet::new();
    for table in TABLES {
        let url = if table.name == NOTES.name { publisher } else { url };
        let merges = version(&connect(url).await).await >= 150_000;
        let target = Target {
            merges,
            ..Target::new(table)
        };
        for _ in 0..WRITERS {
            let plan = move |rng: &mut StdRng| target.plan(rng);
            writers.spawn(Writer::new(url.to_owned(), rng.random(), plan).write(stop.clone()));
        }
    }
    writers
}

async fn version(client: &Client) -> i32 {
    let version = client.query_one("select current_setting('server_version_num')::int", &[]);
    version.await.expect("ask for the version").get(0)
}

/// All tables and transports, one room, several or all of them.
fn subscriber(number: usize, sources: &[Arc<Source>], stage: &Stage, rng: &mut StdRng) -> Subscriber {
    let (round, of_round) = (number / Transport::ALL.len(), number % Transport::ALL.len());
    let source = &sources[(round + of_round) % sources.len()];
    let rooms = match round % 3 {
        0 => vec![ALL_ROOMS],
        // A quiet room's cursors grow old, and these must not.
        1 if source.table.name != DOCUMENTS.name => vec![ROOMS[rng.random_range(0..ROOMS.len())]],
        _ => ROOMS[rng.random_range(0..3)..]
            .iter()
            .step_by(2)
            .copied()
            .collect(),
    };
    let path = format!("/v1/sources/{}", source.table.name);
    let transport = Transport::ALL[of_round];
    Subscriber::new(transport, &path, rooms, rng.random(), stage.addresses.clone())
        .with_picture(Picture::of(source.clone()))
}

/// Returns once `condition` holds.
async fn until(condition: impl AsyncFn() -> bool) {
    while !condition().await {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Returns once the subscription has brought everything.
async fn applied(publisher: &Client, subscriber: &Client) {
    let notes = "select coalesce(string_agg(n::text, ',' order by author, nr), '') from notes n";
    eventually(async || {
        let there: String = publisher
            .query_one(notes, &[])
            .await
            .expect("read the notes")
            .get(0);
        let here: String = subscriber
            .query_one(notes, &[])
            .await
            .expect("read the notes")
            .get(0);
        there == here
    })
    .await;
}

async fn read(client: &Client, sources: &[Arc<Source>], before: Vec<Rows>) -> Vec<Truth> {
    let mut truths = Vec::new();
    for (source, before) in sources.iter().zip(before) {
        truths.push(Truth::read(client, source, before).await);
    }
    truths
}
