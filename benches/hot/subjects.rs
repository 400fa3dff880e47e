//! The hot functions, each as one operation that can be repeated as often as one likes.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::BytesMut;
use rowcast::cursor::{Cursor, CursorText, IdRange, OpenSet, Resume};
use rowcast::event::{self, Row, RowBody};
use rowcast::hub::{Hub, HubLimits, Joined, Pull, RingLimits, Subscriber};
use rowcast::room::Room;
use tokio::runtime::Runtime;

/// An operation with what it works on.
type Operation = Box<dyn FnMut()>;

/// Of the room that rows are published to.
const SUBSCRIBERS: usize = 1_000;
/// So many are woken at once (`hub::walks`).
const FEW: usize = 64;

const EPOCH: i64 = 4_711;

/// A name, and how to make the operation ready.
pub struct Subject {
    pub name: &'static str,
    pub ready: fn() -> Operation,
}

pub const SUBJECTS: [Subject; 12] = [
    subject("cursor printed, no gaps", || printed(0)),
    subject("cursor printed, 20 gaps", || printed(20)),
    subject("cursor parsed, no gaps", || parsed(0)),
    subject("cursor parsed, 20 gaps", || parsed(20)),
    subject("open set, 20 gaps: next id seen", next_seen),
    subject("open set, 20 gaps: is subset", is_subset),
    subject("open set, 20 gaps: intersection", intersection),
    subject("open set, 20 gaps: union", union),
    subject("frame of a row of 200 B", frame),
    subject("row published, 1,000 wait (and wait again)", published),
    subject("pull and frames of 1 row", || pulled(1)),
    subject("pull and frames of 100 rows", || pulled(100)),
];

const fn subject(name: &'static str, ready: fn() -> Operation) -> Subject {
    Subject { name, ready }
}

/// Everything to a million but so many single ids, ten apart, the newest of which is 5 below.
fn open_set(gaps: i64) -> OpenSet {
    let high = 1_000_000;
    let gap = |nth| {
        let id = high - 5 - 10 * nth;
        IdRange { low: id, high: id }
    };
    OpenSet::new(high, (0..gaps).map(gap))
}

fn printed(gaps: i64) -> Operation {
    let cursor = Cursor {
        epoch: EPOCH,
        open: open_set(gaps),
    };
    Box::new(move || {
        black_box(black_box(&cursor).to_string());
    })
}

fn parsed(gaps: i64) -> Operation {
    let cursor = Cursor {
        epoch: EPOCH,
        open: open_set(gaps),
    };
    let text = cursor.to_string();
    Box::new(move || {
        let _ = black_box(Resume::parse(black_box(&text)));
    })
}

fn next_seen() -> Operation {
    let mut open = open_set(20);
    Box::new(move || {
        let next = open.high() + 1;
        black_box(open.remove(black_box(next)));
    })
}

fn is_subset() -> Operation {
    let (all, some) = (open_set(20), open_set(10));
    Box::new(move || {
        black_box(black_box(&some).is_subset(black_box(&all)));
    })
}

fn intersection() -> Operation {
    let (one, other) = (open_set(20), open_set(10));
    Box::new(move || {
        black_box(black_box(&one).intersection(black_box(&other)));
    })
}

fn union() -> Operation {
    let (one, other) = (open_set(20), open_set(10));
    Box::new(move || {
        black_box(black_box(&one).union(black_box(&other)));
    })
}

/// As PostgreSQL's `row_to_json` has it.
fn row(id: i64) -> Row {
    let text = format!("{{\"id\":{id},\"room\":\"1\",\"body\":\"{}\"}}", "x".repeat(200));
    Row::inserted(id, Some(Room::canonical("1")), RowBody::Json(text))
}

fn frame() -> Operation {
    let (open, row, room) = (open_set(0), row(1_000_001), Room::canonical("1"));
    let mut out = BytesMut::with_capacity(1_024);
    Box::new(move || {
        out.clear();
        let position = CursorText {
            epoch: EPOCH,
            open: &open,
        };
        black_box(event::write_frame(&mut out, position, |out| {
            event::write_json(out, Some(row.id), &room, black_box(&row));
        }));
    })
}

/// A hub with a tail that stands at the millionth row, and subscribers of its one room.
struct Crowd {
    hub: Arc<Hub>,
    subscribers: Vec<Subscriber>,
    open: OpenSet,
    /// The number of the newest delivery.
    number: u64,
    walk: Pin<Box<dyn Future<Output = ()>>>,
    /// For the walk's clock, which stands still: none of it takes any time, and nobody rests.
    runtime: Runtime,
}

impl Crowd {
    fn of(subscribers: usize) -> Self {
        let ring = RingLimits {
            events: 1_000,
            bytes: 1 << 20,
        };
        let hub = Hub::new(HubLimits {
            ring,
            total_bytes: 64 << 20,
            linger: Duration::from_secs(60),
        });
        let open = open_set(0);
        hub.restart(EPOCH, open.clone());
        let room = Room::canonical("1");
        let enter = |_| Subscriber::new(hub.clone(), std::slice::from_ref(&room));
        let subscribers: Vec<Subscriber> = (0..subscribers).map(enter).collect();
        let Joined::At { present, .. } = subscribers[0].join() else {
            unreachable!("the hub was restarted");
        };
        let walked = hub.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Self {
            hub,
            subscribers,
            open,
            number: present.number,
            walk: Box::pin(async move { walked.walk().await }),
            runtime: runtime
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a clock needs nothing"),
        }
    }

    /// Until all are woken.
    fn walk(&mut self) {
        let _clock = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        // It comes back after each few.
        for _ in 0..=self.subscribers.len() / FEW + 1 {
            assert!(self.walk.as_mut().poll(&mut context).is_pending());
        }
    }

    fn publish(&mut self, row: &mut Row) {
        row.id = self.open.high() + 1;
        self.open.remove(row.id);
        let open = &self.open;
        self.hub.publish(|publication| {
            publication.deliver(row, open);
            open.clone()
        });
        self.number += 1;
    }
}

/// Wakes all by a walk, each of whom then finds that it is up to date.
fn published() -> Operation {
    let mut crowd = Crowd::of(SUBSCRIBERS);
    let mut row = row(0);
    Box::new(move || {
        let mut context = Context::from_waker(Waker::noop());
        crowd.publish(&mut row);
        crowd.walk();
        for subscriber in &mut crowd.subscribers {
            let _ = black_box(subscriber.poll_news(&mut context, crowd.number));
        }
    })
}

fn pulled(rows: u64) -> Operation {
    let mut crowd = Crowd::of(1);
    let after = crowd.number;
    let mut row = row(0);
    (0..rows).for_each(|_| crowd.publish(&mut row));
    Box::new(move || {
        let Pull::Pieces { first, rest } = crowd.subscribers[0].pull(black_box(after)) else {
            unreachable!("there are rows behind it");
        };
        for piece in [first].iter().chain(&rest) {
            black_box(piece.segment.frames(piece.run.clone()));
        }
    })
}
