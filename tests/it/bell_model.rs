//! Every state that three writers and two tails can reach through the bell, on the project's own [`Mode`].
//!
//! The world: one flag, writers of one row each, relays that lose their LISTEN, die or leave. Everything that takes
//! time is a step of its own: a statement is sent, executed, answered; a bell or a `busy` is heard when it pleases. Each
//! rule of the bell is then broken in turn, to show that the exploration would tell.

use std::collections::{HashMap, VecDeque};

use rowcast::tail::mode::{Action, Heed, Mode, Pace};

const RELAYS: usize = 2;

/// Writers take their ids in the order of their numbers: they are alike, so this loses no generality.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Writer {
    Idle,
    HasXid,
    /// Inserted and read the flag as 0.
    Silent,
    /// Inserted and read the flag as 1.
    Ringing,
    Committed,
    RolledBack,
}

/// What a relay's driver is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Waits,
    Sent(Action),
    ReadDone {
        rows: u8,
        flag: bool,
        xmin: u64,
    },
    Raised {
        stale_table_xmin: u64,
    },
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
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    flag: bool,
    writers: Vec<Writer>,
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
    /// All poll under load, and leave the flag at 1.
    RingsForNobody,
    /// When all is over and quiet, not everybody comes to rest armed, with every row seen.
    NeverAtRest,
}

struct Outcome {
    states: usize,
    /// The first of each kind, with its history.
    violations: HashMap<Violation, String>,
}

impl World {
    fn begin(writers: usize) -> Self {
        let mut mode = Mode::new(false);
        let first = mode.on_listen_up();
        let step = Step::Sent(first);
        let relay = Relay {
            mode,
            alive: true,
            hears: true,
            bell: false,
            busy: false,
            seen: 0,
            step,
        };
        Self {
            flag: false,
            writers: vec![Writer::Idle; writers],
            relays: [relay; RELAYS],
        }
    }

    fn visible(&self) -> u8 {
        self.bits(|writer| writer == Writer::Committed)
    }

    fn bits(&self, of: impl Fn(Writer) -> bool) -> u8 {
        self.writers
            .iter()
            .enumerate()
            .filter(|(_, w)| of(**w))
            .map(|(at, _)| 1 << at)
            .sum()
    }

    fn next_xid(&self) -> u64 {
        1 + self.writers.iter().filter(|w| **w != Writer::Idle).count() as u64
    }

    /// The lowest id of a running writer, or `none`.
    fn lowest_running(&self, none: u64) -> u64 {
        let running = self.bits(|w| matches!(w, Writer::HasXid | Writer::Silent | Writer::Ringing));
        if running == 0 {
            none
        } else {
            u64::from(running.trailing_zeros()) + 1
        }
    }

    fn tell(&mut self, bell: bool) {
        for relay in self.relays.iter_mut().filter(|relay| relay.alive && relay.hears) {
            relay.bell |= bell;
            relay.busy |= !bell;
        }
    }
}

impl Exploration {
    fn run(&self) -> Outcome {
        let begin = World::begin(self.writers);
        let mut known: HashMap<World, (Option<World>, String)> =
            HashMap::from([(begin.clone(), (None, String::new()))]);
        let mut queue = VecDeque::from([begin]);
        let mut found: HashMap<Violation, World> = HashMap::new();
        while let Some(world) = queue.pop_front() {
            for violation in self.violations(&world) {
                found.entry(violation).or_insert_with(|| world.clone());
            }
            for (label, next) in self.successors(&world) {
                if !known.contains_key(&next) {
                    known.insert(next.clone(), (Some(world.clone()), label));
                    queue.push_back(next);
                }
            }
        }
        let history = |mut world: World| {
            let mut labels = Vec::new();
            while let Some((Some(before), label)) = known.get(&world) {
                labels.push(label.clone());
                world = before.clone();
            }
            labels.reverse();
            labels.join(" | ")
        };
        let violations = found
            .into_iter()
            .map(|(violation, world)| (violation, history(world)))
            .collect();
        Outcome {
            states: known.len(),
            violations,
        }
    }

