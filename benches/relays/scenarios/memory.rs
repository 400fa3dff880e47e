//! What an idle subscriber costs in memory, and one that came in a storm.

use std::time::Duration;

use super::{Scenario, Setting, attempt};
use crate::client::Plan;
use crate::clock;
use crate::figures::{Figures, Place};
use crate::peers::Transport;
use crate::stage::{Contestant, World};

pub const SCENARIO: Scenario = Scenario {
    name: "memory",
    what: "memory of an idle subscriber, user space and kernel: 1,000 to all that descriptors allow; after a storm",
    measure,
};

/// Subscribers who come at an easy pace.
const RAMPED: [usize; 4] = [1_000, 10_000, 19_000, 28_000];

/// Subscribers who come all at once.
const STORM: usize = 10_000;

/// Memory is looked at when it is this long, in seconds, since the last one came.
const QUIET: f64 = 1.5;

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for run in 0..setting.runs.min(2) {
        let ramped = setting.some(&RAMPED[..RAMPED.len() - usize::from(setting.quick)]);
        let ramped = ramped
            .into_iter()
            .map(|count| Plan::streams(setting.count(*count)));
        let storm = Plan {
            at_once: setting.count(STORM),
            ..Plan::streams(setting.count(STORM))
        };
        for plan in ramped.chain([storm]) {
            let count = plan.subscribers;
            if count > world.most_subscribers() {
                eprintln!("  {count} subscribers: not with this machine's limit of descriptors");
                continue;
            }
            let load = match plan.at_once == count {
                true => format!("{count} at once"),
                false => format!("{count} ramped"),
            };
            for contestant in setting.relays(run, Transport::Sse) {
                let place = Place {
                    scenario: SCENARIO.name,
                    load: &load,
                    server: contestant.name(),
                };
                attempt(figures, place, |figures| {
                    one(world, setting, figures, place, &contestant, plan)
                });
            }
        }
    }
}

fn one(
    world: &mut World,
    setting: &Setting,
    figures: &mut Figures,
    place: Place,
    contestant: &Contestant,
    plan: Plan,
) -> anyhow::Result<()> {
    let quiet = Duration::from_secs_f64(setting.seconds(QUIET));
    let stage = world.stage(contestant, 1)?;
    let (user_before, kernel_before) = stage.memory_without_subscribers(quiet)?;
    let began = clock::now();
    let mut crowd = stage.crowd(plan)?;
    let seconds = (clock::now() - began) as f64 / 1e9;
    crowd.run_until(quiet, |_| Ok(false))?;
    let (user, kernel) = stage.memory()?;
    let of_one = |after: u64, before: u64| (after as f64 - before as f64) / plan.subscribers as f64;
    figures.add(place, "user space", "B", of_one(user, user_before));
    figures.add(place, "kernel, both ends", "B", of_one(kernel, kernel_before));
    figures.add(place, "connected in", "s", seconds);
    anyhow::ensure!(!crowd.is_cut_off(), "the server has closed connections");
    drop(crowd);
    world.strike(stage)
}
