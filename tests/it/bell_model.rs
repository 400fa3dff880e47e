//! Every state that three writers and two tails can reach through the bell, on the project's own [`Mode`].
//!
//! The world: one flag, writers of one row each, relays that lose their LISTEN, die or leave. Everything that takes
//! time is a step of its own: a statement is decided on, executed, answered; a bell or a `busy` is heard when it
//! pleases. Each rule of the bell is then broken in turn, to show that the exploration would tell.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rowcast::tail::mode::{Action, Heed, Mode, Pace};

const RELAYS: usize = 2;
const WRITERS: usize = 3;

/// Writers take their transaction ids in the order of their numbers: they are alike, so this loses no generality.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Writer {
    Idle,
    HasXid,
    /// Inserted and read the flag as 0.
    Silent,
    /// Inserted and read the flag as 1.
    Ringing,
    Committed,
    /// Takes no part.
    Absent,
}

/// What a relay's driver is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Waits,
    /// A read was executed, its answer is on the way.
    ReadDone {
        rows: u8,
        flag: bool,
        xmin: u64,
    },
    /// A statement about the flag is to be executed (and answered, but where a step follows).
    Decided(Action),
    /// Only for [`Flaw::BoundNotedBeforeRaise`].
    NotedEarly {
        bound: u64,
    },
    /// The flag is 0, the `busy` not committed.
    Lowered,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Relay {
    mode: Mode,
    alive: bool,
    /// LISTEN works, whether or not the machine knows.
    hears: bool,
    bell: bool,
    busy: bool,
    /// Rows seen, a bit per writer.
    seen: u8,
    step: Step,
    /// Only for [`Flaw::TableXminFromBeforeTheBound`].
    stale_table_xmin: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct World {
    flag: bool,
    writers: [Writer; WRITERS],
    relays: [Relay; RELAYS],
}

/// A rule broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    BoundNotedBeforeRaise,
    BusyDroppedWhileRaising,
    ArmingWaitSkipped,
    FlagUnread,
    TableXminFromBeforeTheBound,
    BellMarkedHeardAfterTheRead,
}

/// What else may happen.
#[derive(Clone, Copy, Default)]
struct Faults {
    dies: bool,
    leaves: bool,
    loses_listen: bool,
}

struct Exploration {
    writers: usize,
    faults: Faults,
    flaw: Flaw,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy, Hash)]
enum Violation {
    /// Asleep, a row unseen, no wake-up on its way.
    AsleepWithUnseenRow,
    /// Asleep while the flag is 0, and nobody will tell.
    AsleepWhileFlagIsDown,
    /// Polls under load, and leaves the flag at 1.
    RingsForNobody,
    /// When all is over and quiet, not everybody comes to rest armed, with every row seen.
    NeverAtRest,
}

struct Outcome {
    states: usize,
    /// The first of each kind, with its history.
    violations: HashMap<Violation, String>,
}

