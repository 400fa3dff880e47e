//! A bulk load in one statement, a COPY, an update and a deletion of all rows: time, write-ahead log, memory of the backend.

use std::collections::HashMap;
use std::future::Future;

use tokio::time::Instant;

use crate::TABLE;
use crate::args::Args;
use crate::mode::{Mode, in_turn};
use crate::page::{Samples, Table, mebibytes, ratio};
use crate::process::{Peak, processor_seconds};
use crate::server::{Database, Server};

const MODES: [Mode; 4] = [Mode::Plain, Mode::Direct, Mode::Journal, Mode::PerStatement];

/// What one statement over all rows cost.
struct Cost {
    seconds: f64,
    /// Processor time of the backend.
    processor_seconds: f64,
    wal_bytes: f64,
    /// Private memory of the backend at its peak, beyond what it had before.
    memory_bytes: f64,
    /// Its temporary files at their largest.
    temporary_bytes: f64,
}

/// The statements, in the order they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Insert,
    Update,
    Delete,
    Copy,
}

#[derive(Default)]
struct Figures {
    seconds: Samples,
    ratio: Samples,
    processor_seconds: Samples,
    wal_bytes: Samples,
    memory_bytes: Samples,
    temporary_bytes: Samples,
}

/// Each statement over `bulk_rows` rows, the modes by turns. Nothing follows: until the commit there is nothing to read.
pub async fn measure(server: &mut Server, args: &Args) -> anyhow::Result<Table> {
    let mut figures: HashMap<(Step, &str), Figures> = HashMap::new();
    for round in 0..args.bulk_rounds {
        let mut costs = Vec::new();
        for mode in in_turn(&MODES, round) {
            for (step, cost) in load(server, mode, args.bulk_rows).await? {
                eprintln!(
                    "round {} · {step:?} · {} · {:.1} s",
                    round + 1,
                    mode.name(),
                    cost.seconds
                );
                costs.push((step, mode, cost));
            }
        }
        for (step, mode, cost) in &costs {
            let plain = costs
                .iter()
                .find_map(|(s, m, cost)| (s == step && *m == Mode::Plain).then_some(cost));
            let Some(plain) = plain else { continue };
            let figures = figures.entry((*step, mode.name())).or_default();
            figures.seconds.add(cost.seconds);
            figures.ratio.add(cost.seconds / plain.seconds);
            figures.processor_seconds.add(cost.processor_seconds);
            figures.wal_bytes.add(cost.wal_bytes);
            figures.memory_bytes.add(cost.memory_bytes);
            figures.temporary_bytes.add(cost.temporary_bytes);
        }
    }
    Ok(table(args, &figures))
}

fn table(args: &Args, figures: &HashMap<(Step, &str), Figures>) -> Table {
    let note = format!(
        "One session. `time`: of the statement with its commit, as a multiple of that without a trigger in the same round, median \
         (least–greatest) of {} rounds. `CPU`: processor time of the backend in µs a row. `log`: write-ahead log in MiB. `memory`: what \
         the backend alone has at its peak beyond what it had before (RssAnon of /proc/PID/status every 5 ms), in MiB, and \
         `temporary files` at their largest.",
        args.bulk_rounds
    );
    let title = format!(
        "Statements over {} rows",
        crate::page::whole(f64::from(args.bulk_rows))
    );
    let mut table = Table::new(
        &title,
        &note,
        [
            "",
            "",
            "time",
            "seconds",
            "CPU",
            "log",
            "memory",
            "temporary files",
        ],
    );
    for (step, words) in [
        (Step::Insert, "insert … select"),
        (Step::Copy, "copy from a file"),
        (Step::Update, "update of all rows"),
        (Step::Delete, "delete of all rows"),
    ] {
        for mode in MODES {
            let Some(figures) = figures.get(&(step, mode.name())) else {
                continue;
            };
            table.row([
                words.to_owned(),
                mode.name().to_owned(),
                format!("**{}**", figures.ratio.with_spread(ratio)),
                figures.seconds.with_spread(|seconds| format!("{seconds:.1}")),
                figures
                    .processor_seconds
                    .with_spread(|seconds| format!("{:.1}", seconds * 1e6 / f64::from(args.bulk_rows))),
                mebibytes(figures.wal_bytes.median()),
                mebibytes(figures.memory_bytes.greatest()),
                mebibytes(figures.temporary_bytes.greatest()),
            ]);
        }
    }
    table
}

/// All statements in one mode: insert, update and delete on one table, COPY into another.
async fn load(server: &mut Server, mode: Mode, rows: i32) -> anyhow::Result<Vec<(Step, Cost)>> {
    let mut costs = Vec::new();
    let file = server.postgres.directory().join("bulk.csv");
    let database = server.database(TABLE).await?;
    mode.install(&database).await?;
    let insert = database
        .client
        .prepare(include_str!("sql/bulk_insert.sql"))
        .await?;
    let cost = cost(server, &database, database.client.execute(&insert, &[&rows])).await?;
    costs.push((Step::Insert, cost));
    let copy_out = format!(include_str!("sql/bulk_copy_out.sql"), file = file.display());
    database.client.batch_execute(&copy_out).await?;
    database.client.batch_execute("vacuum analyze messages").await?;
    if mode != Mode::Direct {
        for (step, statement) in [
            (Step::Update, include_str!("sql/bulk_update.sql")),
            (Step::Delete, include_str!("sql/bulk_delete.sql")),
        ] {
            let cost = self::cost(server, &database, database.client.batch_execute(statement)).await?;
            costs.push((step, cost));
        }
    }
    server.drop(database).await?;
    let database = server.database(TABLE).await?;
    mode.install(&database).await?;
    let copy_in = format!(include_str!("sql/bulk_copy_in.sql"), file = file.display());
    let cost = self::cost(server, &database, database.client.batch_execute(&copy_in)).await?;
    costs.push((Step::Copy, cost));
    server.drop(database).await?;
    Ok(costs)
}

/// Runs one statement and watches its backend meanwhile.
async fn cost<T>(
    server: &Server,
    database: &Database,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> anyhow::Result<Cost> {
    server.checkpoint().await?;
    let pid: i32 = database
        .client
        .query_one("select pg_backend_pid()", &[])
        .await?
        .get(0);
    let processor_before = processor_seconds(pid)?;
    let wal_before = server.wal_bytes().await?;
    let mut peak = Peak::of(pid)?;
    let began = Instant::now();
    peak.while_running(server, statement).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Cost {
        seconds,
        processor_seconds: processor_seconds(pid)? - processor_before,
        wal_bytes: (server.wal_bytes().await? - wal_before) as f64,
        memory_bytes: peak.memory_bytes() as f64,
        temporary_bytes: peak.temporary_bytes() as f64,
    })
}
