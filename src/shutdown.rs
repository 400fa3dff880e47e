//! The orderly end of the process: a signal that every stream sees, and the window over which they end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The share of the grace period over which streams end. The rest is left for the last bytes to be sent.
const WINDOW: f64 = 0.8;

/// The drain: whether it has begun, and its grace period. Clones share one signal.
#[derive(Clone, Debug)]
pub struct Drain {
    signal: Arc<Signal>,
}

#[derive(Debug)]
struct Signal {
    grace: Duration,
    has_begun: AtomicBool,
    token: CancellationToken,
    /// One for each [`Listener`] that waits.
    wakers: Mutex<Slab<Waker>>,
}

impl Signal {
    fn wakers(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain {
    /// A drain that has not begun. When it does, everything has to be over within `grace`.
    pub fn new(grace: Duration) -> Self {
        let signal = Signal {
            grace,
            has_begun: AtomicBool::new(false),
            token: CancellationToken::new(),
            wakers: Mutex::default(),
        };
        Self {
            signal: Arc::new(signal),
        }
    }

    /// Begins the drain. Repeating it changes nothing.
    pub fn start(&self) {
        self.signal.has_begun.store(true, Ordering::Release);
        self.signal.token.cancel();
        let wakers: Vec<Waker> = self
            .signal
            .wakers()
            .iter()
            .map(|(_, waker)| waker.clone())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the drain has begun.
    pub fn is_started(&self) -> bool {
        self.signal.has_begun.load(Ordering::Acquire)
    }

    /// Completes when the drain begins, at once where it has.
    pub fn started(&self) -> WaitForCancellationFuture<'_> {
        self.signal.token.cancelled()
    }

    /// The same for something that lives long and is polled often, as a stream is.
    pub fn listener(&self) -> Listener {
        Listener {
            drain: self.clone(),
            place: None,
        }
    }

    /// The grace period.
    pub fn grace(&self) -> Duration {
        self.signal.grace
    }

    /// How long after the drain's beginning one stream should end: random, so that the clients of all streams do not
    /// reconnect in the same instant.
    pub fn stagger(&self) -> Duration {
        self.signal.grace.mul_f64(rand::random_range(0.0..WINDOW))
    }
}

/// Who waits for the drain for long. Polling it again costs two comparisons: it takes no lock, for which thousands of streams
/// would take turns, as those of a token do.
#[derive(Debug)]
pub struct Listener {
    drain: Drain,
    /// Where its waker stands, and a copy.
    place: Option<(usize, Waker)>,
}

impl Listener {
    /// Ready when the drain has begun; the task is woken for it.
    pub fn poll_started(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self
            .place
            .as_ref()
            .is_some_and(|(_, waker)| waker.will_wake(cx.waker()))
        {
            self.leave_waker(cx.waker());
        }
        // After the waker is in place: whoever begins the drain later finds it there.
        match self.drain.is_started() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// As [`Drain::stagger`].
    pub fn stagger(&self) -> Duration {
        self.drain.stagger()
    }

    /// Completes when the drain begins, at once where it has.
    pub async fn started(&mut self) {
        std::future::poll_fn(|cx| self.poll_started(cx)).await
    }

    fn leave_waker(&mut self, waker: &Waker) {
        let mut wakers = self.drain.signal.wakers();
        let key = match &self.place {
            Some((key, _)) => {
                wakers[*key] = waker.clone();
                *key
            }
            None => wakers.insert(waker.clone()),
        };
        drop(wakers);
        self.place = Some((key, waker.clone()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((key, _)) = &self.place {
            let mut wakers = self.drain.signal.wakers();
            wakers.remove(*key);
            if wakers.is_empty() {
                // A crowd that left must not leave its table behind.
                wakers.shrink_to_fit();
            }
        }
    }
}

/// SIGTERM and SIGINT, however often they come.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// Takes both signals over from their defaults.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes at the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(listener: &mut Listener, count: &Arc<Count>) -> Poll<()> {
        listener.poll_started(&mut Context::from_waker(&count.clone().into()))
    }

    #[test]
    fn whoever_listens_is_woken_once_by_the_task_that_polled_last_and_leaves_nothing_behind() {
        let drain = Drain::new(Duration::ZERO);
        let (mut stays, mut leaves) = (drain.listener(), drain.listener());
        let [first, second, gone] = [(); 3].map(|()| Arc::new(Count::default()));
        assert!(poll(&mut stays, &first).is_pending() && poll(&mut leaves, &gone).is_pending());
        assert!(poll(&mut stays, &second).is_pending());
        drop(leaves);
        drain.start();
        let counts = [&first, &second, &gone].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1, 0]);
        assert!(poll(&mut stays, &second).is_ready());
        assert!(
            poll(&mut drain.listener(), &first).is_ready(),
            "one that comes late"
        );
        drop(stays);
        assert_eq!(drain.signal.wakers().capacity(), 0);
    }
}