/// Who does what.
type Label = (char, usize, &'static str);

impl World {
    fn begin(writers: usize) -> Self {
        let mut mode = Mode::new(false);
        let _ = mode.on_listen_up();
        let (alive, hears, step) = (true, true, Step::Waits);
        let relay = Relay {
            mode,
            alive,
            hears,
            bell: false,
            busy: false,
            seen: 0,
            step,
            stale_table_xmin: 0,
        };
        let writers = std::array::from_fn(|at| {
            if at < writers {
                Writer::Idle
            } else {
                Writer::Absent
            }
        });
        Self {
            flag: false,
            writers,
            relays: [relay; RELAYS],
        }
    }

    /// Forgets what can make no difference, and orders the relays, which are alike (so that in a history a relay's
    /// number holds for one step only).
    fn normal(mut self) -> Self {
        for relay in &mut self.relays {
            let (arming, armed) = (
                relay.mode.pace() == Pace::Arming,
                relay.mode.pace() == Pace::Armed,
            );
            // A bell causes a read, or excuses a sleeper, or nothing: where it is nothing, drivers may ignore it.
            relay.bell &= arming || armed;
            // The way to armed leads through a read in Arming, which sees all that earlier ones saw.
            relay.seen = if armed { relay.seen } else { 0 };
            if let Step::ReadDone { rows, xmin, .. } = &mut relay.step {
                *rows = if arming || armed { *rows } else { 0 };
                *xmin = if arming { *xmin } else { 0 };
            }
        }
        let rank = |relay: &Relay| {
            let mut hasher = DefaultHasher::new();
            relay.hash(&mut hasher);
            hasher.finish()
        };
        self.relays.sort_by_key(rank);
        self
    }

    fn bits(&self, of: impl Fn(Writer) -> bool) -> u8 {
        self.writers
            .iter()
            .enumerate()
            .filter(|(_, writer)| of(**writer))
            .map(|(at, _)| 1 << at)
            .sum()
    }

    fn visible(&self) -> u8 {
        self.bits(|writer| writer == Writer::Committed)
    }

    fn next_xid(&self) -> u64 {
        let begun = self.bits(|writer| !matches!(writer, Writer::Idle | Writer::Absent));
        u64::from(begun.count_ones()) + 1
    }

    /// The lowest transaction id of a running writer, or `none`.
    fn lowest_running(&self, none: u64) -> u64 {
        let running = self.bits(|writer| matches!(writer, Writer::HasXid | Writer::Silent | Writer::Ringing));
        if running == 0 {
            none
        } else {
            u64::from(running.trailing_zeros()) + 1
        }
    }

    fn ring(&mut self) {
        self.relays
            .iter_mut()
            .filter(|relay| relay.alive && relay.hears)
            .for_each(|relay| relay.bell = true);
    }

    fn notify_busy(&mut self) {
        self.relays
            .iter_mut()
            .filter(|relay| relay.alive && relay.hears)
            .for_each(|relay| relay.busy = true);
    }
}

impl Relay {
    /// Armed, with nothing heard and nothing under way.
    fn is_asleep(&self) -> bool {
        let idle = !self.bell && !self.busy && self.step == Step::Waits;
        self.alive && self.hears && idle && self.mode.pace() == Pace::Armed
    }

    /// After a report to the machine. A read needs no decision: one is possible whenever the driver waits.
    fn proceed(&mut self, action: Action) {
        self.step = match action {
            Action::Read | Action::Wait => Step::Waits,
            Action::Raise | Action::NoteNextXid | Action::Lower => Step::Decided(action),
        };
    }

    /// After something heard: a driver whose statement is under way sees to that first.
    fn heard(&mut self, action: Action) {
        if self.step == Step::Waits {
            self.proceed(action);
        }
    }

    fn die(&mut self) {
        let (bell, busy, seen, step) = (false, false, 0, Step::Waits);
        *self = Self {
            mode: Mode::new(false),
            alive: false,
            hears: false,
            bell,
            busy,
            seen,
            step,
            ..*self
        };
    }
}

impl Exploration {
    /// Explores breadth first; `until` ends it early.
    fn run(&self, until: Option<Violation>) -> Outcome {
        let begin = World::begin(self.writers).normal();
        let mut known = HashSet::from([begin]);
        // In the order of discovery, each with its predecessor: the queue of the search, and all histories.
        let mut found: Vec<(World, usize, Label)> = vec![(begin, 0, ('-', 0, ""))];
        let mut violations: HashMap<Violation, usize> = HashMap::new();
        let mut at = 0;
        while at < found.len() && until.is_none_or(|until| !violations.contains_key(&until)) {
            let world = found[at].0;
            for violation in self.violations(&world) {
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

    fn successors(&self, world: &World) -> Vec<(Label, World)> {
        let mut next = Vec::new();
        self.writer_steps(world, &mut next);
        for k in 0..RELAYS {
            if world.relays[k].alive {
                self.relay_steps(world, k, &mut next);
                self.fault_steps(world, k, &mut next);
            }
        }
        next
    }

    fn writer_steps(&self, world: &World, next: &mut Vec<(Label, World)>) {
        for (at, writer) in world.writers.iter().enumerate() {
            let (label, after) = match writer {
                Writer::Idle if at == 0 || world.writers[at - 1] != Writer::Idle => {
                    ("gets its xid", Writer::HasXid)
                }
                Writer::HasXid if world.flag => ("inserts, reads flag 1", Writer::Ringing),
                Writer::HasXid => ("inserts, reads flag 0", Writer::Silent),
                Writer::Silent => ("commits", Writer::Committed),
                Writer::Ringing => ("commits and rings", Writer::Committed),
                Writer::Idle | Writer::Committed | Writer::Absent => continue,
            };
            let mut world = *world;
            world.writers[at] = after;
            if *writer == Writer::Ringing {
                world.ring();
            }
            next.push((('w', at, label), world));
        }
    }

    fn fault_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
        let relay = &world.relays[k];
        let mut put = |label: &'static str, change: &dyn Fn(&mut Relay)| {
            let mut world = *world;
            change(&mut world.relays[k]);
            next.push((('r', k, label), world));
        };
        if self.faults.dies && relay.step == Step::Lowered {
            put("dies between setval 0 and commit", &Relay::die);
        }
        if self.faults.leaves && relay.step == Step::Waits {
            put("leaves", &|relay| {
                let action = relay.mode.shutdown();
                relay.proceed(action);
            });
        }
        if self.faults.loses_listen && relay.hears {
            put("loses LISTEN", &|relay| {
                (relay.hears, relay.bell, relay.busy) = (false, false, false)
            });
        }
        if self.faults.loses_listen && !relay.hears {
            put("notices that LISTEN is lost", &|relay| {
                let action = relay.mode.on_listen_down();
                relay.heard(action);
            });
            put("listens again", &Relay::listen);
        }
    }

    /// What the driver of one relay can do next, and what the server can with its statement.
    fn relay_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
        let relay = world.relays[k];
        let mut put = |label: &'static str, change: &dyn Fn(&mut World)| {
            let mut world = *world;
            change(&mut world);
            next.push((('r', k, label), world));
        };
        if relay.busy {
            put("hears busy", &|world| self.hear_busy(&mut world.relays[k]));
        }
        match relay.step {
            Step::Waits => {
                put("reads (bell, time or backstop)", &|world| {
                    self.read(world, k, false)
                });
                if relay.mode.pace() == Pace::Arming {
                    put("reads, xmin held back by another database", &|world| {
                        self.read(world, k, true)
                    });
                }
                if relay.mode.wants_table_xmin() {
                    put("looks at the table's locks", &|world| {
                        let xmin = world.lowest_running(u64::MAX);
                        world.relays[k].mode.on_table_xmin(xmin);
                    });
                }
            }
            Step::ReadDone { .. } => {
                put("gets its rows", &|world| {
                    self.read_done(&mut world.relays[k], false, false)
                });
                put("gets its rows, it's quiet", &|world| {
                    self.read_done(&mut world.relays[k], true, false)
                });
                put("gets its rows, it's stormy", &|world| {
                    self.read_done(&mut world.relays[k], false, true)
                });
            }
            Step::Decided(Action::Raise) => put("raises the flag", &|world| self.raise(world, k)),
            Step::Decided(Action::Lower) => put("lowers the flag", &|world| {
                world.flag = false;
                world.relays[k].step = Step::Lowered;
            }),
            Step::Decided(_) => put("notes the next xid", &|world| {
                let bound = world.next_xid();
                self.note(&mut world.relays[k], bound);
            }),
            Step::NotedEarly { bound } => put("raises the flag, too late", &|world| {
                world.flag = true;
                if world.relays[k].mode.on_raised() == Action::NoteNextXid {
                    self.note(&mut world.relays[k], bound);
                } else {
                    world.relays[k].proceed(Action::Read);
                }
            }),
            Step::Lowered => put("commits busy", &|world| {
                world.notify_busy();
                let relay = &mut world.relays[k];
                let leaving = relay.mode.name() == "leaving";
                let action = relay.mode.on_lowered();
                if leaving {
                    relay.die()
                } else {
                    relay.proceed(action)
                }
            }),
        }
    }

    /// A read is executed. Bells heard until it was sent are marked as heard.
    fn read(&self, world: &mut World, k: usize, held_back: bool) {
        let xmin = if held_back {
            0
        } else {
            world.lowest_running(world.next_xid())
        };
        let (rows, flag, table_xmin) = (world.visible(), world.flag, world.lowest_running(u64::MAX));
        let relay = &mut world.relays[k];
        relay.bell &= self.flaw == Flaw::BellMarkedHeardAfterTheRead;
        if self.flaw == Flaw::TableXminFromBeforeTheBound && relay.mode.pace() == Pace::Polling {
            relay.stale_table_xmin = table_xmin;
        }
        relay.step = Step::ReadDone { rows, flag, xmin };
    }

    fn read_done(&self, relay: &mut Relay, quiet: bool, stormy: bool) {
        let Step::ReadDone { rows, flag, xmin } = relay.step else {
            return;
        };
        relay.bell &= self.flaw != Flaw::BellMarkedHeardAfterTheRead;
        relay.seen |= rows;
        let flag = flag || self.flaw == Flaw::FlagUnread;
        let action = relay.mode.on_read(&Heed {
            flag,
            xmin,
            quiet,
            stormy,
        });
        relay.proceed(action);
    }

    fn raise(&self, world: &mut World, k: usize) {
        if self.flaw == Flaw::BoundNotedBeforeRaise {
            world.relays[k].step = Step::NotedEarly {
                bound: world.next_xid(),
            };
            return;
        }
        world.flag = true;
        let action = world.relays[k].mode.on_raised();
        world.relays[k].proceed(action);
    }

    fn note(&self, relay: &mut Relay, bound: u64) {
        let bound = if self.flaw == Flaw::ArmingWaitSkipped {
            0
        } else {
            bound
        };
        let action = relay.mode.on_noted(bound);
        if self.flaw == Flaw::TableXminFromBeforeTheBound {
            relay.mode.on_table_xmin(relay.stale_table_xmin);
        }
        relay.proceed(action);
    }

    fn hear_busy(&self, relay: &mut Relay) {
        relay.busy = false;
        if self.flaw == Flaw::BusyDroppedWhileRaising && relay.mode.name() == "raising" {
            return;
        }
        let action = relay.mode.on_busy();
        relay.heard(action);
    }

    fn violations(&self, world: &World) -> Vec<Violation> {
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
        if !self.comes_to_rest(*world) {
            found.push(Violation::NeverAtRest);
        }
        found
    }

    /// Somebody died between setting 0 and saying so: the backstop read is what is left, and it must end the sleep.
    fn backstop_helps(&self, world: &World, relay: &Relay) -> bool {
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

    /// Ends all writers and lets everything take its course without load: is everybody armed in the end?
    fn comes_to_rest(&self, mut world: World) -> bool {
        for at in 0..self.writers {
            if world.writers[at] == Writer::Ringing {
                world.ring();
            }
            world.writers[at] = Writer::Committed;
        }
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
    fn settle(&self, world: &mut World, k: usize) {
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

impl Relay {
    fn listen(&mut self) {
        self.hears = true;
        let action = self.mode.on_listen_up();
        self.heard(action);
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

fn assert_holds(what: &str, writers: usize, faults: Faults) {
    let outcome = Exploration {
        writers,
        faults,
        flaw: Flaw::None,
    }
    .run(None);
    println!(
        "{what}, {writers} writers, {RELAYS} relays: {} states",
        outcome.states
    );
    assert!(outcome.violations.is_empty(), "{what}: {:#?}", outcome.violations);
}

#[track_caller]
fn assert_caught(flaw: Flaw, faults: Faults, as_what: Violation) {
    let outcome = Exploration {
        writers: 2,
        faults,
        flaw,
    }
    .run(Some(as_what));
    let caught = outcome.violations.get(&as_what);
    println!(
        "{flaw:?}, after {} states: {as_what:?}: {caught:?}",
        outcome.states
    );
    assert!(caught.is_some(), "{flaw:?} was not caught as {as_what:?}");
}

#[test]
fn nobody_sleeps_over_a_row_in_any_state_of_three_writers_and_two_relays() {
    assert_holds("as designed", 3, Faults::default());
}

#[test]
fn a_busy_lost_with_its_relay_costs_one_backstop() {
    assert_holds(
        "a relay may die",
        2,
        Faults {
            dies: true,
            ..Faults::default()
        },
    );
}

#[test]
fn relays_that_leave_leave_nobody_asleep_over_a_row() {
    assert_holds(
        "relays may leave",
        2,
        Faults {
            leaves: true,
            ..Faults::default()
        },
    );
}

#[test]
fn relays_that_lose_listen_come_to_rest_again() {
    assert_holds(
        "LISTEN may be lost",
        2,
        Faults {
            loses_listen: true,
            ..Faults::default()
        },
    );
}

#[test]
fn a_bound_noted_before_the_flag_is_raised_is_caught() {
    assert_caught(
        Flaw::BoundNotedBeforeRaise,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_busy_dropped_while_raising_is_caught() {
    assert_caught(
        Flaw::BusyDroppedWhileRaising,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn an_arming_wait_skipped_is_caught() {
    assert_caught(
        Flaw::ArmingWaitSkipped,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_flag_left_unread_is_caught_when_a_relay_dies() {
    let faults = Faults {
        dies: true,
        ..Faults::default()
    };
    assert_caught(Flaw::FlagUnread, faults, Violation::AsleepWithUnseenRow);
    assert_caught(Flaw::FlagUnread, faults, Violation::AsleepWhileFlagIsDown);
}

#[test]
fn a_look_at_the_locks_from_before_the_bound_is_caught() {
    assert_caught(
        Flaw::TableXminFromBeforeTheBound,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_bell_marked_as_heard_only_after_the_read_is_caught() {
    assert_caught(
        Flaw::BellMarkedHeardAfterTheRead,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}
