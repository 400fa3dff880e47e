//! The world of the exploration: a flag, writers of one row each, relays. What each can do alone.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use rowcast::tail::mode::{Action, Mode, Pace};

pub(super) const RELAYS: usize = 2;
pub(super) const WRITERS: usize = 3;

/// Writers take their transaction ids in the order of their numbers: they are alike, so this loses no generality.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Writer {
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
pub(super) enum Step {
    Waits,
    /// A read was executed, its answer is on the way.
    ReadDone {
        rows: u8,
        flag: bool,
        xmin: u64,
    },
    /// A statement about the flag is to be executed (and answered, but where a step follows).
    Decided(Action),
    /// Only for [`super::Flaw::BoundNotedBeforeRaise`].
    NotedEarly {
        bound: u64,
    },
    /// The flag is 0, the `busy` not committed.
    Lowered,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Relay {
    pub(super) mode: Mode,
    pub(super) alive: bool,
    /// LISTEN works, whether or not the machine knows.
    pub(super) hears: bool,
    pub(super) bell: bool,
    pub(super) busy: bool,
    /// Rows seen, a bit per writer.
    pub(super) seen: u8,
    pub(super) step: Step,
    /// Only for [`super::Flaw::TableXminFromBeforeTheBound`].
    pub(super) stale_table_xmin: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    pub(super) flag: bool,
    pub(super) writers: [Writer; WRITERS],
    pub(super) relays: [Relay; RELAYS],
}

impl World {
    pub(super) fn begin(writers: usize) -> Self {
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
    pub(super) fn normal(mut self) -> Self {
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
        self.relays
            .sort_by_key(|relay| FixedState::default().hash_one(relay));
        self
    }

    pub(super) fn bits(&self, of: impl Fn(Writer) -> bool) -> u8 {
        self.writers
            .iter()
            .enumerate()
            .filter(|(_, writer)| of(**writer))
            .map(|(at, _)| 1 << at)
            .sum()
    }

    pub(super) fn visible(&self) -> u8 {
        self.bits(|writer| writer == Writer::Committed)
    }

    pub(super) fn next_xid(&self) -> u64 {
        let begun = self.bits(|writer| !matches!(writer, Writer::Idle | Writer::Absent));
        u64::from(begun.count_ones()) + 1
    }

    /// The lowest transaction id of a running writer, or `none`.
    pub(super) fn lowest_running(&self, none: u64) -> u64 {
        let running = self.bits(|writer| matches!(writer, Writer::HasXid | Writer::Silent | Writer::Ringing));
        if running == 0 {
            none
        } else {
            u64::from(running.trailing_zeros()) + 1
        }
    }

    pub(super) fn ring(&mut self) {
        self.relays
            .iter_mut()
            .filter(|relay| relay.alive && relay.hears)
            .for_each(|relay| relay.bell = true);
    }

    pub(super) fn notify_busy(&mut self) {
        self.relays
            .iter_mut()
            .filter(|relay| relay.alive && relay.hears)
            .for_each(|relay| relay.busy = true);
    }
}

impl Relay {
    /// Armed, with nothing heard and nothing under way.
    pub(super) fn is_asleep(&self) -> bool {
        let idle = !self.bell && !self.busy && self.step == Step::Waits;
        self.alive && self.hears && idle && self.mode.pace() == Pace::Armed
    }

    /// After a report to the machine. A read needs no decision: one is possible whenever the driver waits.
    pub(super) fn proceed(&mut self, action: Action) {
        self.step = match action {
            Action::Read | Action::Wait => Step::Waits,
            Action::Raise | Action::NoteNextXid | Action::Lower => Step::Decided(action),
        };
    }

    /// After something heard: a driver whose statement is under way sees to that first.
    pub(super) fn heard(&mut self, action: Action) {
        if self.step == Step::Waits {
            self.proceed(action);
        }
    }

    pub(super) fn die(&mut self) {
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

    /// LISTEN works anew, and the machine is told.
    pub(super) fn listen(&mut self) {
        self.hears = true;
        let action = self.mode.on_listen_up();
        self.heard(action);
    }
}

/// Who does what.
pub(super) type Label = (char, usize, &'static str);
