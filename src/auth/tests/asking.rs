//! What is asked again next, as questions of real leases wait. No database is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::access::{Access, Rooms, Via};
use super::super::lease::{Lease, Question, QuestionKey, Register};
use super::super::queue::{Batch, Came, Haste, Queue};
use crate::hub::{HubLimits, RingLimits};
use crate::metrics::Metrics;
use crate::pg::Database;
use crate::pg::authorize::BATCH;
use crate::pg::source::Source;
use crate::pg::store::ReadLimits;
use crate::relay::{LiveSource, SourceLimits};
use crate::room::{Room, RoomType};

/// A source that nobody follows.
fn source(name: &str) -> Arc<LiveSource> {
    let definition = Source {
        name: name.into(),
        relation: name.into(),
        relation_oid: 1,
        id_column: Some("id".into()),
        room_column: "room".into(),
        room_expression: None,
        room_type: RoomType::Text,
        changes: Vec::new(),
        journal: None,
        columns: Vec::new(),
        payload_columns: None,
        id_sequence_oid: 1,
        time_column: None,
        bell_oid: 1,
        never_ring: false,
        epoch: 1,
        start_id: 0,
        sequence_filenode: 1,
        revision: 0,
        ordinal: 1,
    };
    let limits = SourceLimits {
        hub: HubLimits {
            ring: RingLimits { events: 1, bytes: 1 },
            total_bytes: 1,
            linger: Duration::ZERO,
        },
        reads: ReadLimits {
            event_bytes: 1,
            page_bytes: 1,
        },
        replays_at_once: 1,
        waiting_replays: 1,
    };
    let database = Database::unconnected("postgres://nobody@127.0.0.1:1/none").unwrap();
    LiveSource::new(database, definition, limits, &Metrics::new())
}

/// Leases and the queue of their questions.
struct Scene {
    register: Arc<Register>,
    messages: Arc<LiveSource>,
    queue: Queue,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self {
            register: Arc::default(),
            messages: source("messages"),
            queue: Queue::default(),
            now: Instant::now(),
        }
    }

    /// A lease of the bearer of `claims` for rooms of a source.
    fn lease_of(&self, source: &Arc<LiveSource>, claims: &str, rooms: &[&str]) -> Lease {
        let access = Access {
            subject: None,
            claims: Some(claims.into()),
            expires_at: None,
            read: Rooms::all(),
            publish: Rooms::default(),
            via: Via::Token,
        };
        let rooms: Vec<Room> = rooms.iter().map(|room| Room::canonical(room)).collect();
        self.register.lease(&access, source, &rooms)
    }

    fn lease(&self, claims: &str, rooms: &[&str]) -> Lease {
        self.lease_of(&self.messages, claims, rooms)
    }

    /// So many leases, each of another bearer, for the same room.
    fn crowd(&self, room: &str, count: usize) -> Vec<Lease> {
        let one = |number| self.lease(&format!("{room} {number}"), &[room]);
        (0..count).map(one).collect()
    }

    /// Lets the questions about a room wait; those about every room for `None`.
    fn add(&mut self, room: Option<&str>, haste: Haste) {
        let questions = self.register.questions(|_, _, _| Some(()));
        let mut questions: Vec<(QuestionKey, Question)> = questions
            .into_iter()
            .map(|(key, ((), question))| (key, question))
            .filter(|(_, question)| room.is_none_or(|room| question.room.as_str() == room))
            .collect();
        questions.sort_by_key(|(key, question)| (key.source(), question.claims.clone()));
        for (key, question) in questions {
            self.queue.add(key, haste, question);
        }
    }

    fn take(&mut self) -> Option<Batch> {
        self.queue.take(self.now)
    }

    fn taken(&mut self) -> Batch {
        self.take().expect("a batch")
    }

    fn back(&mut self, batch: Batch, came: Came) {
        self.queue.back(batch, came, self.now);
    }

    /// All that can be asked at this moment.
    fn all(&mut self) -> Vec<Batch> {
        std::iter::from_fn(|| self.take()).collect()
    }

    fn advance(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }
}

fn claims(batch: &Batch) -> Vec<&str> {
    batch.questions().map(|question| &*question.claims).collect()
}

fn rooms(batches: &[Batch]) -> Vec<&str> {
    let first = |batch: &Batch| batch.questions().next().map(|question| question.room.clone());
    let rooms: Vec<Room> = batches.iter().filter_map(first).collect();
    ["turn", "all", "named"]
        .into_iter()
        .flat_map(|name| {
            rooms
                .iter()
                .filter(move |room| room.as_str() == name)
                .map(move |_| name)
        })
        .collect()
}

