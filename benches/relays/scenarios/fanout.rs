//! One room with many subscribers at rates that every server should bear: latency, and what a delivery costs.

use super::{Scenario, Setting, attempt, note};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::rows::Load;
use crate::stage::{Contestant, World};

pub const SCENARIO: Scenario = Scenario {
    name: "fanout",
    what: "one room, 1,000 and 5,000 subscribers, moderate rates: latency, CPU per delivery",
    measure,
};

/// Subscribers with rows a second and seconds.
const LOADS: [(usize, &[(f64, f64)]); 2] = [
    (1_000, &[(20.0, 4.0), (1_000.0, 3.0)]),
    (5_000, &[(4.0, 5.0), (100.0, 3.0)]),
];

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for run in 0..setting.runs {
        for (subscribers, paces) in LOADS {
            for contestant in setting.in_turn(run) {
                let subscribers = setting.count(subscribers);
                let place = Place {
                    scenario: SCENARIO.name,
                    load: &format!("1 × {subscribers}"),
                    server: contestant.name(),
                };
                attempt(figures, place, |figures| {
                    one(world, setting, figures, &contestant, subscribers, paces)
                });
            }
        }
    }
}

fn one(
    world: &mut World,
    setting: &Setting,
    figures: &mut Figures,
    contestant: &Contestant,
    subscribers: usize,
    paces: &[(f64, f64)],
) -> anyhow::Result<()> {
    let stage = world.stage(contestant, 1)?;
    let mut crowd = stage.warm_crowd(Plan::streams(subscribers))?;
    for (rate, seconds) in paces {
        let run = stage.run(&mut crowd, Load::new(*rate, setting.seconds(*seconds)))?;
        let place = Place {
            scenario: SCENARIO.name,
            load: &format!("1 × {subscribers}, {rate}/s"),
            server: contestant.name(),
        };
        note(figures, place, &run);
    }
    drop(crowd);
    world.strike(stage)
}
