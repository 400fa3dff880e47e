//! Many rooms with few subscribers each: what every row costs beside its deliveries.

use super::{Scenario, Setting, attempt, note};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::rows::Load;
use crate::stage::World;

pub const SCENARIO: Scenario = Scenario {
    name: "rooms",
    what: "1,000 rooms with 5 subscribers each, 2,000 rows/s: latency, CPU per delivery",
    measure,
};

const ROOMS: usize = 1_000;
const OF_ONE_ROOM: usize = 5;
const RATE: f64 = 2_000.0;
const SECONDS: f64 = 4.0;

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    let rooms = setting.count(ROOMS);
    let load = Load::new(RATE, setting.seconds(SECONDS));
    for run in 0..setting.runs {
        for contestant in setting.in_turn(run) {
            let place = Place {
                scenario: SCENARIO.name,
                load: &format!(
                    "{rooms} × {OF_ONE_ROOM}, {RATE}/s, {} a statement",
                    load.rows_per_statement
                ),
                server: contestant.name(),
            };
            attempt(figures, place, |figures| {
                let stage = world.stage(&contestant, rooms)?;
                let mut crowd = stage.warm_crowd(Plan::streams(rooms * OF_ONE_ROOM))?;
                note(figures, place, &stage.run(&mut crowd, load)?);
                drop(crowd);
                world.strike(stage)
            });
        }
    }
}
