//! What is measured. A scenario starts its servers by turns and notes figures; one server's failure is no other's.

mod commit;
mod fanout;
mod growth;
mod herd;
mod longpoll;
mod memory;
mod rooms;
mod saturation;

use crate::figures::{Figures, Place};
use crate::peers::Transport;
use crate::stage::{Contestant, Run, World};

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    /// What it finds out.
    pub what: &'static str,
    pub measure: fn(&mut World, &Setting, &mut Figures),
}

pub const SCENARIOS: [Scenario; 8] = [
    fanout::SCENARIO,
    saturation::SCENARIO,
    rooms::SCENARIO,
    commit::SCENARIO,
    memory::SCENARIO,
    herd::SCENARIO,
    longpoll::SCENARIO,
    growth::SCENARIO,
];

/// How a scenario is to be measured.
pub struct Setting {
    pub contestants: Vec<Contestant>,
    pub runs: u32,
    /// Small and short.
    pub quick: bool,
}

impl Setting {
    /// That many subscribers, or rows; of a quick run a tenth.
    fn count(&self, count: usize) -> usize {
        if self.quick { (count / 10).max(1) } else { count }
    }

    /// That long; of a quick run an eighth.
    fn seconds(&self, seconds: f64) -> f64 {
        if self.quick { seconds / 8.0 } else { seconds }
    }

    /// All of a series; of a quick run the first and the last.
    fn some<'a, T>(&self, all: &'a [T]) -> Vec<&'a T> {
        match (self.quick, all) {
            (true, [first, .., last]) => vec![first, last],
            _ => all.iter().collect(),
        }
    }

    /// The contestants as this run takes them: each is first once.
    fn in_turn(&self, run: u32) -> Vec<Contestant> {
        let mut contestants = self.contestants.clone();
        let first = run as usize % contestants.len().max(1);
        contestants.rotate_left(first);
        contestants
    }

    /// Those with a database, and this transport.
    fn relays(&self, run: u32, transport: Transport) -> Vec<Contestant> {
        let supports = |one: &Contestant| match one {
            Contestant::Relay(peer) => peer.supports(transport),
            Contestant::Limit(_) => false,
        };
        self.in_turn(run).into_iter().filter(supports).collect()
    }
}

/// Runs `measure`, and notes if it fails.
fn attempt(figures: &mut Figures, place: Place, measure: impl FnOnce(&mut Figures) -> anyhow::Result<()>) {
    eprintln!("  {} · {}", place.load, place.server);
    if let Err(error) = measure(figures) {
        figures.fail(place, &error);
    }
}

/// The figures that every load has: latencies from just before the INSERT, costs, and what was wrong.
fn note(figures: &mut Figures, place: Place, run: &Run) {
    figures.add(place, "p50", "ms", run.measured.latency_ms(0.5));
    figures.add(place, "p99", "ms", run.measured.latency_ms(0.99));
    figures.add(place, "CPU per delivery", "µs", run.processor_us());
    note_costs(figures, place, run);
}

/// Of the client, and what was wrong.
fn note_costs(figures: &mut Figures, place: Place, run: &Run) {
    let counts = run.measured.counts;
    figures.add(place, "client's CPU", "µs", run.client_us());
    figures.add(place, "lost", "", counts.lost as f64);
    figures.add(place, "repeated", "", counts.repeated as f64);
    figures.add(place, "reordered", "", counts.reordered as f64);
    if !counts.is_clean() {
        eprintln!("    {} · {}: {counts:?}", place.load, place.server);
    }
}
