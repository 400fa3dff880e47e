//! When a tail reads, and when writers ring: the state machine of the bell. Pure: no clock, no I/O.
//!
//! ```text
//!            listening                quiet: set the flag to 1          noted the next transaction id
//!  PollOnly ───────────► Polling ────────────────────────► Raising ─────────────────────────────► Arming
//!      ▲                  ▲ ▲ ▲                               │ busy, reconnect                     │ everybody who could
//!      │ LISTEN lost      │ │ └───────────────────────────────┘                                     │ have read 0 is over
//!   (any)                 │ └── busy, flag found 0, reconnect ──────── Arming, Armed ◄──────────────┘
//!                         └──── Lowering ◄── storm of bells ────────── Arming, Armed
//! ```
//!
//! The flag is a sequence: 1, writers ring; 0, they don't, because somebody polls. The invariant: **a tail sleeps only
//! while every row that it has not seen will ring**, or a `busy` is on its way to it, or (a relay died between setting
//! 0 and saying so) until its backstop read finds the flag 0. `tests/it/bell_model.rs` explores every state of three
//! writers and two of these machines.
//!
//! The driver does what an [`Action`] says and reports back; between reports it waits as [`Mode::pace`] says. It must
//! mark bells as heard *before* it sends a read, so that one that comes meanwhile causes another read.

#[cfg(test)]
mod tests;

use crate::metrics::TailMode;

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Action {
    /// Read now, then [`Mode::on_read`].
    Read,
    /// Set the flag to 1, in a statement of its own; when that has returned, [`Mode::on_raised`].
    Raise,
    /// Ask for the next unassigned transaction id, in a statement of its own; then [`Mode::on_noted`].
    NoteNextXid,
    /// Set the flag to 0 and notify `busy`, in one statement; then [`Mode::on_lowered`].
    Lower,
    /// Wait for a bell, a `busy`, a change of the LISTEN connection, or as long as [`Mode::pace`] says; then read.
    Wait,
}

/// How long to wait for the next read, if no bell comes. The durations are in [`super::pace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Nobody rings for us: a read every few milliseconds under load, backing off when idle.
    PollOnly,
    /// Under load: a read every few milliseconds.
    Polling,
    /// At the bell, and often enough for the rows of those who could have read the flag as 0.
    Arming,
    /// At the bell. A backstop read covers disabled triggers, replicated writes, and a `busy` lost with a relay.
    Armed,
    /// A statement about the flag is under way: do not read.
    InFlight,
}

/// What one read told about the bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heed {
    /// The flag was 1.
    pub flag: bool,
    /// `pg_snapshot_xmin` of the read's snapshot, 64 bits.
    pub xmin: u64,
    /// Bells and reads with rows have both become rare ([`super::pace::Rates::is_quiet`]).
    pub quiet: bool,
    /// One of them has become frequent ([`super::pace::Rates::is_stormy`]).
    pub stormy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    PollOnly,
    Polling,
    /// The flag is being set to 1, then the bound noted. `cancelled`: a `busy` or a reconnect came meanwhile.
    Raising {
        cancelled: bool,
    },
    /// `writers_over`: a look at the table's locks, made after the bound was noted, found nobody below it.
    Arming {
        bound: u64,
        writers_over: bool,
    },
    Armed,
    Lowering,
    /// Lowering for the last time.
    Leaving,
}

/// The state of one tail's bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    state: State,
    listening: bool,
    /// The operator's switch: the flag stays 0.
    never_ring: bool,
    /// PostgreSQL refused to change the flag (a lost privilege): not tried again before a reconnect.
    refused: bool,
}

impl Mode {
    /// The mode of a tail that begins; LISTEN has not been heard of yet.
    pub fn new(never_ring: bool) -> Self {
        Self {
            state: State::PollOnly,
            listening: false,
            never_ring,
            refused: false,
        }
    }

    /// How the driver waits now.
    pub fn pace(&self) -> Pace {
        match self.state {
            State::PollOnly => Pace::PollOnly,
            State::Polling => Pace::Polling,
            State::Arming { .. } => Pace::Arming,
            State::Armed => Pace::Armed,
            State::Raising { .. } | State::Lowering | State::Leaving => Pace::InFlight,
        }
    }

    /// The mode as it is counted: an operator need not tell the steps between two apart.
    pub fn counted(&self) -> TailMode {
        match self.state {
            State::PollOnly => TailMode::PollOnly,
            State::Polling | State::Lowering | State::Leaving => TailMode::Polling,
            State::Raising { .. } | State::Arming { .. } => TailMode::Arming,
            State::Armed => TailMode::Armed,
        }
    }

