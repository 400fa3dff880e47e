//! The most deliveries a second: a ladder of rates, one room.
//!
//! A step counts if nothing was lost, repeated or reordered and 99 of 100 deliveries took less than 100 ms. Ladders have two
//! stable states (small joins and a busy server, or large ones), and a moment's noise is as long as a step: one that fails is
//! tried once more, and does not end a ladder by itself.

use super::{Scenario, Setting, attempt, note_costs};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::rows::Load;
use crate::stage::{Contestant, Run, World};

pub const SCENARIO: Scenario = Scenario {
    name: "saturation",
    what: "one room, 1,000 and 5,000 subscribers: the most deliveries a second with p99 under 100 ms",
    measure,
};

/// Subscribers with rows a second, step by step.
const LADDERS: [(usize, &[f64]); 2] = [
    (
        1_000,
        &[
            30.0, 60.0, 120.0, 250.0, 350.0, 500.0, 750.0, 1_000.0, 1_250.0, 1_500.0, 2_000.0, 2_500.0,
            3_000.0, 4_000.0, 5_000.0,
        ],
    ),
    (
        5_000,
        &[
            6.0, 12.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1_000.0,
        ],
    ),
];

/// Seconds of a step.
const STEP: f64 = 1.5;

/// The greatest p99, in milliseconds.
const PROMPT: f64 = 100.0;

/// How often a step is tried.
const TRIES: u32 = 2;

/// Steps in a row that do not count, after which a ladder ends.
const MISSES: u32 = 2;

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for run in 0..setting.runs {
        for (subscribers, rates) in LADDERS {
            for contestant in setting.in_turn(run) {
                let subscribers = setting.count(subscribers);
                let place = Place {
                    scenario: SCENARIO.name,
                    load: &format!("1 × {subscribers}"),
                    server: contestant.name(),
                };
                attempt(figures, place, |figures| {
                    ladder(world, setting, figures, &contestant, place, (subscribers, rates))
                });
            }
        }
    }
}

fn ladder(
    world: &mut World,
    setting: &Setting,
    figures: &mut Figures,
    contestant: &Contestant,
    place: Place,
    (subscribers, rates): (usize, &[f64]),
) -> anyhow::Result<()> {
    let stage = world.stage(contestant, 1)?;
    let mut crowd = stage.warm_crowd(Plan::streams(subscribers))?;
    let mut best: Option<Run> = None;
    let mut misses = 0;
    for rate in setting.some(rates) {
        let load = Load::new(*rate, setting.seconds(STEP));
        let mut counted = None;
        for _ in 0..TRIES {
            let run = stage.run(&mut crowd, load)?;
            if is_prompt(*rate, &run) {
                counted = Some(run);
                break;
            }
        }
        misses = if counted.is_some() { 0 } else { misses + 1 };
        let best_so_far = best.as_ref().map_or(0.0, Run::per_second);
        best = counted.filter(|run| run.per_second() > best_so_far).or(best);
        if misses == MISSES || crowd.is_cut_off() {
            break;
        }
    }
    if let Some(best) = best {
        figures.add(place, "deliveries", "1/s", best.per_second());
        figures.add(
            place,
            "rows",
            "1/s",
            best.written.rows as f64 / best.written.seconds,
        );
        figures.add(
            place,
            "rows of a statement",
            "",
            best.written.rows_per_statement as f64,
        );
        figures.add(place, "p99", "ms", best.measured.latency_ms(0.99));
        figures.add(place, "CPU per delivery", "µs", best.processor_us());
        note_costs(figures, place, &best);
    } else {
        // It does not bear the first step.
        figures.add(place, "deliveries", "1/s", 0.0);
    }
    drop(crowd);
    world.strike(stage)
}

fn is_prompt(rate: f64, run: &Run) -> bool {
    let p99 = run.measured.latency_ms(0.99);
    eprintln!(
        "    {rate} rows/s: {:.0} deliveries/s, p99 {p99:.1} ms, {:?}",
        run.per_second(),
        run.measured.counts
    );
    run.measured.counts.is_clean() && p99 < PROMPT
}
