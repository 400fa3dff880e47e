//! Asking again: leases whose rooms may no longer be read are ended.
//!
//! At once for the rooms of a `rowcast.reauthorize`, for all of them when notifications may have been missed, and for every
//! lease once in an interval, a share of them at a time. Where the database can't be asked, leases go on until it can.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, Guard};
use crate::pg::authorize::Authorizer;
use crate::pg::bell::{Bell, Reauthorize};

/// Shares that the leases are asked about in, one after the other over the interval.
const SHARES: u32 = 16;

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
            () = guard.verifier.refresh() => {}
        }
    }
}

impl Guard {
    async fn ask_again(&self, authorizer: &Authorizer, bell: &Bell) {
        let mut calls = bell.reauthorizations();
        let mut turns = interval((self.config.reauthorize_interval / SHARES).max(Duration::from_millis(10)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                biased;
                call = calls.next() => self.ask(authorizer, |_, source, rooms| call.concerns(source, rooms)).await,
                _ = turns.tick() => {
                    turn = (turn + 1) % SHARES as usize;
                    self.ask(authorizer, |lease, _, _| lease % SHARES as usize == turn).await;
                }
            }
        }
    }
}
