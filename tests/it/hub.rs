//! The hub and its rings against plain lists, with real threads, at their bounds, and under a crowd that comes and goes.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rowcast::cursor::OpenSet;
use rowcast::event::{Row, RowBody};
use rowcast::hub::{
    Entry, Hub, HubLimits, Joined, Piece, Position, Pull, Ring, RingLimits, Segment, Subscriber, Times,
};
use rowcast::room::Room;
use tokio::time::Instant;

use crate::support::TIMEOUT;

const AMPLE: HubLimits = HubLimits {
    ring: RingLimits {
        events: usize::MAX,
        bytes: usize::MAX,
    },
    total_bytes: usize::MAX,
    linger: Duration::ZERO,
};

fn hub(limits: HubLimits) -> Arc<Hub> {
    let hub = Hub::new(limits);
    hub.restart(7, OpenSet::above(0));
    hub
}

fn room(name: usize) -> Room {
    Room::canonical(&name.to_string())
}

/// Publishes one read of rows with these ids and rooms. The hub counts from 1 when it restarts: row `id` is delivery `id` + 1.
fn publish(hub: &Hub, rows: &[(i64, usize)]) {
    hub.publish(|publication| {
        for &(id, name) in rows {
            let body = RowBody::Json("{}".into());
            let row = Row::inserted(id, Some(room(name)), body);
            publication.deliver(&row, &OpenSet::above(id));
        }
        OpenSet::above(rows.last().map_or(0, |row| row.0))
    });
}

fn present(subscriber: &Subscriber) -> u64 {
    let Joined::At { present, .. } = subscriber.join() else {
        panic!("the hub follows")
    };
    present.number
}

/// The ids of what was pulled.
fn ids(first: Piece, rest: Vec<Piece>) -> Vec<i64> {
    let entries = |piece: Piece| {
        piece.segment.entries[piece.run]
            .iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
    };
    std::iter::once(first).chain(rest).flat_map(entries).collect()
}

fn segment(numbers: std::ops::Range<u64>, frame_bytes: usize) -> Segment {
    let count = (numbers.end - numbers.start) as usize;
    let entries = numbers.enumerate().map(|(at, number)| Entry {
        number,
        id: number as i64,
        json: at * frame_bytes..(at + 1) * frame_bytes,
        frame_end: (at + 1) * frame_bytes,
        open_after: Arc::new(OpenSet::above(number as i64)),
    });
    Segment {
        entries: entries.collect(),
        bytes: Bytes::from(vec![b'x'; count * frame_bytes]),
        times: Times::default(),
    }
}

proptest! {
    /// A push is a number of events, the deliveries to other rooms before it, and bytes of each frame.
    #[test]
    fn a_ring_is_the_end_of_the_list_of_all_its_events(
        pushes in proptest::collection::vec((1..6u64, 0..4u64, 1..40usize, 0..8u8), 1..60),
        events in 1..20usize,
        bytes in 1..400usize,
    ) {
        let limits = RingLimits { events, bytes };
        let mut ring = Ring::new(Position { number: 0, open: Arc::new(OpenSet::above(0)) });
        let mut all: Vec<u64> = Vec::new();
        let mut next = 1;
        let mut held = 0;
        for (count, skipped, frame_bytes, drops) in pushes {
            next += skipped;
            let pushed = segment(next..next + count, frame_bytes);
            held += pushed.bytes.len();
            held -= ring.push(pushed, limits);
            all.extend(next..next + count);
            next += count;
            if drops == 0 {
                held -= ring.drop_oldest();
            }
            prop_assert_eq!(ring.bytes(), held);
            prop_assert!(ring.reaches(ring.anchor().number), "the anchor is reached");
            for after in 0..next {
                let found: Vec<u64> = ring
                    .between(after, u64::MAX)
                    .flat_map(|(segment, run)| segment.entries[run].iter().map(|entry| entry.number))
                    .collect();
                let expected: Vec<u64> = all.iter().copied().filter(|&number| number > after).collect();
                if ring.reaches(after) {
                    prop_assert_eq!(found, expected);
                } else {
                    prop_assert!(expected.ends_with(&found));
                }
            }
            let kept: Vec<_> = ring.between(0, u64::MAX).collect();
            let kept_events: usize = kept.iter().map(|(_, run)| run.len()).sum();
            prop_assert!(kept.len() <= 1 || (kept_events <= events && held <= bytes), "within the limits");
        }
    }
}

/// Lets a thread sleep as a task does.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

const ROOMS: usize = 4;
const ROWS: i64 = 20_000;

