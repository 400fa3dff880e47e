//! The search through all states, and what must hold in each.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;
use rowcast::tail::mode::{Action, Heed, Pace};

use super::world::{Label, RELAYS, Relay, Step, World, Writer};
use super::{Exploration, Flaw, Outcome, Violation};

/// A set of worlds, which are many and cheap to hash.
pub(super) type Worlds = HashSet<World, FixedState>;

impl Exploration {
    /// Explores breadth first; `until` ends it early.
    pub(super) fn run(&self, until: Option<Violation>) -> Outcome {
        let begin = World::begin(self.writers).normal();
        let mut known = Worlds::default();
        known.insert(begin);
        // In the order of discovery, each with its predecessor: the queue of the search, and all histories.
        let mut found: Vec<(World, usize, Label)> = vec![(begin, 0, ('-', 0, ""))];
        let mut violations: HashMap<Violation, usize> = HashMap::new();
        // Worlds whose writers have ended and that come to rest. Most states have one in common with others.
        let mut restful = Worlds::default();
        let mut at = 0;
        while at < found.len() && until.is_none_or(|until| !violations.contains_key(&until)) {
            let world = found[at].0;
            for violation in self.violations(&world, &mut restful) {
                violations.entry(violation).or_insert(at);
            }
            for (label, next) in self.successors(&world) {
                let next = next.normal();
                if known.insert(next) {
                    found.push((next, at, label));
                }
            }
            at += 1;
        }
        let violations = violations
            .into_iter()
            .map(|(violation, at)| (violation, history(&found, at)))
            .collect();
        Outcome {
            states: found.len(),
            violations,
        }
    }

    pub(super) fn violations(&self, world: &World, restful: &mut Worlds) -> Vec<Violation> {
        let mut found = Vec::new();
        // A `busy` is on its way to everybody.
        let pending = world
            .relays
            .iter()
            .any(|relay| relay.alive && relay.step == Step::Lowered);
        for relay in world.relays.iter().filter(|relay| relay.is_asleep()) {
            if pending || self.backstop_helps(world, relay) {
                continue;
            }
            if world.visible() & !relay.seen != 0 {
                found.push(Violation::AsleepWithUnseenRow);
            }
            if !world.flag {
                found.push(Violation::AsleepWhileFlagIsDown);
            }
        }
        let loaded = Heed {
            flag: true,
            xmin: 0,
            quiet: false,
            stormy: true,
        };
        let ignores = |relay: &Relay| relay.alive && relay.mode.clone().on_read(&loaded) != Action::Lower;
        if world
            .relays
            .iter()
            .any(|relay| relay.mode.pace() == Pace::Polling && ignores(relay))
        {
            found.push(Violation::RingsForNobody);
        }
        let ended = self.all_ended(*world);
        if !restful.contains(&ended) {
            if self.comes_to_rest(ended) {
                restful.insert(ended);
            } else {
                found.push(Violation::NeverAtRest);
            }
        }
        found
    }

    /// Somebody died between setting 0 and saying so: the backstop read is what is left, and it must end the sleep.
    pub(super) fn backstop_helps(&self, world: &World, relay: &Relay) -> bool {
        if !self.faults.dies || world.flag || world.relays.iter().all(|relay| relay.alive) {
            return false;
        }
        let mut mode = relay.mode;
        let flag = world.flag || self.flaw == Flaw::FlagUnread;
        let _ = mode.on_read(&Heed {
            flag,
            xmin: 0,
            quiet: false,
            stormy: false,
        });
        mode.pace() == Pace::Polling
    }

    /// The world after the ends of all writers.
    pub(super) fn all_ended(&self, mut world: World) -> World {
        for at in 0..self.writers {
            if world.writers[at] == Writer::Ringing {
                world.ring();
            }
            world.writers[at] = Writer::Committed;
        }
        world
    }

    /// Lets everything take its course without load and without writers: is everybody armed in the end?
    pub(super) fn comes_to_rest(&self, mut world: World) -> bool {
        let at_rest =
            |world: &World, relay: &Relay| relay.is_asleep() && relay.seen == world.visible() && world.flag;
        for _ in 0..20 {
            if world
                .relays
                .iter()
                .all(|relay| !relay.alive || at_rest(&world, relay))
            {
                return true;
            }
            for k in 0..RELAYS {
                self.settle(&mut world, k);
            }
        }
        false
    }

    /// A relay without load: one statement, with its answer.
    pub(super) fn settle(&self, world: &mut World, k: usize) {
        let relay = &mut world.relays[k];
        if !relay.alive {
            return;
        }
        if !relay.hears {
            relay.listen();
        }
        if relay.busy {
            self.hear_busy(relay);
        }
        let mut steps = Vec::new();
        match relay.step {
            Step::Waits => {
                self.read(world, k, false);
                self.read_done(&mut world.relays[k], true, false);
            }
            Step::ReadDone { .. } => self.read_done(relay, true, false),
            // There is one way on.
            _ => self.relay_steps(world, k, &mut steps),
        }
        if let Some((_, next)) = steps.pop() {
            *world = next;
        }
    }
}

fn history(found: &[(World, usize, Label)], mut at: usize) -> String {
    let mut labels = Vec::new();
    while at != 0 {
        let (_, before, (who, number, what)) = &found[at];
        labels.push(format!("{who}{number} {what}"));
        at = *before;
    }
    labels.reverse();
    labels.join(" | ")
}
