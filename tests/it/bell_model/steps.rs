//! Everything that can happen next: what writers, drivers and the server do, and what goes wrong.

use rowcast::tail::mode::{Action, Heed, Pace};

use super::world::{Label, RELAYS, Relay, Step, World, Writer};
use super::{Exploration, Flaw};

impl Exploration {
    pub(super) fn successors(&self, world: &World) -> Vec<(Label, World)> {
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

    pub(super) fn writer_steps(&self, world: &World, next: &mut Vec<(Label, World)>) {
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

    pub(super) fn fault_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
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
        // Executed or not: both are tried. Lost with setval 0 done and the `busy` not committed, it is like a death.
        if self.faults.loses_connection && !matches!(relay.step, Step::Waits | Step::Lowered) {
            put("loses its reading connection", &|relay| {
                let action = relay.mode.on_reconnected();
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
    pub(super) fn relay_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
        if world.relays[k].busy {
            put(world, k, "hears busy", next, |world| {
                self.hear_busy(&mut world.relays[k])
            });
        }
        match world.relays[k].step {
            Step::Waits => self.waiting_steps(world, k, next),
            Step::ReadDone { .. } => {
                let ends = [
                    ("gets its rows", false, false),
                    ("gets its rows, it's quiet", true, false),
                    ("gets its rows, it's stormy", false, true),
                ];
                for (label, quiet, stormy) in ends {
                    put(world, k, label, next, |world| {
                        self.read_done(&mut world.relays[k], quiet, stormy)
                    });
                }
            }
            _ => self.flag_steps(world, k, next),
        }
    }

    fn waiting_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
        let mode = &world.relays[k].mode;
        put(world, k, "reads (bell, time or backstop)", next, |world| {
            self.read(world, k, false)
        });
        if mode.pace() == Pace::Arming {
            let label = "reads, xmin held back by another database";
            put(world, k, label, next, |world| self.read(world, k, true));
        }
        if mode.wants_table_xmin() {
            put(world, k, "looks at the table's locks", next, |world| {
                let xmin = world.lowest_running(u64::MAX);
                world.relays[k].mode.on_table_xmin(xmin);
            });
        }
    }

    /// A statement about the flag.
    fn flag_steps(&self, world: &World, k: usize, next: &mut Vec<(Label, World)>) {
        match world.relays[k].step {
            Step::Decided(Action::Raise) => {
                put(world, k, "raises the flag", next, |world| self.raise(world, k))
            }
            Step::Decided(Action::Lower) => put(world, k, "lowers the flag", next, |world| {
                world.flag = false;
                world.relays[k].step = Step::Lowered;
            }),
            Step::Decided(_) => put(world, k, "notes the next xid", next, |world| {
                let bound = world.next_xid();
                self.note(&mut world.relays[k], bound);
            }),
            Step::NotedEarly { bound } => put(world, k, "raises the flag, too late", next, |world| {
                world.flag = true;
                match world.relays[k].mode.on_raised() {
                    Action::NoteNextXid => self.note(&mut world.relays[k], bound),
                    action => world.relays[k].proceed(action),
                }
            }),
            Step::Lowered => put(world, k, "commits busy", next, |world| {
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
            Step::Waits | Step::ReadDone { .. } => {}
        }
    }

    /// A read is executed. Bells heard until it was sent are marked as heard.
    pub(super) fn read(&self, world: &mut World, k: usize, held_back: bool) {
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

    pub(super) fn read_done(&self, relay: &mut Relay, quiet: bool, stormy: bool) {
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

    pub(super) fn raise(&self, world: &mut World, k: usize) {
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

    pub(super) fn note(&self, relay: &mut Relay, bound: u64) {
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

    pub(super) fn hear_busy(&self, relay: &mut Relay) {
        relay.busy = false;
        if self.flaw == Flaw::BusyDroppedWhileRaising && relay.mode.name() == "raising" {
            return;
        }
        let action = relay.mode.on_busy();
        relay.heard(action);
    }
}

fn put(
    world: &World,
    k: usize,
    label: &'static str,
    next: &mut Vec<(Label, World)>,
    change: impl FnOnce(&mut World),
) {
    let mut world = *world;
    change(&mut world);
    next.push((('r', k, label), world));
}