/// Follows `rooms` until the last row of each has come; returns all ids.
fn follow(hub: &Arc<Hub>, rooms: &[usize]) -> Vec<i64> {
    let names: Vec<Room> = rooms.iter().map(|&name| room(name)).collect();
    let mut subscriber = Subscriber::new(hub.clone(), &names);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut after = 1;
    let mut got = Vec::new();
    let last = (0..ROWS).rev().find(|id| rooms.contains(&(*id as usize % ROOMS)));
    while got.last().copied() != last {
        match subscriber.pull(after) {
            Pull::Overtaken => panic!("this ring holds everything"),
            Pull::Pieces { first, rest } => {
                let end = rest.last().unwrap_or(&first);
                after = end.segment.entries[end.run.end - 1].number;
                got.extend(ids(first, rest));
            }
            Pull::Nothing => {
                if subscriber.poll_news(&mut cx, after).is_pending() {
                    let asleep = Instant::now();
                    thread::park_timeout(TIMEOUT);
                    assert!(
                        asleep.elapsed() < TIMEOUT,
                        "nobody woke the subscriber of {rooms:?} at {after}"
                    );
                }
            }
        }
    }
    got
}

#[test]
fn subscribers_on_threads_of_their_own_miss_no_wake_and_no_event() {
    nobody_misses_anything(1);
}

/// More than are woken at once: a crowd stays in rooms 0 and 2, which are walked, and another comes to each room in turn and goes.
#[test]
fn subscribers_of_crowded_rooms_miss_no_wake_and_no_event() {
    nobody_misses_anything(200);
}

/// Beside those who follow, `crowd` subscribers stay in each room of an even number, and as many come and go.
fn nobody_misses_anything(crowd: usize) {
    let hub = hub(AMPLE);
    let all_rooms = [&[0][..], &[1], &[2], &[3], &[0, 1], &[3, 1, 2]];
    // Rooms that nobody is in get no events: all are entered before the first read.
    let enter = |name| Subscriber::new(hub.clone(), &[room(name)]);
    let _keep: Vec<Subscriber> = (0..ROOMS)
        .flat_map(|name| (0..if name % 2 == 0 { crowd } else { 1 }).map(move |_| name))
        .map(enter)
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().build().unwrap().block_on(hub.walk());
        });
        let followers: Vec<_> = all_rooms
            .iter()
            .map(|rooms| (rooms, scope.spawn(|| follow(&hub, rooms))))
            .collect();
        let comers_and_goers = scope.spawn(|| {
            for round in 0..20_000 / crowd {
                drop((0..crowd).map(|_| enter(round % ROOMS)).collect::<Vec<_>>());
            }
        });
        let mut rng = StdRng::seed_from_u64(1);
        let mut next = 0;
        while next < ROWS {
            let end = (next + rng.random_range(1..4)).min(ROWS);
            publish(
                &hub,
                &(next..end)
                    .map(|id| (id, id as usize % ROOMS))
                    .collect::<Vec<_>>(),
            );
            next = end;
        }
        for (rooms, follower) in followers {
            let expected: Vec<i64> = (0..ROWS)
                .filter(|id| rooms.contains(&(*id as usize % ROOMS)))
                .collect();
            assert!(
                follower.join().unwrap() == expected,
                "the subscriber of {rooms:?}"
            );
        }
        comers_and_goers.join().unwrap();
        hub.close();
    });
}

/// The frames of what a subscriber finds behind a delivery, joined.
fn frames(subscriber: &Subscriber, after: u64) -> Vec<u8> {
    match subscriber.pull(after) {
        Pull::Overtaken => panic!("this ring holds everything"),
        Pull::Nothing => Vec::new(),
        Pull::Pieces { first, rest } => {
            let pieces = std::iter::once(first).chain(rest);
            let frames = pieces.map(|piece| piece.segment.frames(piece.run));
            frames.flat_map(|frames| frames.to_vec()).collect()
        }
    }
}

/// Nobody is in room 2, and no row of room 3 has a room.
#[test]
fn a_follower_of_all_rooms_gets_the_frames_that_each_room_gets_in_the_order_of_delivery() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let hub = hub(AMPLE);
        let all = Subscriber::new(hub.clone(), &[Room::all()]);
        let single = [0, 1].map(|name| Subscriber::new(hub.clone(), &[room(name)]));
        let both = Subscriber::new(hub.clone(), &[room(0), room(1)]);
        let mut expected = [const { String::new() }; 4];
        let mut id = 0;
        for _ in 0..30 {
            hub.publish(|publication| {
                for _ in 0..rng.random_range(0..5) {
                    id += 1;
                    let name = rng.random_range(0..4);
                    let json = format!("{{\"n\":\"{}\"}}", "x".repeat(rng.random_range(0..9)));
                    let event =
                        format!("{{\"op\":\"insert\",\"id\":{id},\"room\":\"{name}\",\"row\":{json}}}");
                    let frame = format!("id: 7.{id}\ndata: {event}\n\n");
                    let row = Row::inserted(id, Some(room(name)).filter(|_| name != 3), RowBody::Json(json));
                    publication.deliver(&row, &OpenSet::above(id));
                    // The last is for the followers of all rooms.
                    let to = [&[0, 3][..], &[1, 3], &[3], &[]][name];
                    to.iter().for_each(|&to| expected[to] += &frame);
                }
                OpenSet::above(id)
            });
        }
        assert_eq!(frames(&all, 1), expected[3].as_bytes(), "seed {seed}");
        for (name, subscriber) in single.iter().enumerate() {
            assert_eq!(frames(subscriber, 1), expected[name].as_bytes(), "seed {seed}");
        }
        // What is cut out of joined frames begins and ends where it should.
        let after = rng.random_range(1..=id as u64 + 1);
        assert!(expected[3].as_bytes().ends_with(&frames(&all, after)));
        assert_eq!(frames(&both, 1).len(), expected[0].len() + expected[1].len());
        assert_eq!(
            hub.ring_bytes(),
            expected.iter().take(2).map(String::len).sum::<usize>() + expected[3].len()
        );
    }
}