    fn successors(&self, world: &World) -> Vec<(String, World)> {
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

    fn writer_steps(&self, world: &World, next: &mut Vec<(String, World)>) {
        for (at, writer) in world.writers.iter().enumerate() {
            let mut put = |label: &str, writer, rings: bool| {
                let mut world = world.clone();
                world.writers[at] = writer;
                if rings {
                    world.tell(true);
                }
                next.push((format!("w{at} {label}"), world));
            };
            match writer {
                Writer::Idle if at == 0 || world.writers[at - 1] != Writer::Idle => {
                    put("gets its xid", Writer::HasXid, false);
                }
                Writer::HasXid if world.flag => put("inserts, reads flag 1", Writer::Ringing, false),
                Writer::HasXid => put("inserts, reads flag 0", Writer::Silent, false),
                Writer::Silent => put("commits", Writer::Committed, false),
                Writer::Ringing => put("commits and rings", Writer::Committed, true),
                Writer::Idle | Writer::Committed | Writer::RolledBack => {}
            }
            // Of those who roll back only the silence matters.
            if matches!(writer, Writer::Silent) {
                put("rolls back", Writer::RolledBack, false);
            }
        }
    }

    fn fault_steps(&self, world: &World, k: usize, next: &mut Vec<(String, World)>) {
        let relay = &world.relays[k];
        let mut put = |label: &str, change: &dyn Fn(&mut Relay)| {
            let mut world = world.clone();
            change(&mut world.relays[k]);
            next.push((format!("r{k} {label}"), world));
        };
        if self.faults.dies && relay.step == Step::Lowered {
            put("dies between setval 0 and commit", &|relay| relay.die());
        }
        if self.faults.leaves && relay.step == Step::Waits {
            put("leaves", &|relay| relay.step = Step::Sent(relay.mode.shutdown()));
        }
        if self.faults.loses_listen {
            if relay.hears {
                put("loses LISTEN", &|relay| {
                    relay.hears = false;
                    relay.bell = false;
                    relay.busy = false;
                });
            } else {
                put("notices that LISTEN is lost", &|relay| {
                    let action = relay.mode.on_listen_down();
                    relay.follow(action);
                });
                put("listens again", &|relay| {
                    relay.hears = true;
                    let action = relay.mode.on_listen_up();
                    relay.follow(action);
                });
            }
        }
    }

    /// What the driver of one relay can do next, and what its statements in flight can.
    fn relay_steps(&self, world: &World, k: usize, next: &mut Vec<(String, World)>) {
        let relay = world.relays[k];
        let mut put = |label: &str, change: &dyn Fn(&mut World)| {
            let mut world = world.clone();
            change(&mut world);
            next.push((format!("r{k} {label}"), world));
        };
        if relay.busy {
            put("hears busy", &|world| self.hear_busy(&mut world.relays[k]));
        }
        match relay.step {
            Step::Waits => {
                if relay.bell && relay.mode.on_bell() == Action::Read {
                    put("hears a bell", &|world| {
                        world.relays[k].step = Step::Sent(Action::Read)
                    });
                }
                if relay.mode.pace() != Pace::InFlight {
                    put("reads in time", &|world| {
                        world.relays[k].step = Step::Sent(Action::Read)
                    });
                }
                if relay.mode.wants_table_xmin() {
                    put("looks at the table's locks", &|world| {
                        let xmin = world.lowest_running(u64::MAX);
                        world.relays[k].mode.on_table_xmin(xmin);
                    });
                }
            }
            Step::Sent(action) => {
                put(&format!("has {action:?} executed"), &|world| {
                    self.execute(world, k, action, false)
                });
                if action == Action::Read && relay.mode.pace() == Pace::Arming {
                    put("has Read executed, xmin held back", &|world| {
                        self.execute(world, k, action, true)
                    });
                }
            }
            Step::ReadDone { .. } => {
                for (label, quiet, stormy) in [
                    ("", false, false),
                    (": quiet", true, false),
                    (": storm", false, true),
                ] {
                    put(&format!("has read{label}"), &|world| {
                        self.read_done(&mut world.relays[k], quiet, stormy)
                    });
                }
            }
            Step::Raised { .. } => put("has raised", &|world| self.raised(&mut world.relays[k])),
            Step::NotedEarly { bound } => put("has setval 1 executed", &|world| {
                world.flag = true;
                self.noted(&mut world.relays[k], bound, 0);
            }),
            Step::Lowered => put("commits busy", &|world| {
                world.tell(false);
                let relay = &mut world.relays[k];
                let action = relay.mode.on_lowered();
                match relay.mode.name() {
                    "leaving" => relay.die(),
                    _ => relay.proceed(action),
                }
            }),
        }
    }

    /// The server's part of an action.
    fn execute(&self, world: &mut World, k: usize, action: Action, held_back: bool) {
        let (rows, flag, next_xid) = (world.visible(), world.flag, world.next_xid());
        let xmin = if held_back {
            0
        } else {
            world.lowest_running(next_xid)
        };
        let stale_table_xmin = match self.flaw {
            Flaw::TableXminFromBeforeTheBound => world.lowest_running(u64::MAX),
            _ => 0,
        };
        let relay = &mut world.relays[k];
        match action {
            Action::Read => {
                // Marked as heard before the read is sent, which is before it is executed.
                relay.bell &= self.flaw == Flaw::BellMarkedHeardAfterTheRead;
                relay.step = Step::ReadDone { rows, flag, xmin };
            }
            Action::Raise if self.flaw == Flaw::BoundNotedBeforeRaise => {
                relay.step = Step::NotedEarly { bound: next_xid };
            }
            Action::Raise => {
                relay.step = Step::Raised { stale_table_xmin };
                world.flag = true;
            }
            Action::Lower => {
                relay.step = Step::Lowered;
                world.flag = false;
            }
            Action::NoteNextXid => self.noted(relay, next_xid, 0),
            Action::Wait => relay.step = Step::Waits,
        }
    }

    fn hear_busy(&self, relay: &mut Relay) {
        relay.busy = false;
        if self.flaw == Flaw::BusyDroppedWhileRaising && relay.mode.name() == "raising" {
            return;
        }
        let action = relay.mode.on_busy();
        relay.follow(action);
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

    fn raised(&self, relay: &mut Relay) {
        let Step::Raised { stale_table_xmin } = relay.step else {
            return;
        };
        let action = relay.mode.on_raised();
        match (self.flaw, action) {
            // Cheats the machine by bringing the old look after the bound.
            (Flaw::TableXminFromBeforeTheBound, Action::NoteNextXid) => {
                let action = relay.mode.on_noted(u64::MAX - 1);
                relay.mode.on_table_xmin(stale_table_xmin);
                relay.proceed(action);
            }
            _ => relay.proceed(action),
        }
    }

    fn noted(&self, relay: &mut Relay, bound: u64, skipped: u64) {
        if self.flaw == Flaw::BoundNotedBeforeRaise && relay.mode.on_raised() != Action::NoteNextXid {
            return relay.proceed(Action::Read);
        }
        let bound = if self.flaw == Flaw::ArmingWaitSkipped {
            skipped
        } else {
            bound
        };
        let action = relay.mode.on_noted(bound);
        relay.proceed(action);
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
        let mut living = world.relays.iter().filter(|relay| relay.alive);
        let ignored = |relay: &Relay| {
            let loaded = Heed {
                flag: true,
                xmin: 0,
                quiet: false,
                stormy: true,
            };
            relay.mode.pace() == Pace::Polling && relay.mode.clone().on_read(&loaded) != Action::Lower
        };
        if world.flag && living.any(ignored) {
            found.push(Violation::RingsForNobody);
        }
        if !self.comes_to_rest(world.clone()) {
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
        while let Some((_, next)) = {
            let mut steps = Vec::new();
            self.writer_steps(&world, &mut steps);
            steps.into_iter().next()
        } {
            world = next;
        }
        for _ in 0..12 {
            for k in 0..RELAYS {
                self.settle(&mut world, k);
            }
        }
        let at_rest = |relay: &Relay| relay.mode.pace() == Pace::Armed && relay.seen == world.visible();
        let mut living = world.relays.iter().filter(|relay| relay.alive).peekable();
        living.peek().is_none() || (world.flag && living.all(at_rest))
    }

    fn settle(&self, world: &mut World, k: usize) {
        if !world.relays[k].alive {
            return;
        }
        if !world.relays[k].hears {
            world.relays[k].hears = true;
            let action = world.relays[k].mode.on_listen_up();
            world.relays[k].follow(action);
        }
        if world.relays[k].busy {
            self.hear_busy(&mut world.relays[k]);
        }
        match world.relays[k].step {
            Step::Waits => world.relays[k].step = Step::Sent(Action::Read),
            Step::Sent(action) => self.execute(world, k, action, false),
            Step::ReadDone { .. } => self.read_done(&mut world.relays[k], true, false),
            _ => {
                let mut steps = Vec::new();
                self.relay_steps(world, k, &mut steps);
                if let Some((_, next)) = steps.pop() {
                    *world = next;
                }
            }
        }
    }
}

impl Relay {
    /// Armed, with nothing heard and nothing under way.
    fn is_asleep(&self) -> bool {
        let quiet = !self.bell && !self.busy && self.step == Step::Waits;
        self.alive && self.hears && quiet && self.mode.pace() == Pace::Armed
    }

    /// A report's action, when the statement reported on is over.
    fn proceed(&mut self, action: Action) {
        self.step = if action == Action::Wait {
            Step::Waits
        } else {
            Step::Sent(action)
        };
    }

    /// The action of something heard: only a driver that waits can follow it at once.
    fn follow(&mut self, action: Action) {
        if self.step == Step::Waits {
            self.proceed(action);
        }
    }

    fn die(&mut self) {
        *self = Self {
            alive: false,
            hears: false,
            bell: false,
            busy: false,
            seen: 0,
            step: Step::Waits,
            ..*self
        };
    }
}

fn explore(what: &str, writers: usize, faults: Faults, flaw: Flaw) -> Outcome {
    let outcome = Exploration {
        writers,
        faults,
        flaw,
    }
    .run();
    println!(
        "{what}, {writers} writers, {RELAYS} relays: {} states",
        outcome.states
    );
    for (violation, history) in &outcome.violations {
        println!("    {violation:?}: {history}");
    }
    outcome
}

fn assert_holds(what: &str, writers: usize, faults: Faults) {
    let outcome = explore(what, writers, faults, Flaw::None);
    assert!(outcome.violations.is_empty(), "{what}: {:#?}", outcome.violations);
}

#[track_caller]
fn assert_caught(flaw: Flaw, faults: Faults, as_what: Violation) {
    let outcome = explore(&format!("{flaw:?}"), 2, faults, flaw);
    assert!(
        outcome.violations.contains_key(&as_what),
        "{flaw:?} was not caught: {:?}",
        outcome.violations
    );
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
fn relays_that_leave_and_lose_listen_leave_nobody_asleep_over_a_row() {
    assert_holds(
        "relays may leave",
        2,
        Faults {
            leaves: true,
            ..Faults::default()
        },
    );
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
        Violation::AsleepWhileFlagIsDown,
    );
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
