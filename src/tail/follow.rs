//! A tail at work: waits for something to do, reads, turns the bell's flag as the mode says, looks after the rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::metrics::SourceMetrics;
use crate::pg::backoff::Backoff;
use crate::pg::bell::BellState;
use crate::pg::{Session, flag};

use super::mode::{Action, Heed, Mode};
use super::pace::{Pauses, Rates};
use super::reader::{Outcome, ReadError, Reader};
use super::{Control, Plan, State, TABLE_XMIN_INTERVAL, Tail, trouble};

/// This often the position is saved, if it changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often a tail whose source was attached anew asks whether it was attached back, while it waits for its new plan.
const REPLAN_INTERVAL: Duration = Duration::from_millis(50);

/// What a timer is late by, on average.
const TIMER_LAG: Duration = Duration::from_millis(1);

/// How long the last statements may take when the process ends: the flag lowered, the position saved.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// Why following over one connection came to its end.
pub(super) enum Ended {
    Shutdown,
    Gone,
    Failed(ReadError),
}

/// What a tail knows that outlives a connection.
pub(super) struct Follow {
    name: String,
    /// What the events in the rings were rendered with.
    columns: Vec<String>,
    hub: Arc<Hub>,
    control: Arc<Control>,
    metrics: Arc<SourceMetrics>,
    plan: watch::Receiver<Plan>,
    bell: watch::Receiver<BellState>,
    /// The bell's state as far as the mode was told of it.
    heard: BellState,
    requests: watch::Receiver<()>,
    reader: Reader,
    mode: Mode,
    /// The mode's name in the log's last line about it.
    logged_mode: &'static str,
    rates: Rates,
    pauses: Pauses,
    next_read: Instant,
    /// Reads that are asked for have an interval, too: a crowd that comes back is one read every now and then.
    next_requested: Instant,
    next_table_xmin: Instant,
    next_save: Instant,
}

