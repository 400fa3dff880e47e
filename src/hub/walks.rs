//! Waking a crowd a few at a time.
//!
//! To wake thousands at once fills the runtime's queues: whoever has something else to do waits behind all of them, and each row
//! that comes meanwhile wakes those who were served first once more, before those who still wait (a worker's own queue goes
//! before the one that all share). So rooms with more subscribers than [`FEW`] are walked: so many are woken, the runtime looks
//! at its sockets, then the next, and rooms take turns. What comes while a room is walked is taken along by those who are not
//! reached yet; the others are reached by the walk that follows. A walk waits for no socket: a slow one delays nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Hub;
use super::room_cell::RoomCell;

/// So many are woken in one go: about as many tasks as tokio runs between two looks at its sockets (61), and no more than fit
/// into a worker's own queue (256).
pub(super) const FEW: usize = 64;

/// After a walk its room rests for this part of the time that the walk took. Without a pause there is always somebody who is
/// written a row or two: all cores are busy with small writes, those who read them starve, and nobody is prompt. A longer one
/// delays rows for nothing. Measured, with other values, in docs/performance.md ("Walks").
const REST_PART: u32 = 4;
/// Timers go by the millisecond: a shorter rest would become one of two.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// A process that was stopped for a while did not walk meanwhile.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// What is to be done next about a room that is walked.
#[derive(Debug)]
pub(super) enum Turn {
    /// Its next few are to be woken when it is its turn again.
    Again,
    /// A walk is over, but something was announced meanwhile, or may be: the next begins then at the earliest.
    RestUntil(Instant),
    /// All are told.
    Over,
}

/// The rooms that are being walked.
#[derive(Debug, Default)]
pub(super) struct Walks {
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order of their turns.
    rooms: VecDeque<Arc<RoomCell>>,
    /// Each until then; in no order, there are few.
    resting: Vec<(Instant, Arc<RoomCell>)>,
    /// Nothing is announced any more.
    is_closed: bool,
}

impl Queue {
    /// Those who have rested long enough take their turns.
    fn wake_up(&mut self, now: Instant) {
        let mut at = 0;
        while let Some((until, _)) = self.resting.get(at) {
            if *until <= now || self.is_closed {
                let (_, room) = self.resting.swap_remove(at);
                self.rooms.push_back(room);
            } else {
                at += 1;
            }
        }
    }
}

impl Walks {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }

    /// A room whose crowd is to be woken; it is not in the queue.
    pub(super) fn add(&self, room: Arc<RoomCell>) {
        self.lock().rooms.push_back(room);
        self.news.notify_one();
    }

    /// What is in the queue is still walked.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    /// The room whose turn it is; `None` once closed.
    async fn next(&self) -> Option<Arc<RoomCell>> {
        loop {
            let rested = {
                let mut queue = self.lock();
                queue.wake_up(Instant::now());
                let next = queue.rooms.pop_front();
                if next.is_some() || queue.is_closed {
                    return next;
                }
                queue.resting.iter().map(|(until, _)| *until).min()
            };
            let rest = async {
                match rested {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.news.notified() => {}
                () = rest => {}
            }
        }
    }
}

impl Hub {
    /// Tells a room of delivery `number`.
    pub(super) fn announce(&self, room: &Arc<RoomCell>, number: u64) {
        if room.announce(number) {
            self.walks.add(room.clone());
        }
    }

    /// Wakes the crowds of large rooms, as long as there is something to tell them. To be run once beside the tail, which
    /// does without it for rooms of up to 64 subscribers. Completes when the hub is closed and all have been told; loses
    /// nothing but time when it is dropped earlier.
    pub async fn walk(&self) {
        while let Some(room) = self.walks.next().await {
            match room.wake_few(Instant::now()) {
                Turn::Again => self.walks.lock().rooms.push_back(room),
                Turn::RestUntil(until) => self.walks.lock().resting.push((until, room)),
                Turn::Over => {}
            }
            tokio::task::yield_now().await;
        }
    }
}

