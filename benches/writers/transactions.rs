//! pgbench: one row in each transaction, at several numbers of sessions.

use std::collections::HashMap;

use anyhow::Context as _;

use crate::TABLE;
use crate::args::Args;
use crate::mode::{Mode, in_turn};
use crate::page::{Samples, Table, ratio, whole};
use crate::pgbench::{self, Run};
use crate::relay::Follower;
use crate::server::Server;

/// Rows of the table before random ones are updated; `update.pgbench` draws from as many.
const ROWS_TO_UPDATE: i32 = 100_000;

/// One kind of transaction.
struct Workload {
    title: &'static str,
    note: &'static str,
    script: &'static str,
    modes: &'static [Mode],
    clients: Vec<u32>,
    rows_before: i32,
}

/// What was measured of one mode at one number of sessions.
#[derive(Default)]
struct Figures {
    per_second: Samples,
    processor_microseconds: Samples,
    processor_ratio: Samples,
    /// Of the rate without a trigger in the same round.
    ratio: Samples,
    behind_milliseconds: Samples,
}

/// Inserts of one row each.
pub async fn inserts(server: &mut Server, args: &Args) -> anyhow::Result<Table> {
    let workload = Workload {
        title: "Transactions that insert one row",
        note: "pgbench, prepared, over the Unix socket; a row of 100 bytes with a key and an index on (room, id).",
        script: "insert.pgbench",
        modes: &Mode::ALL,
        clients: args.clients.clone(),
        rows_before: 0,
    };
    workload.measure(server, args).await
}

/// Updates of one random row each, at the middle one of the numbers of sessions.
pub async fn updates(server: &mut Server, args: &Args) -> anyhow::Result<Table> {
    let workload = Workload {
        title: "Transactions that update one random row of 100,000",
        note: "As above.",
        script: "update.pgbench",
        modes: &Mode::JOURNALS,
        clients: args
            .clients
            .get(args.clients.len() / 2)
            .copied()
            .into_iter()
            .collect(),
        rows_before: ROWS_TO_UPDATE,
    };
    workload.measure(server, args).await
}

impl Workload {
    /// All modes at all numbers of sessions, `rounds` times.
    async fn measure(&self, server: &mut Server, args: &Args) -> anyhow::Result<Table> {
        let mut figures: HashMap<(u32, &str), Figures> = HashMap::new();
        for round in 0..args.rounds {
            for &clients in &self.clients {
                let mut runs = Vec::new();
                for mode in in_turn(self.modes, round) {
                    let (run, behind) = self.run(server, mode, clients, args.seconds).await?;
                    eprintln!(
                        "round {} · {clients} clients · {} · {:.0}/s",
                        round + 1,
                        mode.name(),
                        run.per_second
                    );
                    runs.push((mode, run, behind));
                }
                let plain = runs
                    .iter()
                    .find_map(|(mode, run, _)| (*mode == Mode::Plain).then_some(*run));
                let plain = plain.context("one of the modes is without a trigger")?;
                for (mode, run, behind) in runs {
                    let figures = figures.entry((clients, mode.name())).or_default();
                    figures.per_second.add(run.per_second);
                    figures.ratio.add(run.per_second / plain.per_second);
                    figures.processor_microseconds.add(run.processor_microseconds);
                    figures
                        .processor_ratio
                        .add(run.processor_microseconds / plain.processor_microseconds);
                    figures.behind_milliseconds.extend(behind);
                }
            }
        }
        Ok(self.table(args, &figures))
    }

    /// One run on a new table, and by how many milliseconds the relay was behind at its end.
    async fn run(
        &self,
        server: &mut Server,
        mode: Mode,
        clients: u32,
        seconds: u32,
    ) -> anyhow::Result<(Run, Option<f64>)> {
        let database = server.database(TABLE).await?;
        if self.rows_before > 0 {
            database
                .client
                .execute(include_str!("sql/fill.sql"), &[&self.rows_before])
                .await?;
            database.client.batch_execute("vacuum analyze messages").await?;
        }
        mode.install(&database).await?;
        let listener = match mode {
            Mode::RowNotify => Some(crate::server::connect(&database.url).await?),
            _ => None,
        };
        if let Some(listener) = &listener {
            listener.batch_execute("listen messages").await?;
        }
        let mut follower = match mode.is_followed() {
            true => Some(Follower::start(server, &database.relay_url, &[]).await?),
            false => None,
        };
        server.checkpoint().await?;
        let run = pgbench::run(server, &database.name, self.script, clients, seconds).await?;
        let behind = match &mut follower {
            Some(follower) => Some(follower.catch_up(&database).await?.as_secs_f64() * 1e3),
            None => None,
        };
        drop((follower, listener));
        server.drop(database).await?;
        Ok((run, behind))
    }

    fn table(&self, args: &Args, figures: &HashMap<(u32, &str), Figures>) -> Table {
        let note = format!(
            "{} `rate`: transactions a second of those without a trigger in the same round. `CPU`: processor time of the \
             writers' backends for a transaction, as a multiple of that without a trigger. Median (least–greatest) of {} rounds \
             of {} s. `behind`: how long after the end a subscriber had the newest row, at the most.",
            self.note, args.rounds, args.seconds
        );
        let head = ["clients", "", "rate", "transactions/s", "CPU", "µs", "behind"];
        let mut table = Table::new(self.title, &note, head);
        for clients in &self.clients {
            for mode in self.modes {
                let Some(figures) = figures.get(&(*clients, mode.name())) else {
                    continue;
                };
                let behind = figures.behind_milliseconds.greatest();
                table.row([
                    clients.to_string(),
                    mode.name().to_owned(),
                    format!("**{}**", figures.ratio.with_spread(ratio)),
                    figures.per_second.with_spread(whole),
                    figures.processor_ratio.with_spread(ratio),
                    whole(figures.processor_microseconds.median()),
                    if behind.is_nan() {
                        "–".to_owned()
                    } else {
                        format!("{behind:.0} ms")
                    },
                ]);
            }
        }
        table
    }
}
