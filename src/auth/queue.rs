//! Questions that are to be asked again, and which of them next. Pure: no I/O, and no clock of its own.
//!
//! Four lines wait for three askers, and no line has all of them: a call that names a room waits neither for one about all rooms
//! nor for the turns of the clock. What took too long, and what stood behind it, leaves its line for one of its own with one
//! asker, so that a room whose statement hangs holds up no other. A question stands in one line, once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Question, QuestionKey, RoomKey};
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

/// Where a question waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Of [`Haste::Room`].
    Named,
    /// Called for, and asked before without an answer.
    Again,
    /// Of [`Haste::All`].
    All,
    /// Of [`Haste::Turn`].
    Turn,
}

impl Line {
    const MOST_URGENT_FIRST: [Self; 4] = [Self::Named, Self::Again, Self::All, Self::Turn];
}

/// Questions of one source that are put together.
pub(super) struct Batch {
    line: Line,
    questions: Vec<(QuestionKey, Waiting)>,
}

impl Batch {
    /// One or more, in the order in which they are put.
    pub(super) fn questions(&self) -> impl ExactSizeIterator<Item = &Question> {
        self.questions.iter().map(|(_, waiting)| &waiting.question)
    }

    /// Whether they were asked before without an answer, so that they may take all of the time again.
    pub(super) fn is_doubted(&self) -> bool {
        self.line == Line::Again
    }
}

/// How far a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// So many, from the first, need not be asked again.
    Through(usize),
    /// So many, from the first, were answered. The one behind them failed for a reason that may pass; where there are none
    /// before it, that is its own.
    Stuck(usize),
    /// Nobody could be asked.
    Nowhere,
}

struct Waiting {
    question: Question,
    haste: Haste,
    /// It got stuck, or stood behind or beside one that did.
    is_doubted: bool,
    /// How often it got stuck itself. Then it is asked alone.
    failures: u32,
    /// Out of its line until then.
    pause_until: Option<Instant>,
}

impl Waiting {
    fn line(&self) -> Line {
        match self.haste {
            // The next turn asks again anyway, and turns wait for each other only.
            Haste::Turn => Line::Turn,
            _ if self.is_doubted => Line::Again,
            Haste::All => Line::All,
            Haste::Room => Line::Named,
        }
    }
}

