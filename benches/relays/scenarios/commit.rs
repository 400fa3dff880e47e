//! How long after a commit its subscribers know: from the return of the INSERT. The limits, which have no database, say what a
//! hundred writes and reads take by themselves.

use super::{Scenario, Setting, attempt, note};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::rows::Load;
use crate::stage::{Contestant, World};

pub const SCENARIO: Scenario = Scenario {
    name: "commit",
    what: "100 subscribers at 50, 500 and 5,000 rows/s, after a rest of 1.5 s: from the return of the INSERT to the client",
    measure,
};

const SUBSCRIBERS: usize = 100;
const RATES: [f64; 3] = [50.0, 500.0, 5_000.0];
const SECONDS: f64 = 4.0;

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for run in 0..setting.runs {
        for contestant in setting.in_turn(run) {
            let place = Place {
                scenario: SCENARIO.name,
                load: &format!("1 × {SUBSCRIBERS}"),
                server: contestant.name(),
            };
            attempt(figures, place, |figures| {
                one(world, setting, figures, &contestant)
            });
        }
    }
}

fn one(
    world: &mut World,
    setting: &Setting,
    figures: &mut Figures,
    contestant: &Contestant,
) -> anyhow::Result<()> {
    let stage = world.stage(contestant, 1)?;
    let mut crowd = stage.warm_crowd(Plan::streams(SUBSCRIBERS))?;
    stage.rest(&mut crowd)?;
    for rate in RATES {
        let load = Load::new(rate, setting.seconds(SECONDS));
        let run = stage.run(&mut crowd, load)?;
        let place = Place {
            scenario: SCENARIO.name,
            load: &format!(
                "1 × {SUBSCRIBERS}, {rate}/s, {} a statement",
                load.rows_per_statement
            ),
            server: contestant.name(),
        };
        if matches!(contestant, Contestant::Relay(_)) {
            let quantiles = [("p50 after return", 0.5), ("p99 after return", 0.99)];
            for (what, quantile) in quantiles {
                figures.add(place, what, "ms", run.measured.after_return_ms(quantile));
            }
        }
        figures.add(
            place,
            "rows",
            "1/s",
            run.written.rows as f64 / run.written.seconds,
        );
        note(figures, place, &run);
    }
    drop(crowd);
    world.strike(stage)
}