    /// The word for logs.
    pub fn name(&self) -> &'static str {
        match self.state {
            State::PollOnly => "poll_only",
            State::Polling => "polling",
            State::Raising { .. } => "raising",
            State::Arming { .. } => "arming",
            State::Armed => "armed",
            State::Lowering => "lowering",
            State::Leaving => "leaving",
        }
    }

    /// Whether the next read may end the arming by a look at the table's locks ([`Mode::on_table_xmin`]).
    pub fn wants_table_xmin(&self) -> bool {
        matches!(
            self.state,
            State::Arming {
                writers_over: false,
                ..
            }
        )
    }

    /// LISTEN is proven, for the first time or once more after a reconnect. Bells and `busy` may have been missed.
    pub fn on_listen_up(&mut self) -> Action {
        self.listening = true;
        self.start_over()
    }

    /// LISTEN is lost: nobody wakes us.
    pub fn on_listen_down(&mut self) -> Action {
        self.listening = false;
        self.start_over()
    }

    /// The reading connection was opened anew: what it was doing to the flag is unknown.
    ///
    /// Unlike [`Mode::on_listen_up`] nothing of the old connection is in flight any more, so no report will come.
    pub fn on_reconnected(&mut self) -> Action {
        self.refused = false;
        if self.state == State::Leaving {
            return Action::Lower;
        }
        self.rest()
    }

    /// PostgreSQL refused a statement about the flag (not: the connection broke). The tail polls from here on.
    pub fn on_refused(&mut self) -> Action {
        self.refused = true;
        self.rest()
    }

    /// The operator's switch of the source changed.
    pub fn set_never_ring(&mut self, never_ring: bool) -> Action {
        if self.never_ring == never_ring {
            return Action::Wait;
        }
        self.never_ring = never_ring;
        self.start_over()
    }

    /// A bell.
    pub fn on_bell(&self) -> Action {
        match self.state {
            State::Arming { .. } | State::Armed => Action::Read,
            _ => Action::Wait,
        }
    }

    /// Somebody (perhaps we) set the flag to 0 and polls.
    pub fn on_busy(&mut self) -> Action {
        match self.state {
            State::Arming { .. } | State::Armed => self.rest(),
            State::Raising { .. } => {
                self.state = State::Raising { cancelled: true };
                Action::Wait
            }
            State::PollOnly | State::Polling | State::Lowering | State::Leaving => Action::Wait,
        }
    }

    /// A read is done and its rows are delivered.
    pub fn on_read(&mut self, heed: &Heed) -> Action {
        match self.state {
            // Others may be armed, and rightly so: only under load does it pay to stop all ringing.
            State::PollOnly | State::Polling
                if heed.flag && (heed.stormy || self.never_ring) && !self.refused =>
            {
                self.lower()
            }
            State::Polling if heed.quiet => {
                self.state = State::Raising { cancelled: false };
                Action::Raise
            }
            State::Arming { .. } | State::Armed if !heed.flag => self.rest(),
            State::Arming { .. } | State::Armed if heed.stormy => self.lower(),
            State::Arming { bound, writers_over } if heed.xmin >= bound || writers_over => {
                self.state = State::Armed;
                Action::Wait
            }
            _ => Action::Wait,
        }
    }

    /// The table's own xmin (`u64::MAX`: nobody writes it), looked up in a statement of its own. Counts in the next
    /// read, and only if the bound had been noted before: a look from before the bound says nothing of those who
    /// began between the two.
    pub fn on_table_xmin(&mut self, table_xmin: u64) {
        if let State::Arming { bound, writers_over } = &mut self.state {
            *writers_over |= table_xmin >= *bound;
        }
    }

    /// The flag is 1.
    pub fn on_raised(&mut self) -> Action {
        match self.state {
            State::Raising { cancelled: false } => Action::NoteNextXid,
            State::Raising { cancelled: true } => self.rest(),
            _ => Action::Wait,
        }
    }

    /// `next_xid` is the next unassigned transaction id, asked for after [`Mode::on_raised`]. Whoever read the flag as
    /// 0 did so before the flag was 1, with a transaction id in hand that is below.
    pub fn on_noted(&mut self, next_xid: u64) -> Action {
        match self.state {
            State::Raising { cancelled: false } => {
                self.state = State::Arming {
                    bound: next_xid,
                    writers_over: false,
                };
                Action::Read
            }
            State::Raising { cancelled: true } => self.rest(),
            _ => Action::Wait,
        }
    }

    /// The flag is 0 and everybody is told.
    pub fn on_lowered(&mut self) -> Action {
        match self.state {
            State::Lowering => self.rest(),
            _ => Action::Wait,
        }
    }

    /// The relay ends: the flag is set to 0 (nobody may be left to hear), and others that listen arm again. After
    /// [`Mode::on_lowered`] there is nothing more to do.
    pub fn shutdown(&mut self) -> Action {
        self.state = State::Leaving;
        Action::Lower
    }

    fn lower(&mut self) -> Action {
        self.state = State::Lowering;
        Action::Lower
    }

    /// Polls, and is ready to arm when it gets quiet, if there is somebody to ring for us.
    fn rest(&mut self) -> Action {
        let may_arm = self.listening && !self.never_ring && !self.refused;
        self.state = if may_arm { State::Polling } else { State::PollOnly };
        Action::Read
    }

    /// Like [`Mode::rest`], but leaves a statement that is in flight its end.
    fn start_over(&mut self) -> Action {
        match self.state {
            State::Raising { .. } => {
                self.state = State::Raising { cancelled: true };
                Action::Wait
            }
            State::Lowering | State::Leaving => Action::Wait,
            State::PollOnly | State::Polling | State::Arming { .. } | State::Armed => self.rest(),
        }
    }
}