/// The questions that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: HashMap<QuestionKey, Waiting>,
    /// By [`Line`]. What went to another line, or is not waiting any longer, is passed over.
    lines: [VecDeque<QuestionKey>; 4],
    /// Those that pause, by when that is over; the number tells them apart.
    pausing: BTreeMap<(Instant, u64), QuestionKey>,
    number: u64,
    /// Batches that are being asked, by [`Line`].
    asking: [usize; 4],
    /// What the batches of [`Line::Named`] among them are about: no room has two of them, so that the other is left to others.
    named: HashSet<RoomKey>,
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
            is_doubted: false,
            failures: 0,
            pause_until: None,
        };
        let line = waiting.line();
        let Some(before) = self.waiting.insert(key, waiting) else {
            self.lines[line as usize].push_back(key);
            return;
        };
        let is_call = haste > Haste::Turn;
        let now = self.waiting.get_mut(&key).expect("it was just put there");
        now.haste = haste.max(before.haste);
        now.is_doubted = before.is_doubted;
        now.failures = before.failures;
        now.pause_until = before.pause_until.filter(|_| !is_call);
        let line = now.line();
        if (is_call && before.pause_until.is_some()) || line != before.line() {
            self.lines[line as usize].push_back(key);
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
                self.lines[waiting.line() as usize].push_back(key);
            }
        }
        if self.away_until.is_some_and(|until| now < until) {
            return None;
        }
        self.away_until = None;
        let mut lines = Line::MOST_URGENT_FIRST.into_iter();
        let batch = lines.find_map(|line| self.may_ask(line).then(|| self.take_from(line))?)?;
        self.asking[batch.line as usize] += 1;
        if batch.line == Line::Named {
            self.named
                .extend(batch.questions.iter().map(|(key, _)| key.room()));
        }
        Some(batch)
    }

    fn may_ask(&self, line: Line) -> bool {
        let [named, again, all, turns] = self.asking;
        let others = again + all + turns;
        named + others < AT_ONCE
            && match line {
                Line::Named => named < AT_ONCE - 1,
                // It may last: one is left for a call that comes meanwhile.
                Line::Again => again == 0 && named + others < AT_ONCE - 1,
                Line::All => others < AT_ONCE - 1,
                Line::Turn => turns == 0 && others < AT_ONCE - 1,
            }
    }

    fn take_from(&mut self, line: Line) -> Option<Batch> {
        let mut questions: Vec<(QuestionKey, Waiting)> = Vec::new();
        let mut passed_over = Vec::new();
        while let Some(key) = self.lines[line as usize].pop_front() {
            let here = |waiting: &&Waiting| waiting.line() == line && waiting.pause_until.is_none();
            let Some(waiting) = self.waiting.get(&key).filter(here) else {
                continue;
            };
            if !waiting.question.is_wanted() {
                self.waiting.remove(&key);
                continue;
            }
            if line == Line::Named && self.named.contains(&key.room()) {
                passed_over.push(key);
                continue;
            }
            let goes_along = questions.first().is_none_or(|(first, before)| {
                let is_near = match line {
                    // Who is held up by a room is not put behind that room again.
                    Line::Again => first.room() == key.room() && before.failures + waiting.failures == 0,
                    _ => first.source() == key.source(),
                };
                is_near && questions.len() < BATCH
            });
            if !goes_along {
                self.lines[line as usize].push_front(key);
                break;
            }
            questions.extend(self.waiting.remove(&key).map(|waiting| (key, waiting)));
        }
        for key in passed_over.into_iter().rev() {
            self.lines[line as usize].push_front(key);
        }
        (!questions.is_empty()).then_some(Batch { line, questions })
    }

    /// What a batch came to: the rest of it waits again.
    pub(super) fn back(&mut self, batch: Batch, came: Came, now: Instant) {
        let Batch { line, questions } = batch;
        self.asking[line as usize] -= 1;
        if line == Line::Named {
            questions.iter().for_each(|(key, _)| {
                self.named.remove(&key.room());
            });
        }
        let mut rest = questions;
        match came {
            Came::Through(done) => {
                self.absences = 0;
                rest.drain(..done.min(rest.len()));
            }
            Came::Stuck(done) => {
                self.absences = 0;
                rest.drain(..done.min(rest.len()));
                rest = self.stuck(line, rest, done == 0, now);
            }
            Came::Nowhere => {
                self.absences += 1;
                self.away_until = Some(now + pause_after(self.absences));
                rest.retain(|(_, waiting)| waiting.haste > Haste::Turn);
            }
        }
        for (key, waiting) in rest.into_iter().rev() {
            if let Some(line) = self.wait_again(key, waiting) {
                self.lines[line as usize].push_front(key);
            }
        }
    }

    /// Lets a question that was asked wait again, and says in which line it is to be put, unless it stands there. Whoever asked
    /// for it meanwhile knows of more leases, and does not let it pause.
    fn wait_again(&mut self, key: QuestionKey, before: Waiting) -> Option<Line> {
        let Some(newer) = self.waiting.get_mut(&key) else {
            let line = before.line();
            self.waiting.insert(key, before);
            return Some(line);
        };
        let stands_in = newer.line();
        newer.haste = newer.haste.max(before.haste);
        newer.is_doubted |= before.is_doubted;
        newer.failures = before.failures;
        (newer.line() != stands_in).then(|| newer.line())
    }

    /// The first of these got stuck, by itself where nothing was answered before it. Gives back those that go to the front of
    /// their line.
    fn stuck(
        &mut self,
        line: Line,
        mut rest: Vec<(QuestionKey, Waiting)>,
        is_its_own: bool,
        now: Instant,
    ) -> Vec<(QuestionKey, Waiting)> {
        let Some(room) = rest.first().map(|(key, _)| key.room()) else {
            return rest;
        };
        let first = is_its_own.then(|| rest.remove(0));
        if line == Line::Turn {
            // The next turn asks the first again.
            return rest;
        }
        // Those of other rooms may be quick.
        let (same, mut others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(key, _)| key.room() == room);
        for (key, mut waiting) in same {
            waiting.is_doubted = true;
            if let Some(line) = self.wait_again(key, waiting) {
                self.lines[line as usize].push_back(key);
            }
        }
        others
            .iter_mut()
            .for_each(|(_, waiting)| waiting.is_doubted = true);
        self.doubt(room);
        if let Some((key, waiting)) = first {
            self.pause(key, waiting, now);
        }
        others
    }

    /// Doubts those about a room that wait in other lines.
    fn doubt(&mut self, room: RoomKey) {
        for (key, waiting) in &mut self.waiting {
            if key.room() != room || waiting.is_doubted || waiting.haste == Haste::Turn {
                continue;
            }
            waiting.is_doubted = true;
            self.lines[Line::Again as usize].push_back(*key);
        }
    }

    fn pause(&mut self, key: QuestionKey, mut waiting: Waiting, now: Instant) {
        waiting.is_doubted = true;
        waiting.failures += 1;
        let until = now + pause_after(waiting.failures);
        if self.waiting.contains_key(&key) {
            if let Some(line) = self.wait_again(key, waiting) {
                self.lines[line as usize].push_back(key);
            }
            return;
        }
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