#[test]
fn a_read_without_contents_begins_the_ring_of_all_rooms_anew() {
    let hub = hub(AMPLE);
    let all = Subscriber::new(hub.clone(), &[Room::all()]);
    publish(&hub, &[(1, 0)]);
    hub.publish(|publication| {
        // Only rooms that somebody was in were read.
        for (id, body) in [(2, RowBody::Json("{}".to_owned())), (3, RowBody::NotRead)] {
            let row = Row::inserted(id, Some(room(id as usize)), body);
            publication.deliver(&row, &OpenSet::above(id));
        }
        OpenSet::above(3)
    });
    assert!(matches!(all.pull(1), Pull::Overtaken));
    publish(&hub, &[(4, 1)]);
    assert!(frames(&all, present(&all) - 1).starts_with(b"id: 7.4\n"));
}

#[test]
fn the_bound_over_all_rooms_holds_and_what_is_reached_is_complete() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let total_bytes = *[0, 200, 3_000].choose(&mut rng).unwrap();
        let ring = RingLimits {
            events: rng.random_range(1..30),
            bytes: rng.random_range(1..2_000),
        };
        let hub = hub(HubLimits {
            ring,
            total_bytes,
            ..AMPLE
        });
        let subscribers: Vec<_> = (0..3)
            .map(|name| Subscriber::new(hub.clone(), &[room(name)]))
            .collect();
        let both = Subscriber::new(hub.clone(), &[room(0), room(1)]);
        let all = Subscriber::new(hub.clone(), &[Room::all()]);
        let mut rows: Vec<(i64, usize)> = Vec::new();
        for _ in 0..100 {
            let read: Vec<_> = (1..=rng.random_range(1..6))
                .map(|at| (rows.len() as i64 + at, rng.random_range(0..4)))
                .collect();
            publish(&hub, &read);
            rows.extend(read);
            assert!(
                hub.ring_bytes() <= total_bytes,
                "seed {seed}: {} bytes",
                hub.ring_bytes()
            );
            let after = rng.random_range(1..=rows.len() as u64 + 1);
            for (subscriber, of) in subscribers
                .iter()
                .zip([&[0][..], &[1], &[2]])
                .chain([(&both, &[0, 1][..]), (&all, &[0, 1, 2, 3])])
            {
                assert!(
                    !matches!(subscriber.pull(present(subscriber)), Pull::Overtaken),
                    "the present is reached"
                );
                // Row `id` is delivery `id + 1`.
                let missing = rows
                    .iter()
                    .filter(|(id, name)| *id as u64 >= after && of.contains(name));
                let missing: Vec<i64> = missing.map(|row| row.0).collect();
                match subscriber.pull(after) {
                    Pull::Overtaken => {}
                    Pull::Nothing => assert!(missing.is_empty(), "seed {seed}: {missing:?}"),
                    Pull::Pieces { first, rest } => assert_eq!(ids(first, rest), missing, "seed {seed}"),
                }
            }
        }
    }
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_nothing_behind() {
    let hub = hub(AMPLE);
    for round in 0..100_000 {
        let rooms = [room(round % 5_000), room(5_000 + round % 7)];
        let subscriber = Subscriber::new(hub.clone(), &rooms);
        if round % 100 == 0 {
            publish(
                &hub,
                &[
                    (round as i64, round % 5_000),
                    (round as i64 + 1, 5_000 + round % 7),
                ],
            );
        }
        if round % 10_000 == 0 {
            hub.sweep(Instant::now());
            assert!(
                hub.population() == (2, 2),
                "only the one who is there has rooms: {:?}",
                hub.population()
            );
        }
        drop(subscriber);
    }
    assert!(hub.population().0 > 4_000 && hub.ring_bytes() > 0);
    hub.sweep(Instant::now());
    assert_eq!(
        (hub.population(), hub.ring_bytes(), hub.wanted_rooms()),
        ((0, 0), 0, Some(vec![]))
    );
}
