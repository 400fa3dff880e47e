//! A simulated day of a journal: rows come, change and go as fast as four sessions can write, a relay follows and prunes, and
//! autovacuum does what it does. Does the journal's size level off, and does pruning keep up?
//!
//! An hour lasts `day_seconds / 24`. What the clock decides is scaled by that: how long entries are kept, the pause between
//! two looks of the pruner, autovacuum's nap. What the work decides is as it is: the speed of writers, of pruning and of
//! vacuum. For one hour a session holds a snapshot, as a dump does, so that vacuum can remove nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_postgres::{Client, Row};

use crate::TABLE;
use crate::args::Args;
use crate::page::{Table, mebibytes, whole};
use crate::pgbench;
use crate::relay::Follower;
use crate::report::Report;
use crate::server::{Server, connect};

const HOURS: u32 = 24;

/// Sessions that write.
const WRITERS: u32 = 4;

/// The hour in which a dump holds its snapshot.
const DUMP_HOUR: u32 = 12;

/// How the journal stood at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    written: f64,
    pruned: f64,
    table_bytes: f64,
    index_bytes: f64,
    dead_tuples: f64,
    vacuums: f64,
    batches: f64,
    prune_seconds: f64,
    oldest_seconds: f64,
    registry_bytes: f64,
}

impl Sample {
    async fn take(client: &Client) -> anyhow::Result<Self> {
        let row = client
            .query_one(include_str!("sql/churn_sample.sql"), &[])
            .await?;
        let count = |name: &str| row.get::<_, i64>(name) as f64;
        let measure = |row: &Row, name: &str| row.get::<_, f64>(name);
        Ok(Self {
            at: Instant::now(),
            written: count("sequence_last"),
            pruned: count("pruned_to"),
            table_bytes: count("table_bytes"),
            index_bytes: count("index_bytes"),
            dead_tuples: count("dead_tuples"),
            vacuums: count("vacuums"),
            batches: count("batches"),
            prune_seconds: measure(&row, "prune_milliseconds") / 1e3,
            oldest_seconds: measure(&row, "oldest_seconds"),
            registry_bytes: count("registry_bytes"),
        })
    }

    fn bytes(&self) -> f64 {
        self.table_bytes + self.index_bytes
    }
}

/// The day, a row for each hour, and what follows from it.
pub async fn measure(args: &Args) -> anyhow::Result<()> {
    let hour = Duration::from_secs(args.day_seconds.into()) / HOURS;
    let keep = hour * args.keep_hours;
    let settings: Vec<_> = [("autovacuum_naptime".to_owned(), "1s".to_owned())]
        .into_iter()
        .chain(args.settings.iter().cloned())
        .collect();
    let mut server = Server::start(&settings).await?;
    let mut report = Report::begin("A simulated day of a journal", &args.command(), &server).await?;

    let database = server.database(TABLE).await?;
    let keep_text = format!("{} ms", keep.as_millis());
    database
        .client
        .execute(include_str!("sql/attach_churn.sql"), &[&keep_text])
        .await?;
    database
        .client
        .batch_execute(include_str!("sql/churn_functions.sql"))
        .await?;
    let interval = format!("{}ms", hour.as_millis() / 10);
    let follower = Follower::start(&server, &database.relay_url, &["--prune-interval", &interval]).await?;
    let first = Sample::take(&database.client).await?;
    let day = tokio::join!(
        pgbench::run(
            &server,
            &database.name,
            "churn.pgbench",
            WRITERS,
            args.day_seconds
        ),
        watch(&database.client, &database.url, hour),
    );
    let (run, hours) = (day.0?, day.1?);
    drop(follower);

    let note = format!(
        "An hour lasts {:.1} s. {WRITERS} sessions insert, update and delete a row in each transaction, as fast as they can ({} \
         transactions a second); the journal keeps {} hours. Size in MiB. `prune` is how many entries a second rowcast.prune deletes \
         while it runs; `too old` is by how many minutes of the day the oldest entry is older than what is kept. In hour {DUMP_HOUR} a \
         session holds a snapshot, so that vacuum can remove nothing.",
        hour.as_secs_f64(),
        whole(run.per_second),
        args.keep_hours
    );
    report.add(&table(&note, first, &hours, hour, keep));
    report.say(&verdict(&hours, args.keep_hours));
    report.end(args.results().as_deref())
}

