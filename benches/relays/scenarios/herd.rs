//! Everybody is cut off, misses rows, and is back at once.

use std::sync::Arc;
use std::time::Duration;

use super::{Scenario, Setting, attempt};
use crate::client::Plan;
use crate::clock;
use crate::figures::{Figures, Place};
use crate::peers::{Peer as _, Transport};
use crate::rowcast::Rowcast;
use crate::rows::Load;
use crate::stage::{Contestant, World};

pub const SCENARIO: Scenario = Scenario {
    name: "herd",
    what: "2,000 subscribers cut off, 100 missed rows each, all back at once: until the last has them; queries",
    measure,
};

const SUBSCRIBERS: usize = 2_000;
const ROOMS: [usize; 2] = [1, 20];
/// Rows that each has missed.
const MISSED: usize = 100;
/// How long a server has to see that they are gone, and to hear of the rows.
const APART: Duration = Duration::from_millis(500);
/// How often those are looked for who were cut off again.
const GLANCE: Duration = Duration::from_millis(100);
/// How long the last one may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for run in 0..setting.runs {
        let mut contestants = setting.relays(run, Transport::Sse);
        if contestants.iter().any(|one| one.name() == Rowcast::USUAL.name()) {
            contestants.push(Contestant::Relay(Arc::new(Rowcast::FROM_TABLE)));
        }
        for rooms in ROOMS.into_iter().skip(usize::from(setting.quick)) {
            let subscribers = setting.count(SUBSCRIBERS);
            for contestant in &contestants {
                let place = Place {
                    scenario: SCENARIO.name,
                    load: &format!("{rooms} × {}, {MISSED} rows each", subscribers / rooms),
                    server: contestant.name(),
                };
                attempt(figures, place, |figures| {
                    one(world, figures, place, contestant, (subscribers, rooms))
                });
            }
        }
    }
}

fn one(
    world: &mut World,
    figures: &mut Figures,
    place: Place,
    contestant: &Contestant,
    (subscribers, rooms): (usize, usize),
) -> anyhow::Result<()> {
    let stage = world.stage(contestant, rooms)?;
    let plan = Plan {
        keeps_ids: true,
        ..Plan::streams(subscribers)
    };
    let mut crowd = stage.warm_crowd(plan)?;
    crowd.cut();
    let missed = Load {
        rows_per_statement: 10,
        ..Load::new(2_000.0, (MISSED * rooms) as f64 / 2_000.0)
    };
    stage.write(&mut crowd, missed)?;
    std::thread::sleep(APART);
    crowd.take(false);
    let statements_before = world.statements(&stage)?;
    let began = clock::now();
    crowd.connect(subscribers);
    let connected = |crowd: &crate::client::Crowd| crowd.is_connected() && crowd.has_caught_up();
    while !crowd.run_until(GLANCE, |crowd| Ok(connected(crowd)))?
        && Duration::from_nanos(clock::now() - began) < PATIENCE
    {
        // Whom the server has cut off meanwhile is back, too, as browsers are.
        crowd.connect(subscribers);
    }
    let seconds = (clock::now() - began) as f64 / 1e9;
    let statements = world.statements(&stage)?;
    let counts = crowd.take(true).counts;
    figures.add(place, "all caught up", "s", seconds);
    if let (Some(before), Some(after)) = (statements_before, statements) {
        figures.add(place, "queries", "", (after - before) as f64);
    }
    figures.add(place, "lost", "", counts.lost as f64);
    figures.add(place, "repeated", "", counts.repeated as f64);
    figures.add(place, "reordered", "", counts.reordered as f64);
    drop(crowd);
    world.strike(stage)
}