/// How long a room rests from a walk that took `took`; `None`: not at all.
pub(super) fn rest_after(took: Duration) -> Option<Duration> {
    let rest = (took / REST_PART).min(LONGEST_REST);
    (rest >= SHORTEST_REST).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake};

    use crate::hub::fixtures::{enter, hub, publish};
    use crate::hub::{Pull, Subscriber};

    use super::*;

    const CROWD: usize = 3 * FEW + 1;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A room whose subscribers wait, each with a count of how often it was woken.
    struct Crowded {
        hub: Arc<Hub>,
        members: Vec<(Subscriber, Arc<Woken>)>,
        number: u64,
    }

    impl Crowded {
        fn new(size: usize) -> Self {
            let hub = hub(100);
            let members = (0..size).map(|_| (enter(&hub, "a"), Arc::default()));
            let mut crowded = Self {
                members: members.collect(),
                number: 1,
                hub,
            };
            crowded.wait_again();
            crowded
        }

        /// All who were woken take what is there and wait.
        fn wait_again(&mut self) {
            for (subscriber, woken) in &mut self.members {
                let waker = woken.clone().into();
                let mut cx = Context::from_waker(&waker);
                let news = subscriber.poll_news(&mut cx, self.number);
                assert_eq!(news, Poll::Pending);
            }
        }

        fn publish(&mut self, id: i64) {
            publish(&self.hub, "a", id..=id);
            self.number += 1;
        }

        fn woken(&self) -> Vec<usize> {
            let counts = self
                .members
                .iter()
                .map(|(_, woken)| woken.0.load(Ordering::Relaxed));
            counts.collect()
        }

        fn total(&self) -> usize {
            self.woken().iter().sum()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_woken_at_once_and_a_crowd_by_a_walk() {
        let mut few = Crowded::new(FEW);
        few.publish(1);
        assert_eq!(few.woken(), [1; FEW]);
        let mut crowd = Crowded::new(CROWD);
        crowd.publish(1);
        assert_eq!(crowd.total(), 0);
        let mut walk = std::pin::pin!(crowd.hub.walk());
        assert!(futures_util::poll!(walk.as_mut()).is_pending());
        assert_eq!(crowd.total(), FEW);
        tokio::time::timeout(Duration::from_secs(1), walk)
            .await
            .unwrap_err();
        assert_eq!(crowd.woken(), [1; CROWD]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_during_a_walk_is_another_one_after_a_rest() {
        let mut crowd = Crowded::new(CROWD);
        crowd.publish(1);
        let hub = crowd.hub.clone();
        let mut walk = std::pin::pin!(hub.walk());
        assert!(futures_util::poll!(walk.as_mut()).is_pending());
        tokio::time::advance(Duration::from_millis(40)).await;
        crowd.publish(2);
        crowd.publish(3);
        for _ in 0..CROWD {
            assert!(futures_util::poll!(walk.as_mut()).is_pending());
        }
        assert_eq!(crowd.woken(), [1; CROWD], "it took 40 ms and rests for 10");
        tokio::time::advance(Duration::from_millis(9)).await;
        assert!(futures_util::poll!(walk.as_mut()).is_pending());
        assert_eq!(crowd.total(), CROWD);
        tokio::time::timeout(Duration::from_secs(1), walk)
            .await
            .unwrap_err();
        assert_eq!(crowd.woken(), [2; CROWD], "one walk for both rows");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_shrinks_to_few_is_woken_at_once() {
        let mut crowd = Crowded::new(FEW + 1);
        crowd.members.pop();
        crowd.publish(1);
        assert_eq!(crowd.woken(), [1; FEW]);
    }

    #[test]
    fn a_rest_is_a_quarter_of_the_walk_and_never_long() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(ms(3)), None);
        assert_eq!(rest_after(ms(40)), Some(ms(10)));
        assert_eq!(rest_after(Duration::from_secs(600)), Some(ms(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_room_does_not_wait_for_a_walk() {
        let mut crowd = Crowded::new(CROWD);
        let mut small = Crowded {
            members: vec![(enter(&crowd.hub, "b"), Arc::default())],
            hub: crowd.hub.clone(),
            number: 1,
        };
        small.wait_again();
        crowd.publish(1);
        publish(&crowd.hub, "b", 2..=2);
        assert_eq!((small.total(), crowd.total()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_told_of_the_end_and_the_walks_end() {
        let crowd = Crowded::new(CROWD);
        crowd.hub.close();
        let walked = tokio::time::timeout(Duration::from_secs(1), crowd.hub.walk()).await;
        assert_eq!(walked, Ok(()), "it ends");
        assert_eq!(crowd.woken(), [1; CROWD]);
        assert!(matches!(crowd.members[0].0.pull(1), Pull::Overtaken));
    }
}