/// A sample at the end of each hour.
async fn watch(client: &Client, url: &str, hour: Duration) -> anyhow::Result<Vec<Sample>> {
    let began = Instant::now();
    let mut hours = Vec::new();
    let mut dump = None;
    for number in 1..=HOURS {
        if number == DUMP_HOUR {
            let session = connect(url).await?;
            session.batch_execute(include_str!("sql/churn_dump.sql")).await?;
            dump = Some(session);
        }
        // The last a moment before the writers end.
        sleep_until(began + hour * number - hour / 20).await;
        let sample = Sample::take(client).await?;
        eprintln!(
            "hour {number} · {} MiB · {} dead",
            mebibytes(sample.bytes()),
            whole(sample.dead_tuples)
        );
        hours.push(sample);
        if number == DUMP_HOUR {
            dump = None;
        }
    }
    drop(dump);
    Ok(hours)
}

fn table(note: &str, first: Sample, hours: &[Sample], hour: Duration, keep: Duration) -> Table {
    let head = [
        "hour",
        "written/s",
        "pruned/s",
        "prune",
        "entries",
        "too old",
        "table",
        "indexes",
        "dead",
        "vacuums",
    ];
    let mut table = Table::new("The day", note, head);
    let mut before = first;
    for (number, sample) in (1..).zip(hours) {
        let seconds = (sample.at - before.at).as_secs_f64();
        let pruned = sample.pruned - before.pruned;
        let busy = sample.prune_seconds - before.prune_seconds;
        let late = (sample.oldest_seconds - keep.as_secs_f64()).max(0.0) / hour.as_secs_f64() * 60.0;
        table.row([
            format!("{number}"),
            whole((sample.written - before.written) / seconds),
            whole(pruned / seconds),
            if pruned > 0.0 && busy > 0.0 {
                format!("{}/s", whole(pruned / busy))
            } else {
                "–".to_owned()
            },
            whole(sample.written - sample.pruned),
            format!("{late:.0}"),
            mebibytes(sample.table_bytes),
            mebibytes(sample.index_bytes),
            whole(sample.dead_tuples),
            whole(sample.vacuums - before.vacuums),
        ]);
        before = *sample;
    }
    table
}

/// What the day says: the size late in it beside that before the dump, and pruning beside growth.
fn verdict(hours: &[Sample], keep_hours: u32) -> String {
    let largest = |from: usize, to: usize| {
        let some = hours.iter().take(to).skip(from).map(Sample::bytes);
        some.fold(0.0, f64::max)
    };
    let dump = DUMP_HOUR as usize;
    let full = (keep_hours as usize + 1).min(dump - 2);
    let (early, before, peak, end) = (
        largest(full, full + 2),
        largest(dump - 3, dump - 1),
        largest(dump - 1, dump + 3),
        largest(22, 24),
    );
    let last = hours.last().copied();
    let Some((last, busy)) = last.map(|last| (last, last.prune_seconds)) else {
        return String::new();
    };
    format!(
        "Largest size in MiB: {} in the two hours after the journal was first full, {} in the two before the snapshot was held, {} while \
         it was and in the three hours after, {} in the last two. Over the day {} entries were written; {} were pruned in {} calls that took \
         {:.1} s together, {} a second. rowcast.sources and rowcast.positions: {:.2} MiB at the end.",
        mebibytes(early),
        mebibytes(before),
        mebibytes(peak),
        mebibytes(end),
        whole(last.written),
        whole(last.pruned),
        whole(last.batches),
        busy,
        whole(if busy > 0.0 { last.pruned / busy } else { 0.0 }),
        last.registry_bytes / 1024.0 / 1024.0
    )
}
