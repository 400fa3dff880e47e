//! Asking again: leases whose rooms may no longer be read are ended.
//!
//! At once for the rooms of a `rowcast.reauthorize`, for all of them when notifications may have been missed, and for every
//! lease once in an interval, a share of them at a time. Where the database can't be asked, leases go on until it can.
//!
//! One loop, in which nothing waits for an answer but the answers: a call is heard while others are being asked.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::failures::Consequence;
use super::gate::{Gate, Guard};
use super::lease::{Question, QuestionKey};
use super::queue::{Batch, Came, Haste, Queue};
use crate::pg::authorize::{Asked, AuthorizeError, Authorizer, Progress};
use crate::pg::bell::Bell;
use crate::pg::reauthorize::RoomHash;

/// Shares that the questions are asked in, one after the other over the interval.
const SHARES: usize = 16;

/// The shortest time between two of them.
const SHORTEST_TURN: Duration = Duration::from_millis(10);

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
            () = guard.failures.tell_forever() => {}
        }
    }
}

impl Guard {
    async fn ask_again(&self, authorizer: &Authorizer, bell: &Bell) {
        let mut calls = bell.reauthorizations();
        let mut turns = interval((self.config.reauthorize_interval / SHARES as u32).max(SHORTEST_TURN));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        let mut queue = Queue::default();
        let mut asking = FuturesUnordered::new();
        loop {
            while let Some(batch) = queue.take(Instant::now()) {
                asking.push(async {
                    let came = self.ask(authorizer, &batch).await;
                    (batch, came)
                });
            }
            let wakes_at = queue.wakes_at();
            tokio::select! {
                calls = calls.next_all() => {
                    // First of all: whoever comes from now on is not answered from before the call.
                    authorizer.forget(&calls);
                    self.add(&mut queue, |source, room, _| match calls.name(source, room) {
                        true => Some(Haste::Room),
                        false => calls.concern(source, room).then_some(Haste::All),
                    });
                }
                Some((batch, came)) = asking.next() => queue.back(batch, came, Instant::now()),
                () = sleep_until(wakes_at.unwrap_or_else(Instant::now)), if wakes_at.is_some() => {}
                _ = turns.tick() => {
                    turn = (turn + 1) % SHARES;
                    self.add(&mut queue, |_, _, key| (key.share(SHARES) == turn).then_some(Haste::Turn));
                }
            }
        }
    }

    fn add(&self, queue: &mut Queue, picks: impl Fn(&str, &RoomHash, &QuestionKey) -> Option<Haste>) {
        let mut questions: Vec<_> = self.register.questions(picks).into_iter().collect();
        // Those of one source are put together.
        questions.sort_unstable_by_key(|(key, _)| key.source());
        for (key, (haste, question)) in questions {
            queue.add(key, haste, question);
        }
    }

    /// Puts the questions of a batch together, and ends the leases of those that are answered with no.
    async fn ask(&self, authorizer: &Authorizer, batch: &Batch) -> Came {
        let questions: Vec<&Question> = batch.questions().collect();
        let definition = questions[0].source.definition();
        let asked: Vec<Asked<'_>> = questions
            .iter()
            .map(|question| Asked {
                room: &question.room,
                claims: &question.claims,
            })
            .collect();
        let failed = |error: &AuthorizeError, consequence, leases| {
            self.failures
                .note(consequence, &definition.name, error.to_string(), leases);
        };
        let Progress {
            answers,
            failed: failure,
        } = match authorizer.ask_again(&definition, &asked).await {
            Ok(progress) => progress,
            Err(error) => {
                let leases = questions.iter().map(|question| question.leases()).sum();
                failed(&error, Consequence::GoesOn, leases);
                return Came::Nowhere;
            }
        };
        for (question, may_read) in questions.iter().zip(&answers) {
            if !may_read {
                question.revoke();
            }
        }
        let answered = answers.len();
        let (Some(error), Some(question)) = (failure, questions.get(answered)) else {
            return Came::Through(answered);
        };
        match error.is_passing() {
            // Of this room and these claims, so that nobody else's lease depends on it: a question that fails for them admits
            // them no longer.
            false => {
                failed(&error, Consequence::Ended, question.leases());
                question.revoke();
                Came::Through(answered + 1)
            }
            // Perhaps those before it took the time. The next time it is the first.
            true if answered > 0 => Came::Through(answered),
            true => {
                failed(&error, Consequence::GoesOn, question.leases());
                Came::Stuck
            }
        }
    }
}
