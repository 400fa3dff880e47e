//! What a delivery costs as rooms, subscribers and rows grow, and what goes over the wire: the data of the plots.

use std::time::Duration;

use super::{Scenario, Setting, attempt, note};
use crate::client::Plan;
use crate::figures::{Figures, Place};
use crate::peers::Transport;
use crate::rows::Load;
use crate::stage::{Contestant, World};

pub const SCENARIO: Scenario = Scenario {
    name: "growth",
    what: "rooms 1 to 10,000, subscribers 100 to 19,000, rows of 100 B to 16 KiB, bytes on the wire",
    measure,
};

const ROOMS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// Subscribers of all rooms together.
const OF_ALL_ROOMS: usize = 10_000;
const SUBSCRIBERS: [usize; 5] = [100, 1_000, 5_000, 10_000, 19_000];
/// Bytes of a row's body.
const SIZES: [usize; 5] = [100, 400, 1_600, 4_096, 16_384];
/// Deliveries a second that each point is measured at, whatever grows.
const DELIVERIES: f64 = 50_000.0;
/// The same where rooms grow: with one subscriber each, as many rows a second.
const DELIVERIES_OF_ROOMS: f64 = 10_000.0;
const SECONDS: f64 = 3.0;
/// How long a server may rest before its memory is looked at.
const REST: Duration = Duration::from_millis(300);

/// What is measured at one point of a plot.
struct Point {
    /// `rooms 10`, `subscribers 100`: what grows and how far.
    load: String,
    rooms: usize,
    plan: Plan,
    load_of_rows: Load,
}

fn measure(world: &mut World, setting: &Setting, figures: &mut Figures) {
    for point in points(setting) {
        if point.plan.subscribers > world.most_subscribers() {
            eprintln!("  {}: not with this machine's limit of descriptors", point.load);
            continue;
        }
        for contestant in setting.relays(0, point.plan.transport) {
            let place = Place {
                scenario: SCENARIO.name,
                load: &point.load,
                server: contestant.name(),
            };
            attempt(figures, place, |figures| {
                one(world, figures, place, &contestant, &point)
            });
        }
    }
}

fn points(setting: &Setting) -> Vec<Point> {
    let seconds = setting.seconds(SECONDS);
    let at_pace = |load: String, rooms: usize, subscribers: usize, deliveries: f64| Point {
        load,
        rooms,
        plan: Plan::streams(subscribers),
        load_of_rows: Load::new(deliveries * rooms as f64 / subscribers as f64, seconds),
    };
    let rooms = setting.some(&ROOMS).into_iter().map(|rooms| {
        let rooms = (*rooms).min(setting.count(OF_ALL_ROOMS));
        let subscribers = setting.count(OF_ALL_ROOMS);
        at_pace(format!("rooms {rooms}"), rooms, subscribers, DELIVERIES_OF_ROOMS)
    });
    let subscribers = setting.some(&SUBSCRIBERS).into_iter().map(|subscribers| {
        let subscribers = setting.count(*subscribers);
        at_pace(format!("subscribers {subscribers}"), 1, subscribers, DELIVERIES)
    });
    let sizes = setting.some(&SIZES).into_iter().map(|size| {
        let mut point = at_pace(
            format!("row size {size}"),
            1,
            setting.count(1_000),
            DELIVERIES / 2.0,
        );
        point.load_of_rows = point.load_of_rows.of_size(*size);
        point
    });
    let wire = [("SSE", Plan::streams(100)), ("long poll", Plan::polls(100))].map(|(name, plan)| Point {
        load: format!("wire {name}"),
        rooms: 1,
        plan,
        load_of_rows: Load::new(20.0, seconds),
    });
    rooms.chain(subscribers).chain(sizes).chain(wire).collect()
}

fn one(
    world: &mut World,
    figures: &mut Figures,
    place: Place,
    contestant: &Contestant,
    point: &Point,
) -> anyhow::Result<()> {
    let stage = world.stage(contestant, point.rooms)?;
    let (user_before, _) = stage.memory_without_subscribers(REST)?;
    let mut crowd = stage.warm_crowd(point.plan)?;
    let run = stage.run(&mut crowd, point.load_of_rows)?;
    let counts = run.measured.counts;
    note(figures, place, &run);
    figures.add(
        place,
        "bytes per delivery",
        "B",
        counts.bytes as f64 / counts.deliveries.max(1) as f64,
    );
    if point.plan.transport == Transport::Sse {
        let (user, _) = stage.memory()?;
        figures.add(
            place,
            "user space per subscriber",
            "B",
            (user as f64 - user_before as f64) / point.plan.subscribers as f64,
        );
    }
    drop(crowd);
    world.strike(stage)
}
