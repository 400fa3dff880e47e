//! Asking again: leases whose rooms may no longer be read are ended.
//!
//! At once for the rooms of a `rowcast.reauthorize`, for all of them when notifications may have been missed, and for every
//! lease once in an interval, a share of them at a time. Where the database can't be asked, leases go on until it can.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, Guard};
use crate::pg::authorize::Authorizer;
use crate::pg::bell::Bell;
use crate::pg::reauthorize::RoomHash;

/// Shares that the leases are asked about in, one after the other over the interval.
const SHARES: u32 = 16;

/// The shortest time between two of them.
const SHORTEST_TURN: Duration = Duration::from_millis(10);

/// Leases that are asked about at a time: of the four connections of the statement's own pool one is left for newcomers.
const AT_ONCE: usize = 3;

impl Gate {
    /// Keeps the keys fresh and asks again about leases, until `stop`.
    pub async fn watch(&self, bell: &Bell, stop: CancellationToken) {
        let Some(guard) = &self.guard else { return };
        let leases = async {
            match &guard.authorizer {
                Some(authorizer) => guard.ask_again(authorizer, bell).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = leases => {}
            () = guard.verifier.refresh_forever() => {}
        }
    }
}

impl Guard {
    async fn ask_again(&self, authorizer: &Authorizer, bell: &Bell) {
        let mut calls = bell.reauthorizations();
        let mut turns = interval((self.config.reauthorize_interval / SHARES).max(SHORTEST_TURN));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                biased;
                call = calls.next() => {
                    authorizer.forget(&call);
                    self.ask(authorizer, |_, source, room| call.concerns(source, room)).await;
                }
                _ = turns.tick() => {
                    turn = (turn + 1) % SHARES as usize;
                    self.ask(authorizer, |lease, _, _| lease % SHARES as usize == turn).await;
                }
            }
        }
    }

    /// Asks about the rooms of leases that `concerns` picks, some leases at a time, and ends those that may no longer read.
    async fn ask(&self, authorizer: &Authorizer, concerns: impl Fn(usize, &str, &RoomHash) -> bool) {
        let questions = self.register.questions(concerns);
        stream::iter(questions)
            .for_each_concurrent(AT_ONCE, async |question| {
                let definition = question.source.definition();
                let asked = authorizer.may_still_read(&definition, &question.rooms, &question.claims);
                match asked.await {
                    Ok(true) => {}
                    Ok(false) => question.revoke(),
                    // Of these rooms and claims, so that nobody else's lease depends on it: a question that fails for them admits
                    // them no longer.
                    Err(error) if !error.is_passing() => {
                        tracing::warn!(source = definition.name, %error, "who may still read: the question fails");
                        question.revoke();
                    }
                    Err(error) => tracing::warn!(
                        source = definition.name,
                        %error,
                        "who may still read can't be asked: subscribers go on until it can"
                    ),
                }
            })
            .await;
    }
}