fn has_ended(lease: &mut Lease) -> bool {
    use futures_util::FutureExt;
    lease.ended().now_or_never().is_some()
}

#[test]
fn leases_of_one_room_and_token_are_asked_about_once_and_end_together() {
    let mut scene = Scene::new();
    let mut leases: Vec<Lease> = (0..600).map(|_| scene.lease("ada", &["a", "b"])).collect();
    let mut other = scene.lease("bob", &["a"]);
    scene.add(Some("a"), Haste::Room);
    let batch = scene.taken();
    assert_eq!(claims(&batch), ["ada", "bob"]);
    batch.questions().next().unwrap().revoke();
    assert!(leases.iter_mut().all(has_ended) && !has_ended(&mut other));
}

#[test]
fn rooms_tokens_and_sources_are_questions_of_their_own() {
    let mut scene = Scene::new();
    let orders = source("orders");
    let _leases = [
        scene.lease("ada", &["a", "b"]),
        scene.lease("bob", &["a"]),
        scene.lease_of(&orders, "ada", &["a"]),
    ];
    scene.add(None, Haste::All);
    let batches = scene.all();
    let mut sizes: Vec<usize> = batches.iter().map(|batch| batch.questions().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 3], "those of one source go together");
}

#[test]
fn a_batch_has_a_bound() {
    let mut scene = Scene::new();
    let _leases = scene.crowd("a", 2 * BATCH + 1);
    scene.add(None, Haste::Room);
    let first = scene.taken();
    let second = scene.taken();
    assert_eq!(
        (first.questions().len(), second.questions().len()),
        (BATCH, BATCH)
    );
    scene.back(first, Came::Through(BATCH));
    assert_eq!(scene.taken().questions().len(), 1);
}

#[test]
fn a_call_that_names_a_room_waits_for_no_other_and_no_turn() {
    let mut scene = Scene::new();
    let _leases = ["turn", "all", "named"].map(|room| scene.crowd(room, 5 * BATCH));
    scene.add(Some("turn"), Haste::Turn);
    scene.add(Some("all"), Haste::All);
    let before = scene.all();
    assert_eq!(rooms(&before), ["all", "all"]);
    scene.add(Some("named"), Haste::Room);
    assert_eq!(rooms(&scene.all()), ["named"]);
}

#[test]
fn calls_that_name_rooms_leave_something_to_the_others() {
    let mut scene = Scene::new();
    let _leases = ["turn", "named"].map(|room| scene.crowd(room, 5 * BATCH));
    scene.add(Some("named"), Haste::Room);
    assert_eq!(rooms(&scene.all()), ["named", "named"]);
    scene.add(Some("turn"), Haste::Turn);
    assert_eq!(rooms(&scene.all()), ["turn"]);
}

#[test]
fn turns_have_one_at_a_time() {
    let mut scene = Scene::new();
    let _leases = scene.crowd("turn", 5 * BATCH);
    scene.add(None, Haste::Turn);
    assert_eq!(scene.all().len(), 1);
}

#[test]
fn a_question_stands_in_the_most_urgent_line_once() {
    let mut scene = Scene::new();
    let _lease = scene.lease("ada", &["a"]);
    for haste in [Haste::Turn, Haste::Room, Haste::All, Haste::Turn, Haste::Room] {
        scene.add(None, haste);
    }
    let batch = scene.taken();
    assert!(scene.take().is_none());
    // Of a turn it would be given up.
    scene.back(batch, Came::Stuck);
    scene.advance(200);
    assert!(scene.take().is_some());
    assert!(scene.take().is_none());
}

#[test]
fn what_is_called_for_while_it_is_asked_is_asked_again_of_all_its_leases() {
    let mut scene = Scene::new();
    let mut first = scene.lease("ada", &["a"]);
    for came in [Came::Through(0), Came::Stuck, Came::Nowhere] {
        scene.add(None, Haste::Room);
        let under_way = scene.taken();
        let mut second = scene.lease("ada", &["a"]);
        scene.add(None, Haste::Room);
        scene.back(under_way, came);
        scene.advance(1_000);
        let batch = scene.taken();
        assert_eq!(batch.questions().next().unwrap().leases(), 2, "{came:?}");
        assert!(!has_ended(&mut first) && !has_ended(&mut second));
        scene.back(batch, Came::Through(1));
    }
}

