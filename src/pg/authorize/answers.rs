//! What the operator's statement answered of late, and what it is being asked: equal questions are put once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::AuthorizeError;
use crate::pg::reauthorize::{Calls, RoomHash};

/// How long an answer stands, counted from the beginning of the transaction that found it.
const STANDS_FOR: Duration = Duration::from_secs(2);

/// Questions of one generation; two are kept. One takes some 150 bytes.
const GENERATION: usize = 16_384;

/// What is asked. Names and claims are hashed: it is small whatever they are, and holds no contents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub source: Arc<str>,
    /// Of the source's definition: another one may mean another room column.
    pub revision: i64,
    pub room: RoomHash,
    /// SHA-256 of the claims' text.
    pub claims: [u8; 32],
}

/// `None` while the question is under way.
pub(super) type Outcome = Option<Result<bool, AuthorizeError>>;

/// What is known of a question.
pub(super) enum Known<'a> {
    Answer(bool),
    /// Somebody asks it; the channel closes without an outcome if they give up.
    Asked(watch::Receiver<Outcome>),
    /// Nobody does: it is for the caller to ask.
    Unknown(Asking<'a>),
}

enum Entry {
    Answer { may_read: bool, until: Instant },
    Asked(watch::Receiver<Outcome>),
}

/// Two generations: when the younger one is full, or as old as an answer may get, it takes the place of the elder, which is
/// dropped. So the number of entries is bounded and nothing has to look for old ones.
#[derive(Default)]
struct Generations {
    young: HashMap<Question, Entry>,
    old: HashMap<Question, Entry>,
    began: Option<Instant>,
}

/// The questions and answers of one statement.
#[derive(Default)]
pub(super) struct Answers {
    generations: Mutex<Generations>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `question`; where nothing is, it counts as asked from now on.
    pub(super) fn look(&self, question: &Question) -> Known<'_> {
        let now = Instant::now();
        let mut generations = self.lock();
        match generations.find(question) {
            Some(Entry::Answer { may_read, until }) if now < *until => return Known::Answer(*may_read),
            // The channel of one that was given up is closed.
            Some(Entry::Asked(outcome)) if outcome.has_changed().is_ok() => {
                return Known::Asked(outcome.clone());
            }
            _ => {}
        }
        let outcome = watch::Sender::new(None);
        generations.insert(question.clone(), Entry::Asked(outcome.subscribe()), now);
        Known::Unknown(Asking {
            answers: self,
            question: question.clone(),
            outcome,
        })
    }

    /// Forgets what `calls` concern; who asks it at the moment is heard by those who wait for it, and kept by nobody.
    pub(super) fn forget(&self, calls: &Calls) {
        let mut generations = self.lock();
        let keeps = |question: &Question, _: &mut Entry| !calls.concern(&question.source, &question.room);
        generations.young.retain(keeps);
        generations.old.retain(keeps);
    }
}

impl Generations {
    fn find(&self, question: &Question) -> Option<&Entry> {
        self.young.get(question).or_else(|| self.old.get(question))
    }

    fn insert(&mut self, question: Question, entry: Entry, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if self.young.len() >= GENERATION || now >= began + STANDS_FOR {
            self.old = std::mem::take(&mut self.young);
            self.began = Some(now);
        }
        self.young.insert(question, entry);
    }
}

/// A question that this one asks. Dropped without [`Asking::tell`], it is left to whoever waits for it.
pub(super) struct Asking<'a> {
    answers: &'a Answers,
    question: Question,
    outcome: watch::Sender<Outcome>,
}

impl Asking<'_> {
    /// Tells those who wait. An answer, found by a transaction that began at `began`, is kept for a while unless it was
    /// forgotten meanwhile; an error is not.
    pub(super) fn tell(self, outcome: Result<bool, AuthorizeError>, began: Instant) {
        let mut generations = self.answers.lock();
        let ours = self.outcome.subscribe();
        let is_ours = |entry: &Entry| matches!(entry, Entry::Asked(asked) if asked.same_channel(&ours));
        // In `old` it is found once more if it was forgotten and asked again meanwhile: then it is not ours.
        let kept = generations.find(&self.question).is_some_and(is_ours);
        if kept {
            generations.young.remove(&self.question);
            generations.old.remove(&self.question);
            if let Ok(may_read) = outcome {
                let until = began + STANDS_FOR;
                generations.insert(self.question.clone(), Entry::Answer { may_read, until }, began);
            }
        }
        drop(generations);
        self.outcome.send_replace(Some(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::reauthorize::Reauthorize;
    use crate::room::Room;

    fn question(room: &str) -> Question {
        Question {
            source: "messages".into(),
            revision: 1,
            room: RoomHash::of(&Room::canonical(room)),
            claims: [0; 32],
        }
    }

    fn asking<'a>(answers: &'a Answers, room: &str) -> Asking<'a> {
        match answers.look(&question(room)) {
            Known::Unknown(asking) => asking,
            Known::Answer(_) | Known::Asked(_) => panic!("it is known"),
        }
    }

    fn answer(answers: &Answers, room: &str) -> Option<bool> {
        match answers.look(&question(room)) {
            Known::Answer(answer) => Some(answer),
            Known::Asked(_) | Known::Unknown(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_two_seconds_from_when_it_was_asked() {
        let answers = Answers::default();
        let began = Instant::now();
        let asked = asking(&answers, "1");
        tokio::time::advance(Duration::from_millis(500)).await;
        asked.tell(Ok(true), began);
        tokio::time::advance(Duration::from_millis(1499)).await;
        assert_eq!(answer(&answers, "1"), Some(true));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(answer(&answers, "1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_forgotten_while_it_was_asked_is_not_kept() {
        let answers = Answers::default();
        let before = asking(&answers, "1");
        let other = asking(&answers, "2");
        let call = Reauthorize {
            source: None,
            room: Some(RoomHash::of(&Room::canonical("1"))),
        };
        answers.forget(&call.into());
        let after = asking(&answers, "1");
        before.tell(Ok(true), Instant::now());
        assert_eq!(
            answer(&answers, "1"),
            None,
            "the answer is from before the change"
        );
        after.tell(Ok(false), Instant::now());
        other.tell(Ok(true), Instant::now());
        assert_eq!(answer(&answers, "1"), Some(false));
        assert_eq!(answer(&answers, "2"), Some(true));
    }

    #[tokio::test]
    async fn an_error_is_told_and_not_kept() {
        let answers = Answers::default();
        let asked = asking(&answers, "1");
        let Known::Asked(waiting) = answers.look(&question("1")) else {
            panic!("it is asked");
        };
        asked.tell(Err(AuthorizeError::Rows { found: 2 }), Instant::now());
        assert!(super::super::told(waiting).await.is_err());
        assert!(matches!(answers.look(&question("1")), Known::Unknown(_)));
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_is_asked_by_those_who_waited() {
        let answers = Answers::default();
        let asked = asking(&answers, "1");
        let Known::Asked(waiting) = answers.look(&question("1")) else {
            panic!("it is asked");
        };
        drop(asked);
        assert!(matches!(super::super::told(waiting).await, Ok(None)));
        asking(&answers, "1").tell(Ok(true), Instant::now());
        assert_eq!(answer(&answers, "1"), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_answers_is_bounded() {
        let answers = Answers::default();
        for room in 0..3 * GENERATION {
            asking(&answers, &room.to_string()).tell(Ok(true), Instant::now());
        }
        let generations = answers.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!((GENERATION..=2 * GENERATION).contains(&kept), "{kept}");
    }
}
