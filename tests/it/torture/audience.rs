//! All subscribers of a run: they enter, are waited for, and leave when they have everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Addresses;
use super::subscribers::{self, Received, Subscriber};
use crate::support::eventually;

/// How long the subscribers may take for what is left when the writers have stopped.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

const GLANCE: Duration = Duration::from_millis(20);

/// The subscribers of a run. Whatever panics, their tasks end with it.
pub struct Audience {
    tasks: JoinSet<()>,
    received: Vec<Arc<Mutex<Received>>>,
    end: CancellationToken,
}

impl Audience {
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            received: Vec::new(),
            end: CancellationToken::new(),
        }
    }

    /// One more subscriber, who comes and goes from now on.
    pub fn enter(&mut self, subscriber: Subscriber) {
        self.received.push(subscriber.received());
        self.tasks.spawn(subscriber.run(self.end.clone()));
    }

    /// Returns once everybody has a cursor.
    pub async fn has_begun(&self) {
        eventually(async || {
            self.received
                .iter()
                .all(|one| one.lock().unwrap().cursor.is_some())
        })
        .await;
    }

    /// Waits until everybody has what they must have; false if they take too long.
    pub async fn catches_up(&self, has_all: impl Fn(&Received) -> bool) -> bool {
        let deadline = Instant::now() + CATCH_UP_WITHIN;
        while !self.received.iter().all(|one| has_all(&one.lock().unwrap())) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(GLANCE).await;
        }
        true
    }

    /// Ends them all and returns what they received, after a last look that nothing stands behind their cursors.
    pub async fn leave(self, addresses: &Addresses) -> Vec<Received> {
        self.end.cancel();
        self.tasks.join_all().await;
        let mut all = Vec::with_capacity(self.received.len());
        for one in &self.received {
            subscribers::expect_no_more(one, addresses).await;
            all.push(one.lock().unwrap().clone());
        }
        all
    }
}
