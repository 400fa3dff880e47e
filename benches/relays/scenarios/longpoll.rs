//! Clients that ask, get an answer and ask again.

use super::{Scenario, Setting, attempt, note};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::peers::Transport;
use crate::rows::Load;
use crate::stage::World;

pub const SCENARIO: Scenario = Scenario {
    name: "longpoll",
    what: "1,000 clients that answer and ask again, in a room each and in one, after a rest of 1.5 s: latency, deliveries a second",
    measure,
};

const CLIENTS: usize = 1_000;
/// Rooms with rows a second: few wake-ups for each row, at a rate at which a bell rings and at one at which Rowcast polls; then
/// all of them.
const LOADS: [(usize, f64); 4] = [(CLIENTS, 100.0), (CLIENTS, 500.0), (1, 20.0), (1, 200.0)];
const SECONDS: f64 = 4.0;

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    let clients = setting.count(CLIENTS);
    for run in 0..setting.runs {
        for (rooms, rate) in setting.some(&LOADS) {
            let (rooms, rate) = ((*rooms).min(clients), *rate);
            for contestant in setting.relays(run, Transport::LongPoll) {
                let place = Place {
                    scenario: SCENARIO.name,
                    load: &format!("{rooms} × {}, {rate}/s", clients / rooms),
                    server: contestant.name(),
                };
                attempt(figures, place, |figures| {
                    let stage = world.stage(&contestant, rooms)?;
                    let mut crowd = stage.warm_crowd(Plan::polls(clients))?;
                    stage.rest(&mut crowd)?;
                    let run = stage.run(&mut crowd, Load::new(rate, setting.seconds(SECONDS)))?;
                    figures.add(place, "deliveries", "1/s", run.per_second());
                    figures.add(place, "answers", "1/s", run.measured.answers as f64 / run.seconds);
                    note(figures, place, &run);
                    drop(crowd);
                    world.strike(stage)
                });
            }
        }
    }
}
