//! Questions that are to be asked again, and which of them next. Pure: no I/O, and no clock of its own.
//!
//! Three lines wait for three askers. What is more urgent goes first, and no line has all of them: a call that names a room
//! waits neither for one about all rooms nor for the turns of the clock. A question stands in one line, once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Question, QuestionKey};
use crate::pg::authorize::BATCH;

/// Batches that are asked at a time: of the four connections of the statement's own pool one is left for newcomers.
const AT_ONCE: usize = 3;

/// The pause after a first failure that may pass, doubled with each further one up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Why a question is asked; the later the more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// The interval is over. Given up where the database can't answer: the next turn asks again.
    Turn,
    /// A call about all rooms.
    All,
    /// A call that names the room.
    Room,
}

impl Haste {
    const MOST_URGENT_FIRST: [Self; 3] = [Self::Room, Self::All, Self::Turn];
}

/// Questions of one source that are put together.
pub(super) struct Batch {
    haste: Haste,
    questions: Vec<(QuestionKey, Waiting)>,
}

impl Batch {
    /// One or more, in the order in which they are put.
    pub(super) fn questions(&self) -> impl ExactSizeIterator<Item = &Question> {
        self.questions.iter().map(|(_, waiting)| &waiting.question)
    }
}

/// How far a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// So many, from the first, need not be asked again.
    Through(usize),
    /// The first of them failed for a reason that may pass.
    Stuck,
    /// Nobody could be asked.
    Nowhere,
}

struct Waiting {
    question: Question,
    haste: Haste,
    /// How often it got stuck. Then it is asked alone, so that others do not wait for it.
    failures: u32,
    /// Out of its line until then.
    pause_until: Option<Instant>,
}

/// The questions that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: HashMap<QuestionKey, Waiting>,
    /// By [`Haste`]. What became more urgent, or is not waiting any longer, is passed over.
    lines: [VecDeque<QuestionKey>; 3],
    /// Those that pause, by when that is over; the number tells them apart.
    pausing: BTreeMap<(Instant, u64), QuestionKey>,
    number: u64,
    /// Batches that are being asked, by [`Haste`].
    asking: [usize; 3],
    /// While the database is away, and how often in a row it was.
    away_until: Option<Instant>,
    absences: u32,
}

impl Queue {
    /// Lets a question wait. One that waits already takes over these leases, which are all there are, and the greater haste.
    pub(super) fn add(&mut self, key: QuestionKey, haste: Haste, question: Question) {
        let waiting = Waiting {
            question,
            haste,
            failures: 0,
            pause_until: None,
        };
        let Some(before) = self.waiting.insert(key, waiting) else {
            self.lines[haste as usize].push_back(key);
            return;
        };
        let is_call = haste > Haste::Turn;
        let now = self.waiting.get_mut(&key).expect("it was just put there");
        now.haste = haste.max(before.haste);
        now.failures = before.failures;
        now.pause_until = before.pause_until.filter(|_| !is_call);
        if (is_call && before.pause_until.is_some()) || now.haste > before.haste {
            self.lines[now.haste as usize].push_back(key);
        }
    }

    /// The next batch that may be asked now. It comes back with [`Queue::back`].
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        while let Some((&(at, number), &key)) = self.pausing.first_key_value() {
            if at > now {
                break;
            }
            self.pausing.remove(&(at, number));
            if let Some(waiting) = self.waiting.get_mut(&key)
                && waiting.pause_until == Some(at)
            {
                waiting.pause_until = None;
                self.lines[waiting.haste as usize].push_back(key);
            }
        }
        if self.away_until.is_some_and(|until| now < until) {
            return None;
        }
        self.away_until = None;
        let mut lines = Haste::MOST_URGENT_FIRST.into_iter();
        let batch = lines.find_map(|haste| {
            let may_ask = self.may_ask(haste);
            may_ask.then(|| self.take_from(haste))?
        })?;
        self.asking[batch.haste as usize] += 1;
        Some(batch)
    }

    fn may_ask(&self, haste: Haste) -> bool {
        let [turns, all, rooms] = self.asking;
        let others = turns + all;
        rooms + others < AT_ONCE
            && match haste {
                Haste::Room => rooms < AT_ONCE - 1,
                Haste::All => others < AT_ONCE - 1,
                Haste::Turn => turns == 0 && others < AT_ONCE - 1,
            }
    }

    fn take_from(&mut self, haste: Haste) -> Option<Batch> {
        let mut questions: Vec<(QuestionKey, Waiting)> = Vec::new();
        while let Some(key) = self.lines[haste as usize].front() {
            let here = |waiting: &&Waiting| waiting.haste == haste && waiting.pause_until.is_none();
            let Some(waiting) = self.waiting.get(key).filter(here) else {
                self.lines[haste as usize].pop_front();
                continue;
            };
            let is_wanted = waiting.question.is_wanted();
            let goes_along = questions.first().is_none_or(|(first, _)| {
                waiting.failures == 0 && first.source() == key.source() && questions.len() < BATCH
            });
            if is_wanted && !goes_along {
                break;
            }
            let is_alone = waiting.failures > 0;
            let key = self.lines[haste as usize].pop_front()?;
            let waiting = self.waiting.remove(&key)?;
            if is_wanted {
                questions.push((key, waiting));
                if is_alone {
                    break;
                }
            }
        }
        (!questions.is_empty()).then_some(Batch { haste, questions })
    }

    /// What a batch came to: the rest of it waits again.
    pub(super) fn back(&mut self, batch: Batch, came: Came, now: Instant) {
        self.asking[batch.haste as usize] -= 1;
        let mut rest = batch.questions;
        match came {
            Came::Through(done) => {
                self.absences = 0;
                rest.drain(..done.min(rest.len()));
            }
            Came::Stuck => {
                self.absences = 0;
                let (key, waiting) = rest.remove(0);
                if batch.haste > Haste::Turn {
                    self.pause(key, waiting, now);
                }
            }
            Came::Nowhere => {
                self.absences += 1;
                self.away_until = Some(now + pause_after(self.absences));
                rest.retain(|(_, waiting)| waiting.haste > Haste::Turn);
            }
        }
        for (key, waiting) in rest.into_iter().rev() {
            // Whoever asked for it meanwhile knows of more leases.
            if !self.waiting.contains_key(&key) {
                self.lines[waiting.haste as usize].push_front(key);
                self.waiting.insert(key, waiting);
            }
        }
    }

    fn pause(&mut self, key: QuestionKey, mut waiting: Waiting, now: Instant) {
        if let Some(newer) = self.waiting.get_mut(&key) {
            newer.failures = waiting.failures + 1;
            return;
        }
        waiting.failures += 1;
        let until = now + pause_after(waiting.failures);
        waiting.pause_until = Some(until);
        self.number += 1;
        self.pausing.insert((until, self.number), key);
        self.waiting.insert(key, waiting);
    }

    /// When [`Queue::take`] may have something that it had not at its last call, though nothing else happens.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let pause = self.pausing.first_key_value().map(|((at, _), _)| *at);
        // While the database is away, what pauses would only wait in a line.
        self.away_until.or(pause)
    }
}

fn pause_after(failures: u32) -> Duration {
    let (first, longest) = PAUSES;
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(doubled).min(longest)
}
