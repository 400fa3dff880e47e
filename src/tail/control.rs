//! What others see of a tail and ask of it: its state, and a read that begins after now.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How a tail is doing. The reasons are our own words: the database's, with its addresses, roles and names, are for the
/// log, and anyone may ask for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not caught up for the first time yet.
    Starting,
    Following,
    /// The database does not answer; it tries again by itself.
    Away {
        reason: &'static str,
    },
    /// The source can't be read as it is now; somebody has to mend it.
    Broken {
        reason: &'static str,
    },
    /// The source was detached.
    Gone,
}

/// Shared by a tail and those who look at it.
#[derive(Debug)]
pub struct Control {
    /// Reads that have begun. In one order with what is committed and asked for: [`Mark`] depends on it.
    begun: AtomicU64,
    /// The newest read that is published and has taken all that was committed before it began.
    complete: watch::Sender<u64>,
    /// Changes whenever a read is asked for.
    wanted: watch::Sender<()>,
    state: watch::Sender<State>,
}

/// A moment between two reads' beginnings: what was committed before it is seen by the first read that begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// How long one waits for a read: longer than the tail's own reconnect takes when the database only restarted.
const SYNC_WITHIN: Duration = Duration::from_secs(5);

/// A read takes milliseconds, and so does what goes with it. Without an answer for so long nobody is served, and another relay
/// may be better off.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// The tail does not read at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFollowing;

impl Default for Control {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            complete: watch::Sender::new(0),
            wanted: watch::Sender::new(()),
            state: watch::Sender::new(State::Starting),
        }
    }
}

impl Control {
    /// The state as it is now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Completes when the first read is done, or has failed.
    pub async fn started(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| *state != State::Starting)
            .await;
    }

    /// Notes a state and says whether it is another one than before. What is gone stays gone, whatever its tail reads last.
    pub fn set_state(&self, state: State) -> bool {
        self.state.send_if_modified(|known| {
            let changed = *known != state && *known != State::Gone;
            if !changed {
                return false;
            }
            *known = state;
            changed
        })
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark(self.begun.load(Ordering::SeqCst))
    }

    /// Completes when a read that began after this call has been published. Reads asked for meanwhile are one.
    ///
    /// # Errors
    /// The tail does not follow, or no read came within 5 s.
    pub async fn sync(&self) -> Result<(), NotFollowing> {
        self.sync_since(self.mark()).await
    }

    /// Completes when a read that began after `mark` has been published, and asks for one if none has begun.
    ///
    /// # Errors
    /// As [`Control::sync`].
    pub async fn sync_since(&self, mark: Mark) -> Result<(), NotFollowing> {
        let Mark(before) = mark;
        if *self.complete.borrow() > before {
            return Ok(());
        }
        let mut complete = self.complete.subscribe();
        let mut state = self.state.subscribe();
        if self.mark() == mark {
            self.wanted.send_replace(());
        }
        let synced = async {
            tokio::select! {
                biased;
                done = complete.wait_for(|complete| *complete > before) => done.map_err(|_| NotFollowing).map(drop),
                _ = state.wait_for(|state| !matches!(state, State::Following | State::Starting)) => Err(NotFollowing),
            }
        };
        tokio::time::timeout(SYNC_WITHIN, synced)
            .await
            .unwrap_or(Err(NotFollowing))
    }

    /// For the tail: awaits the answers to its statements, however long they take (one up to 35 s), and notes after a while
    /// that they are not there.
    pub(super) async fn answered<T>(&self, statements: impl Future<Output = T>) -> T {
        let mut statements = pin!(statements);
        if let Ok(answer) = tokio::time::timeout(SILENT_AFTER, statements.as_mut()).await {
            return answer;
        }
        let reason = "the database has not answered for 5 s";
        if self.set_state(State::Away { reason }) {
            tracing::warn!("{reason}: it is stopped or overloaded, or the network is cut");
        }
        statements.await
    }

    /// For the tail: wakes it when a read is asked for.
    pub(super) fn requests(&self) -> watch::Receiver<()> {
        self.wanted.subscribe()
    }

    /// For the tail: a read begins, before its statement is sent. Returns its number.
    pub(super) fn read_begins(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// For the tail: the read with this number is published, and nothing was left out.
    pub(super) fn read_is_complete(&self, number: u64) {
        self.complete.send_replace(number);
    }

    /// A tail that has nothing to read: answers every request, until dropped.
    #[cfg(test)]
    pub(crate) async fn answer_all(&self) {
        let mut requests = self.requests();
        loop {
            requests.mark_unchanged();
            self.read_is_complete(self.read_begins());
            requests.changed().await.expect("we hold the sender");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_began_before_the_call_does_not_answer_it() {
        let control = Control::default();
        control.set_state(State::Following);
        let (earlier, mut requests) = (control.read_begins(), control.requests());
        let mark = control.mark();
        let mut sync = std::pin::pin!(control.sync());
        assert!(futures_util::poll!(sync.as_mut()).is_pending());
        control.read_is_complete(earlier);
        assert!(futures_util::poll!(sync.as_mut()).is_pending());
        assert!(requests.has_changed().unwrap());
        requests.mark_unchanged();
        control.read_is_complete(control.read_begins());
        assert_eq!(sync.await, Ok(()));
        assert_eq!(control.sync_since(mark).await, Ok(()));
        assert!(!requests.has_changed().unwrap(), "nobody asked for another");
    }

    #[tokio::test]
    async fn a_read_that_is_under_way_is_waited_for() {
        let control = Control::default();
        control.set_state(State::Following);
        let (mark, requests) = (control.mark(), control.requests());
        let number = control.read_begins();
        let mut sync = std::pin::pin!(control.sync_since(mark));
        assert!(futures_util::poll!(sync.as_mut()).is_pending());
        assert!(!requests.has_changed().unwrap());
        control.read_is_complete(number);
        assert_eq!(sync.await, Ok(()));
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let control = Control::default();
        assert!(control.set_state(State::Gone));
        assert!(!control.set_state(State::Following));
        assert_eq!(control.state(), State::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn statements_that_are_not_answered_are_told_of_and_awaited() {
        let control = Control::default();
        control.set_state(State::Following);
        let slow = async |time| {
            tokio::time::sleep(time).await;
            1
        };
        assert_eq!(control.answered(slow(SILENT_AFTER / 2)).await, 1);
        assert_eq!(control.state(), State::Following);
        assert_eq!(control.answered(slow(SILENT_AFTER * 2)).await, 1);
        assert!(matches!(control.state(), State::Away { .. }));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_tail_that_is_away() {
        let control = Control::default();
        control.set_state(State::Away { reason: "no route" });
        assert_eq!(control.sync().await, Err(NotFollowing));
    }
}
