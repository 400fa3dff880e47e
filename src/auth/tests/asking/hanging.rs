//! A room whose statement hangs, and who waits for it.

use super::*;

/// The room and how many questions of a batch, which are all about it.
fn about(batch: &Batch) -> (&str, usize) {
    let mut rooms = batch.questions().map(|question| question.room.as_str());
    let room = rooms.next().expect("a question");
    assert!(rooms.all(|other| other == room));
    (room, batch.questions().len())
}

impl Scene {
    /// A call that names a room, whose questions are all put at once now. They are answered.
    fn is_answered_at_once(&mut self, room: &str) {
        self.add(Some(room), Haste::Room);
        let batch = self.taken();
        let (asked, questions) = about(&batch);
        assert_eq!(asked, room);
        self.back(batch, Came::Through(questions));
    }

    /// The turns of this many batches, of which those about `big` hang. A call about `small` is answered within each.
    fn while_big_hangs(&mut self, rounds: usize) {
        let mut hanging = Vec::new();
        for _ in 0..rounds {
            hanging.extend(self.all());
            assert_eq!(hanging.len(), 1, "no more than one asker has what hangs");
            self.is_answered_at_once("small");
            for batch in hanging.drain(..) {
                assert_eq!(about(&batch).0, "big");
                self.back(batch, Came::Stuck(0));
            }
            self.is_answered_at_once("small");
            self.advance(2_000);
        }
    }
}

#[test]
fn a_room_that_hangs_holds_up_no_other_from_the_first_time_on() {
    let mut scene = Scene::new();
    let _big = scene.crowd("big", 40);
    let _small = scene.crowd("small", 2);
    scene.add(Some("big"), Haste::Room);
    scene.while_big_hangs(100);
}

#[test]
fn nor_does_it_with_more_questions_than_go_into_one_batch() {
    let mut scene = Scene::new();
    let _big = scene.crowd("big", 5 * BATCH);
    let _small = scene.crowd("small", 2);
    scene.add(Some("big"), Haste::Room);
    scene.while_big_hangs(20);
}

#[test]
fn nor_does_it_where_it_is_called_for_again_and_again() {
    let mut scene = Scene::new();
    let _big = scene.crowd("big", 40);
    let _small = scene.crowd("small", 2);
    for _ in 0..20 {
        scene.add(Some("big"), Haste::Room);
        scene.while_big_hangs(1);
    }
}

#[test]
fn what_hangs_leaves_an_asker_to_who_is_called_for_beside_a_turn_and_a_call_for_all() {
    for haste in [Haste::Turn, Haste::All] {
        let mut scene = Scene::new();
        let _leases = ["big", "small", "other"].map(|room| scene.crowd(room, 5 * BATCH));
        scene.add(Some("big"), Haste::Room);
        let batch = scene.taken();
        scene.back(batch, Came::Stuck(0));
        scene.add(Some("other"), haste);
        let under_way = scene.all();
        assert_eq!(under_way.len(), 2, "{haste:?}");
        scene.is_answered_at_once("small");
    }
}

#[test]
fn what_hangs_is_asked_where_an_asker_is_left_for_others() {
    let mut scene = Scene::new();
    let _leases = ["big", "1", "2", "3"].map(|room| scene.crowd(room, 1));
    scene.add(Some("big"), Haste::Room);
    let batch = scene.taken();
    scene.back(batch, Came::Stuck(0));
    let mut under_way = Vec::new();
    for room in ["1", "2"] {
        scene.add(Some(room), Haste::Room);
        under_way.extend(scene.all());
    }
    scene.advance(200);
    assert!(under_way.len() == 2 && scene.take().is_none());
    scene.back(under_way.remove(0), Came::Through(1));
    assert_eq!(about(&scene.taken()), ("big", 1));
    scene.is_answered_at_once("3");
}

/// They were in one transaction, so that the other had no answer either.
#[test]
fn who_stood_behind_what_hangs_goes_before_it() {
    for line in [Haste::Room, Haste::All] {
        let mut scene = Scene::new();
        let _big = scene.crowd("big", 40);
        let _small = scene.crowd("small", 2);
        scene.add(Some("big"), line);
        scene.add(Some("small"), line);
        let batch = scene.taken();
        assert_eq!(batch.questions().len(), 42);
        scene.back(batch, Came::Stuck(0));
        let batch = scene.taken();
        assert_eq!(about(&batch), ("small", 2), "{line:?}");
        scene.back(batch, Came::Through(2));
        assert_eq!(about(&scene.taken()), ("big", 39));
    }
}

/// The two seconds were over because there were many before it, or because it hangs: it is asked once more to know.
#[test]
fn a_batch_that_came_half_way_goes_on_beside_the_fresh() {
    let mut scene = Scene::new();
    let _big = scene.crowd("big", 40);
    let _small = scene.crowd("small", 2);
    scene.add(Some("big"), Haste::Room);
    let mut left = 40;
    while left > 0 {
        let batch = scene.taken();
        assert_eq!(about(&batch), ("big", left));
        scene.is_answered_at_once("small");
        let answered = left.min(3);
        let came = match left == answered {
            true => Came::Through(answered),
            false => Came::Stuck(answered),
        };
        scene.back(batch, came);
        left -= answered;
    }
    assert!(scene.take().is_none() && scene.queue.wakes_at().is_none());
}

#[test]
fn who_was_answered_is_trusted_again() {
    let mut scene = Scene::new();
    let _lease = scene.lease("ada", &["big"]);
    scene.add(None, Haste::Room);
    let batch = scene.taken();
    scene.back(batch, Came::Stuck(0));
    scene.advance(200);
    let batch = scene.taken();
    assert!(batch.is_doubted());
    scene.back(batch, Came::Through(1));
    scene.add(None, Haste::Room);
    assert!(!scene.taken().is_doubted());
}

#[test]
fn a_turn_takes_no_call_out_of_its_line() {
    let mut scene = Scene::new();
    let _lease = scene.lease("ada", &["big"]);
    scene.add(None, Haste::Room);
    let under_way = scene.taken();
    scene.add(None, Haste::Turn);
    scene.back(under_way, Came::Stuck(0));
    // Of a turn it would be given up now.
    let batch = scene.taken();
    scene.back(batch, Came::Stuck(0));
    scene.advance(1_000);
    assert!(scene.take().is_some());
}
