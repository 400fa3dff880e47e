//! One session, statements of one row up to a thousand: what a journal costs a row, and from which size on one write for
//! each statement is cheaper than one for each row.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::TABLE;
use crate::args::Args;
use crate::mode::{Mode, in_turn};
use crate::page::{Samples, Table};
use crate::process::processor_seconds;
use crate::relay::Follower;
use crate::server::{Database, Server};

/// Rows of a statement.
const SIZES: [i32; 5] = [1, 3, 10, 100, 1000];

/// How long one size is repeated in a round.
const SPELL: Duration = Duration::from_millis(1000);

/// Microseconds a row, by size and mode, and what each adds to the same round's without a trigger.
pub async fn measure(server: &mut Server, args: &Args) -> anyhow::Result<Table> {
    let spell = if args.quick { SPELL / 10 } else { SPELL };
    let mut costs: HashMap<(i32, &str), Samples> = HashMap::new();
    let mut added: HashMap<(i32, &str), Samples> = HashMap::new();
    for round in 0..args.rounds {
        let mut round_costs = Vec::new();
        for mode in in_turn(&Mode::JOURNALS, round) {
            let database = server.database(TABLE).await?;
            mode.install(&database).await?;
            let mut follower = match mode.is_followed() {
                true => Some(Follower::start(server, &database.relay_url, &[]).await?),
                false => None,
            };
            server.checkpoint().await?;
            for size in SIZES {
                let cost = microseconds_a_row(&database, size, spell).await?;
                eprintln!(
                    "round {} · {size} rows · {} · {cost:.1} µs a row",
                    round + 1,
                    mode.name()
                );
                round_costs.push((size, mode, cost));
                if let Some(follower) = &mut follower {
                    follower.catch_up(&database).await?;
                }
            }
            drop(follower);
            server.drop(database).await?;
        }
        for (size, mode, cost) in &round_costs {
            let plain = round_costs
                .iter()
                .find_map(|(s, m, cost)| (s == size && *m == Mode::Plain).then_some(*cost))
                .unwrap_or(f64::NAN);
            costs.entry((*size, mode.name())).or_default().add(*cost);
            added.entry((*size, mode.name())).or_default().add(cost - plain);
        }
    }
    let head = ["rows a statement".to_owned()]
        .into_iter()
        .chain(SIZES.map(|size| size.to_string()));
    let note = format!(
        "One session that inserts without a pause, prepared, a commit for each statement. Processor time of the backend for a row in µs: without \
         a trigger, then what each kind adds to it; median (least–greatest) of {} rounds.",
        args.rounds
    );
    let mut table = Table::new("Statements of many rows", &note, head);
    let micros = |value: f64| format!("{value:.1}");
    for mode in Mode::JOURNALS {
        let cells = SIZES.map(|size| match mode {
            Mode::Plain => costs[&(size, mode.name())].with_spread(micros),
            _ => format!("+{}", added[&(size, mode.name())].with_spread(micros)),
        });
        table.row([mode.name().to_owned()].into_iter().chain(cells));
    }
    Ok(table)
}

/// Statements of `size` rows for as long as `spell`: processor time of the backend for a row, in microseconds.
async fn microseconds_a_row(database: &Database, size: i32, spell: Duration) -> anyhow::Result<f64> {
    let statement = database.client.prepare(include_str!("sql/statement.sql")).await?;
    let pid: i32 = database
        .client
        .query_one("select pg_backend_pid()", &[])
        .await?
        .get(0);
    let began = Instant::now();
    let processor_before = processor_seconds(pid)?;
    let mut rows = 0.0;
    while began.elapsed() < spell {
        database.client.execute(&statement, &[&size]).await?;
        rows += f64::from(size);
    }
    Ok((processor_seconds(pid)? - processor_before) * 1e6 / rows)
}
