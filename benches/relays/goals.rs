//! The goals: what this run has measured of each, and the best of the others in the same run.

use crate::figures::Figure;
use crate::page::{Samples, Table, sensible};

const OURS: &str = "Rowcast";
const FROM_TABLE: &str = "Rowcast, from the table";
const OTHERS: [&str; 3] = ["Nchan", "Pushpin", "Node"];
const LIMIT: &str = "limit";
const JOINED: &str = "limit, joined";

/// How far apart figures may be that are called flat.
const FLAT: f64 = 1.2;

/// What is looked for: the scenario, how its load begins, the quantity.
type Place = (&'static str, &'static str, &'static str);

/// A goal and what came of it, in one unit.
struct Goal {
    what: &'static str,
    unit: &'static str,
    measured: Option<f64>,
    bound: Option<f64>,
    /// More is better.
    is_least: bool,
    others: Option<(f64, &'static str)>,
    /// More that belongs to it.
    beside: String,
}

/// The table of all goals; those that were not measured say so.
pub fn table(figures: &[Figure]) -> Table {
    let note = "What each figure is to be; `best of the others`: in the same run. What writers pay (at 32 clients 90 % of \
                no trigger) is measured by `make bench-writers`: [RESULTS-writers.md](RESULTS-writers.md).";
    let head = ["goal", "", "to be", "measured", "best of the others", "met"];
    let mut table = Table::new("The goals", note, head).figures_from(2);
    let seen = Seen(figures);
    let all = [
        throughput(&seen),
        latency(&seen),
        memory(&seen),
        prompt(&seen),
        herd(&seen),
        flat(&seen),
    ];
    for goal in all.into_iter().flatten() {
        table.row(goal.cells());
    }
    table
}

impl Goal {
    /// One that compares ours at this place with a bound.
    fn at(seen: &Seen, what: &'static str, place: Place, unit: &'static str, bound: f64) -> Self {
        Self {
            what,
            unit,
            measured: seen.median(OURS, place),
            bound: Some(bound),
            is_least: false,
            others: seen.best(place, false),
            beside: String::new(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let number = |value: Option<f64>| value.map_or("–".to_owned(), sensible);
        let sign = if self.is_least { "≥" } else { "≤" };
        let met = match (self.measured, self.bound) {
            (Some(measured), Some(bound)) => {
                let is_met = if self.is_least {
                    measured >= bound
                } else {
                    measured <= bound
                };
                let percent = 100.0 * (measured / bound - 1.0);
                match is_met {
                    true => "yes".to_owned(),
                    false => format!("no, {percent:+.0} %"),
                }
            }
            _ => "not measured".to_owned(),
        };
        let others = self
            .others
            .map(|(value, server)| format!("{} ({server})", sensible(value)));
        [
            self.what.to_owned(),
            self.unit.to_owned(),
            format!("{sign} {}", number(self.bound)),
            format!("{}{}", number(self.measured), self.beside),
            others.unwrap_or_else(|| "–".to_owned()),
            met,
        ]
    }
}

/// The figures, by where they belong.
struct Seen<'a>(&'a [Figure]);

impl Seen<'_> {
    fn median(&self, server: &str, (scenario, load, what): Place) -> Option<f64> {
        let found = self.0.iter().find(|one| {
            one.scenario == scenario && one.server == server && one.what == what && one.load.starts_with(load)
        })?;
        Some(Samples::of(&found.values).median())
    }

    fn best(&self, place: Place, more_is_better: bool) -> Option<(f64, &'static str)> {
        let sign = if more_is_better { -1.0 } else { 1.0 };
        let measured = OTHERS
            .iter()
            .filter_map(|server| Some((self.median(server, place)?, *server)));
        measured.min_by(|(a, _), (b, _)| (sign * a).total_cmp(&(sign * b)))
    }
}

fn throughput(seen: &Seen) -> Vec<Goal> {
    const THOUSAND: Place = ("saturation", "1 × 1000", "deliveries");
    const FIVE: Place = ("saturation", "1 × 5000", "deliveries");
    let rows = seen.median(OURS, ("saturation", "1 × 1000", "rows"));
    vec![
        Goal {
            is_least: true,
            others: seen.best(THOUSAND, true),
            beside: rows.map_or_else(String::new, |rows| format!(" at {} rows/s", sensible(rows))),
            ..Goal::at(seen, "most deliveries, 1 × 1,000", THOUSAND, "1/s", 1_500_000.0)
        },
        Goal {
            is_least: true,
            bound: seen.median(JOINED, FIVE).map(|joined| 0.65 * joined),
            others: seen.best(FIVE, true),
            ..Goal::at(
                seen,
                "most deliveries, 1 × 5,000: 65 % of joined",
                FIVE,
                "1/s",
                f64::NAN,
            )
        },
        Goal::at(
            seen,
            "CPU per delivery, 1 × 1,000 at 1,000 rows/s",
            ("fanout", "1 × 1000, 1000/s", "CPU per delivery"),
            "µs",
            1.2,
        ),
    ]
}

/// The limit has no database. Its share is what a row takes longer than with the limit where subscribers are few.
fn latency(seen: &Seen) -> Vec<Goal> {
    const FEW: Place = ("commit", "1 × 100, 50/s", "p50");
    let share = seen
        .median(OURS, FEW)
        .zip(seen.median(LIMIT, FEW))
        .map(|(ours, limit)| ours - limit);
    let goal = |what, place: Place, factor: f64| Goal {
        bound: seen
            .median(LIMIT, place)
            .zip(share)
            .map(|(limit, share)| (limit + share) * factor),
        ..Goal::at(seen, what, place, "ms", f64::NAN)
    };
    vec![
        goal(
            "p50, 1 × 1,000 at 20 rows/s: limit and database",
            ("fanout", "1 × 1000, 20/s", "p50"),
            1.0,
        ),
        goal("p99 of it: 15 % more", ("fanout", "1 × 1000, 20/s", "p99"), 1.15),
        goal(
            "p50, 1 × 5,000 at 4 rows/s: limit and database",
            ("fanout", "1 × 5000, 4/s", "p50"),
            1.0,
        ),
        goal("p99 of it: 15 % more", ("fanout", "1 × 5000, 4/s", "p99"), 1.15),
    ]
}

fn memory(seen: &Seen) -> Vec<Goal> {
    let ramped = ("memory", "10000 ramped", "user space");
    let storm = ("memory", "10000 at once", "user space");
    vec![
        Goal::at(
            seen,
            "memory per idle subscriber, 10,000 ramped",
            ramped,
            "B",
            1_229.0,
        ),
        Goal::at(seen, "the same, 10,000 at once", storm, "B", 2_048.0),
    ]
}

fn prompt(seen: &Seen) -> Vec<Goal> {
    const COMMIT: &str = "1 × 100, 50/s";
    const POLLS: &str = "1000 × 1, 100/s";
    let commit = |what, (quantity, limit), bound| Goal {
        beside: seen
            .median(LIMIT, ("commit", COMMIT, limit))
            .map_or_else(String::new, |limit| format!(", the limit {}", sensible(limit))),
        ..Goal::at(seen, what, ("commit", COMMIT, quantity), "ms", bound)
    };
    vec![
        commit(
            "commit to client, 1 × 100 at 50 rows/s, p50",
            ("p50 after return", "p50"),
            0.5,
        ),
        commit("the same, p99", ("p99 after return", "p99"), 1.2),
        Goal::at(
            seen,
            "1,000 rooms × 5 at 2,000 rows/s, p99",
            ("rooms", "1000 × 5", "p99"),
            "ms",
            5.0,
        ),
        Goal::at(
            seen,
            "long poll, 1,000 clients, 100 rows/s, p50",
            ("longpoll", POLLS, "p50"),
            "ms",
            0.7,
        ),
        Goal::at(seen, "the same, p99", ("longpoll", POLLS, "p99"), "ms", 2.0),
    ]
}

fn herd(seen: &Seen) -> Vec<Goal> {
    const ONE: Place = ("herd", "1 × 2000", "all caught up");
    let queries = |load| seen.median(OURS, ("herd", load, "queries"));
    vec![
        Goal::at(seen, "herd of 2,000, 100 rows each, from the ring", ONE, "s", 0.2),
        Goal {
            measured: seen.median(FROM_TABLE, ONE),
            ..Goal::at(
                seen,
                "herd of 2,000, 100 rows each, from the table",
                ONE,
                "s",
                0.5,
            )
        },
        Goal {
            measured: seen.median(FROM_TABLE, ("herd", "20 × 100", "queries")),
            // Of one room, for each of twenty.
            bound: seen
                .median(FROM_TABLE, ("herd", "1 × 2000", "queries"))
                .map(|queries| 20.0 * queries),
            others: seen.best(("herd", "20 × 100", "queries"), false),
            beside: queries("20 × 100").map_or_else(String::new, |queries| {
                format!(", from the ring {}", sensible(queries))
            }),
            ..Goal::at(
                seen,
                "queries of a herd in 20 rooms: 20 times one room's",
                ONE,
                "",
                f64::NAN,
            )
        },
    ]
}

/// From 1,000 subscribers on, the greatest by the least.
fn flat(seen: &Seen) -> Vec<Goal> {
    let goal = |what, quantity| {
        let all = seen.0.iter().filter(|one| {
            let count = one.load.strip_prefix("subscribers ");
            let is_large = count.and_then(|count| count.parse().ok()).unwrap_or(0) >= 1_000;
            one.scenario == "growth" && one.server == OURS && one.what == quantity && is_large
        });
        let medians: Vec<f64> = all.map(|one| Samples::of(&one.values).median()).collect();
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = medians.iter().copied().fold(0.0, f64::max);
        Goal {
            what,
            unit: "×",
            measured: (medians.len() > 1).then_some(greatest / least),
            bound: Some(FLAT),
            is_least: false,
            others: None,
            beside: String::new(),
        }
    };
    vec![
        goal(
            "memory per subscriber from 1,000 to 19,000, greatest by least",
            "user space per subscriber",
        ),
        goal("CPU per delivery, the same", "CPU per delivery"),
    ]
}
