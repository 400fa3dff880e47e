//! The orderly end of the process: a signal that every stream sees, and the window over which they end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned};

/// The share of the grace period over which streams end. The rest is left for the last bytes to be sent.
const WINDOW: f64 = 0.8;

/// The drain: whether it has begun, and its grace period. Clones share one signal.
#[derive(Clone, Debug)]
pub struct Drain {
    token: CancellationToken,
    grace: Duration,
}

impl Drain {
    /// A drain that has not begun. When it does, everything has to be over within `grace`.
    pub fn new(grace: Duration) -> Self {
        Self {
            token: CancellationToken::new(),
            grace,
        }
    }

    /// Begins the drain. Repeating it changes nothing.
    pub fn start(&self) {
        self.token.cancel();
    }

    /// Whether the drain has begun.
    pub fn is_started(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Completes when the drain begins, at once where it has.
    pub fn started(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// The same for something that lives long and is polled often, as a stream is: it listens to a token of its own,
    /// since polling locks the token, and thousands of streams would otherwise take turns at one lock.
    pub fn listener(&self) -> WaitForCancellationFutureOwned {
        self.token.child_token().cancelled_owned()
    }

    /// The grace period.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// How long after the drain's beginning one stream should end: random, so that the clients of all streams do not
    /// reconnect in the same instant.
    pub fn stagger(&self) -> Duration {
        self.grace.mul_f64(rand::random_range(0.0..WINDOW))
    }
}

/// SIGTERM and SIGINT, however often they come.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
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