#[test]
fn what_has_no_answer_yet_is_asked_at_once_before_what_came_later() {
    let mut scene = Scene::new();
    let _leases = ["1", "2", "3"].map(|claims| scene.lease(claims, &["a"]));
    scene.add(None, Haste::Room);
    let batch = scene.taken();
    let _later = scene.lease("0", &["b"]);
    scene.add(Some("b"), Haste::Room);
    scene.back(batch, Came::Through(1));
    assert_eq!(claims(&scene.taken()), ["2", "3", "0"]);
}

#[test]
fn what_is_stuck_is_asked_alone_at_growing_intervals_until_it_is_answered() {
    let mut scene = Scene::new();
    let _leases = ["1", "2"].map(|claims| scene.lease(claims, &["a"]));
    scene.add(None, Haste::Room);
    let batch = scene.taken();
    scene.back(batch, Came::Stuck);
    let batch = scene.taken();
    assert_eq!(claims(&batch), ["2"], "it does not wait for the other");
    scene.back(batch, Came::Through(1));
    let _later = scene.lease("3", &["a"]);
    for pause in [200, 400, 800, 1_000, 1_000] {
        assert_eq!(
            scene.queue.wakes_at(),
            Some(scene.now + Duration::from_millis(pause))
        );
        scene.advance(pause - 1);
        assert!(scene.take().is_none(), "{pause}");
        scene.advance(1);
        let batch = scene.taken();
        assert_eq!(claims(&batch), ["1"]);
        scene.back(batch, Came::Stuck);
    }
    // A call does not let it wait, and nobody waits for it.
    scene.add(None, Haste::Room);
    let batches = scene.all();
    let all: Vec<_> = batches.iter().map(claims).collect();
    assert!(all.contains(&vec!["1"]), "{all:?}");
    for batch in batches {
        let done = batch.questions().len();
        scene.back(batch, Came::Through(done));
    }
    scene.advance(10_000);
    assert!(scene.take().is_none() && scene.queue.wakes_at().is_none());
}

#[test]
fn a_turn_that_is_stuck_waits_for_the_next_turn() {
    let mut scene = Scene::new();
    let _lease = scene.lease("ada", &["a"]);
    for came in [Came::Stuck, Came::Nowhere] {
        scene.add(None, Haste::Turn);
        let batch = scene.taken();
        scene.back(batch, came);
        scene.advance(10_000);
        assert!(scene.take().is_none(), "{came:?}");
    }
}

#[test]
fn while_the_database_is_away_nothing_is_asked_but_now_and_then() {
    let mut scene = Scene::new();
    let _leases = scene.crowd("a", 3 * BATCH);
    scene.add(None, Haste::Room);
    for pause in [200, 400, 800, 1_000, 1_000] {
        let batch = scene.taken();
        scene.back(batch, Came::Nowhere);
        assert_eq!(
            scene.queue.wakes_at(),
            Some(scene.now + Duration::from_millis(pause))
        );
        scene.advance(pause - 1);
        assert!(scene.take().is_none(), "{pause}");
        scene.advance(1);
    }
    let mut asked = 0;
    while let Some(batch) = scene.take() {
        asked += batch.questions().len();
        scene.back(batch, Came::Through(BATCH));
    }
    assert_eq!(asked, 3 * BATCH, "none of them was lost");
}

#[test]
fn nobody_is_asked_about_who_is_gone() {
    let mut scene = Scene::new();
    let [gone, here] = ["1", "2"].map(|claims| scene.lease(claims, &["a"]));
    scene.add(None, Haste::Room);
    drop(gone);
    let batch = scene.taken();
    assert_eq!(claims(&batch), ["2"]);
    scene.back(batch, Came::Stuck);
    drop(here);
    scene.advance(1_000);
    assert!(scene.take().is_none() && scene.queue.wakes_at().is_none());
}

#[test]
fn every_question_is_in_one_share_of_the_interval() {
    let scene = Scene::new();
    let _leases = scene.crowd("a", 1_000);
    let shares: Vec<usize> = (0..16)
        .map(|share| {
            let picked = scene
                .register
                .questions(|_, _, key| (key.share(16) == share).then_some(()));
            picked.len()
        })
        .collect();
    assert_eq!(shares.iter().sum::<usize>(), 1_000);
    assert!(
        shares.iter().all(|share| (20..=130).contains(share)),
        "{shares:?}"
    );
}