impl Follow {
    pub(super) fn new(tail: Tail) -> Self {
        let Tail {
            hub,
            control,
            plan,
            bell,
            pace,
            metrics,
            ..
        } = tail;
        let now = Instant::now();
        let Plan { definition, store } = plan.borrow().clone();
        let mode = Mode::new(definition.never_ring);
        Self {
            name: definition.name.clone(),
            columns: definition.columns.clone(),
            reader: Reader::new(store, hub.clone()),
            requests: control.requests(),
            hub,
            control,
            metrics,
            plan,
            bell,
            heard: BellState::default(),
            logged_mode: mode.name(),
            mode,
            rates: Rates::new(pace, now),
            pauses: Pauses::new(&pace),
            next_read: now,
            next_requested: now,
            next_table_xmin: now,
            next_save: now,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Follows over one connection until it, or the tail, comes to its end.
    pub(super) async fn over(
        &mut self,
        session: &Session,
        backoff: &mut Backoff,
        shutdown: &CancellationToken,
    ) -> Ended {
        let control = self.control.clone();
        let mut action = self.mode.on_reconnected();
        self.rates.restart_quiet(Instant::now());
        loop {
            self.log_mode();
            // Before each statement, too: a tail that is far behind may not wait for long.
            if shutdown.is_cancelled() {
                self.say_farewell(session).await;
                return Ended::Shutdown;
            }
            let next = match action {
                Action::Wait => Ok(shutdown
                    .run_until_cancelled(self.wait())
                    .await
                    .unwrap_or(Action::Wait)),
                Action::Read => control
                    .answered(self.read(session))
                    .await
                    .inspect(|_| backoff.reset()),
                _ => control.answered(self.turn_flag(session, action)).await,
            };
            action = match next {
                Ok(next) => next,
                Err(ReadError::Gone) => return Ended::Gone,
                Err(error) => return Ended::Failed(error),
            };
        }
    }

    fn log_mode(&mut self) {
        let now = self.mode.name();
        let before = std::mem::replace(&mut self.logged_mode, now);
        if before != now {
            tracing::debug!(source = %self.name, from = before, to = now, "the bell's mode");
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self) -> Action {
        tokio::select! {
            biased;
            // A closed channel means that the process is ending; the token says so.
            Ok(()) = self.bell.changed() => self.heed_bell(),
            Ok(()) = self.plan.changed() => self.take_plan(),
            () = requested(&mut self.requests, self.next_requested) => Action::Read,
            () = tokio::time::sleep_until(self.next_read) => Action::Read,
        }
    }

    /// Tells the mode what was heard since it was told last.
    fn heed_bell(&mut self) -> Action {
        let now = Instant::now();
        let state = *self.bell.borrow_and_update();
        let heard = std::mem::replace(&mut self.heard, state);
        let mut actions = [Action::Wait; 3];
        if (state.listening, state.session) != (heard.listening, heard.session) {
            self.rates.restart_quiet(now);
            actions[0] = match state.listening {
                true => self.mode.on_listen_up(),
                false => self.mode.on_listen_down(),
            };
        }
        if state.busies != heard.busies {
            self.rates.stormed(now);
            actions[1] = self.mode.on_busy();
        }
        if state.rings != heard.rings {
            let rings = state.rings.saturating_sub(heard.rings);
            self.rates.bells(rings, now);
            self.metrics.bells(rings);
            actions[2] = self.mode.on_bell();
        }
        if actions.contains(&Action::Read) {
            Action::Read
        } else {
            Action::Wait
        }
    }

    fn take_plan(&mut self) -> Action {
        let Plan { definition, store } = self.plan.borrow_and_update().clone();
        self.reader.use_store(store);
        if self.columns != definition.columns {
            self.columns.clone_from(&definition.columns);
            // The rings may hold columns that are no longer sent.
            self.hub.forget_events();
        }
        // Whatever the mode makes of it, the new statements are tried at once.
        let _ = self.mode.set_never_ring(definition.never_ring);
        Action::Read
    }

    /// One read, with what belongs to it.
    async fn read(&mut self, session: &Session) -> Result<Action, ReadError> {
        // Noted before the statement is sent: what is heard or asked for meanwhile causes another read.
        self.requests.mark_unchanged();
        let number = self.control.read_begins();
        let _ = self.heed_bell();
        // Here, too, and not only while waiting: what the old statements name may be why there is no read to wait after.
        if self.plan.has_changed().unwrap_or(false) {
            let _ = self.take_plan();
        }
        let outcome = match self.reader.read(session).await {
            // The supervisor was told as well; the new plan wakes the wait.
            Err(ReadError::Replanned) => {
                self.next_read = Instant::now() + REPLAN_INTERVAL;
                self.next_requested = self.next_read;
                return Ok(Action::Wait);
            }
            outcome => outcome?,
        };
        // A read that a limit cut has not taken all that was committed before it.
        if !outcome.cut {
            self.control.read_is_complete(number);
        }
        if self.control.set_state(State::Following) {
            tracing::info!(source = %self.name, "following");
        }
        let action = self.after_read(&outcome);
        self.look_after(session).await?;
        Ok(if action == Action::Wait && outcome.cut {
            Action::Read
        } else {
            action
        })
    }

    fn after_read(&mut self, outcome: &Outcome) -> Action {
        let now = Instant::now();
        self.metrics.read(outcome.rows, outcome.took, !outcome.cut);
        self.rates.read(outcome.rows > 0, now);
        let heed = Heed {
            flag: outcome.header.must_ring,
            xmin: outcome.header.snapshot_xmin,
            quiet: self.rates.is_quiet(now) && !outcome.cut,
            stormy: self.rates.is_stormy(now),
        };
        let action = self.mode.on_read(&heed);
        if action == Action::Lower {
            self.rates.stormed(now);
        }
        let pause = self
            .pauses
            .after_read(self.mode.pace(), outcome.took, outcome.rows > 0);
        self.next_read = after(pause.unwrap_or(Duration::ZERO));
        self.next_requested = after(self.pauses.after_read_if_asked(outcome.took));
        let (gaps, oldest) = self.reader.gap_ages();
        self.metrics.tail(self.mode.counted(), gaps, oldest);
        action
    }

    /// Beside the reads, each at its own interval: the table's locks and the saved position.
    async fn look_after(&mut self, session: &Session) -> Result<(), ReadError> {
        let now = Instant::now();
        let wanted = self.reader.lingers() || self.mode.wants_table_xmin();
        if wanted && now >= self.next_table_xmin {
            self.next_table_xmin = now + TABLE_XMIN_INTERVAL;
            let table_xmin = self.reader.note_table_xmin(session).await?;
            self.mode.on_table_xmin(table_xmin);
        }
        if self.reader.lingers() {
            // A gap needs another read to die, and none may come by itself for a second.
            self.next_read = self.next_read.min(now + TABLE_XMIN_INTERVAL);
        }
        if now >= self.next_save {
            self.next_save = now + SAVE_INTERVAL;
            if let Err(error) = self.reader.save(session).await {
                if error.is_connection_lost() {
                    return Err(error.into());
                }
                tracing::debug!(source = %self.name, %error, "the position was not saved");
            }
        }
        Ok(())
    }

    /// Does what the mode says about the flag.
    async fn turn_flag(&mut self, session: &Session, action: Action) -> Result<Action, ReadError> {
        let bell = self.plan.borrow().definition.bell_oid;
        let done = match action {
            Action::Raise => flag::raise_flag(session, bell).await.map(|()| 0),
            Action::NoteNextXid => flag::note_next_xid(session).await,
            _ => flag::lower_flag(session, bell, &self.name).await.map(|()| 0),
        };
        if action == Action::Raise && done.is_ok() {
            self.rates.raised(Instant::now());
        }
        // A `busy` that came while the statement was under way counts before its answer.
        let heeded = self.heed_bell();
        let next = match (action, done) {
            (Action::Raise, Ok(_)) => self.mode.on_raised(),
            (Action::NoteNextXid, Ok(next_xid)) => self.mode.on_noted(next_xid),
            (_, Ok(_)) => self.mode.on_lowered(),
            (_, Err(error)) if error.is_connection_lost() => return Err(error.into()),
            (_, Err(error)) if trouble::broken_because(&error).is_some() => {
                tracing::warn!(source = %self.name, %error, "the bell's flag can't be set: polling");
                self.mode.on_refused()
            }
            // A lock, a timeout, a full queue: it goes on polling, and tries again when it is quiet.
            (_, Err(error)) => {
                tracing::debug!(source = %self.name, %error, "the bell's flag was not set");
                self.rates.restart_quiet(Instant::now());
                self.mode.on_reconnected()
            }
        };
        Ok(if next == Action::Wait { heeded } else { next })
    }

    /// Before the process ends: nobody may be left to hear the bell, and the position is what others start from.
    async fn say_farewell(&mut self, session: &Session) {
        if self.control.state() == State::Gone {
            return;
        }
        let bell = self.plan.borrow().definition.bell_oid;
        let _ = self.mode.shutdown();
        let farewell = async {
            let lowered = flag::lower_flag(session, bell, &self.name).await;
            self.reader.save(session).await.and(lowered)
        };
        match tokio::time::timeout(FAREWELL_WITHIN, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(source = %self.name, %error, "the last words were not taken"),
            Err(_) => tracing::warn!(source = %self.name, "the database did not answer the farewell"),
        }
    }

    /// Completes when there is another plan, which may read where this one can't. The plan is left to be taken.
    pub(super) async fn replanned(&mut self) {
        if self.plan.changed().await.is_err() {
            // The process is ending; the token says so.
            return std::future::pending().await;
        }
        self.plan.mark_changed();
    }

    pub(super) fn note_trouble(&self, error: &ReadError) {
        if self.control.set_state(trouble::state_of(error)) {
            tracing::warn!(source = %self.name, %error, "rows can't be read; trying again");
        }
    }

    pub(super) fn close(&self) {
        tracing::info!(source = %self.name, "detached");
        self.control.set_state(State::Gone);
        self.hub.close();
    }
}

/// When to set a timer that goes off after `pause`, on average. Its resolution is a millisecond, and it is rounded up twice: by
/// tokio's wheel and by the call that waits. An interval of 2 ms was one of 3.1 (`rowcast_read_duration_seconds_count` at 500
/// rows/s).
fn after(pause: Duration) -> Instant {
    Instant::now() + pause - TIMER_LAG.min(pause / 2)
}

/// Completes when a read is asked for and `not_before` has come. May be dropped at any point: the request stands until
/// a read takes it.
async fn requested(requests: &mut watch::Receiver<()>, not_before: Instant) {
    if requests.changed().await.is_err() {
        // The process is ending; the token says so.
        return std::future::pending().await;
    }
    requests.mark_changed();
    tokio::time::sleep_until(not_before).await;
}
