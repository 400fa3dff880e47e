//! No allocation per delivery: what 1,000 subscribers of a room are sent is the same bytes, handed over without a copy.
//!
//! A binary of its own, since it counts with an allocator of its own. Bodies come from the router, as a connection gets
//! them, and are polled as hyper does: for a chunk, then until there is none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::Body as _;
use rowcast::auth::Gate;
use rowcast::cursor::OpenSet;
use rowcast::event::{Row, RowBody};
use rowcast::http::{HttpSettings, router};
use rowcast::hub::{HubLimits, RingLimits};
use rowcast::metrics::Metrics;
use rowcast::pg::Database;
use rowcast::pg::bell::ListenStatus;
use rowcast::pg::source::Source;
use rowcast::pg::store::ReadLimits;
use rowcast::relay::{LiveSource, Relay, SourceLimits};
use rowcast::room::{Room, RoomType};
use rowcast::shutdown::Drain;
use rowcast::tail::State;
use tower::ServiceExt;

const SUBSCRIBERS: usize = 1_000;
const READS: usize = 20;
/// Allocations of one read at most, of ten rows or fewer: the buffer and the entries. Measured: 14 for one row, 28 for ten.
const MOST_PER_READ: u64 = 32;
/// Bytes of one subscriber at most, beside its task and its socket: its body, its timer, its place in the room. Measured: 474.
const MOST_PER_SUBSCRIBER: i64 = 512;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    /// Without a destructor and initialised by a constant, so that touching it never allocates.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes allocated and not given back.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
    hold(bytes as i64);
}

fn hold(bytes: i64) {
    HELD.with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is handed to `System` as it came, and what `System` answers is handed back; counting touches no
// memory that is allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        hold(-(layout.size() as i64));
        count(new_size);
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// As a task's waker: cloning it counts a reference.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        drop(self);
    }
}

fn source() -> Arc<LiveSource> {
    let definition = Source {
        name: "messages".into(),
        relation: "public.messages".into(),
        relation_oid: 1,
        id_column: Some("id".into()),
        room_column: "room".into(),
        room_expression: None,
        room_type: RoomType::Text,
        changes: vec!["insert".into()],
        journal: None,
        columns: Vec::new(),
        payload_columns: None,
        id_sequence_oid: 1,
        time_column: None,
        bell_oid: 1,
        never_ring: false,
        epoch: 7,
        start_id: 0,
        sequence_filenode: 1,
        revision: 0,
        ordinal: 1,
    };
    let limits = SourceLimits {
        hub: HubLimits {
            ring: RingLimits {
                events: 1000,
                bytes: 1 << 20,
            },
            total_bytes: 1 << 24,
            linger: Duration::ZERO,
        },
        reads: ReadLimits {
            event_bytes: 1 << 20,
            page_bytes: 1 << 22,
        },
        replays_at_once: 4,
        waiting_replays: 100,
    };
    let database = Database::unconnected("postgres://nobody@127.0.0.1:1/none").unwrap();
    let source = LiveSource::new(database, definition, limits, &Metrics::new());
    source.hub().restart(7, OpenSet::above(0));
    // There is no tail: nobody is to wait for its next read.
    source.control().set_state(State::Away { reason: "a test" });
    source
}

/// The bodies of subscribers of `path`, each asked until it had nothing more.
async fn subscribe(source: &Arc<LiveSource>, path: &str, cx: &mut Context<'_>) -> Vec<Body> {
    let listening = tokio::sync::watch::Sender::new(ListenStatus::Down {
        reason: "a test".into(),
    });
    let relay = Arc::new(Relay::new(None, listening.subscribe(), || false));
    relay.insert(source.clone());
    let settings = HttpSettings {
        allow_firehose: true,
        ..HttpSettings::default()
    };
    let router = router(
        relay,
        Arc::new(Gate::open()),
        settings,
        Drain::new(Duration::ZERO),
        |routes| routes,
    );
    let mut bodies = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let request = Request::get(path).header("accept", "text/event-stream");
        let answer = router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        while chunk(&mut body, cx).is_some() {}
        bodies.push(body);
    }
    bodies
}

/// The next chunk; `None` while there is none.
fn chunk(body: &mut Body, cx: &mut Context<'_>) -> Option<Bytes> {
    match Pin::new(body).poll_frame(cx) {
        Poll::Pending => None,
        Poll::Ready(frame) => Some(frame.expect("it goes on").unwrap().into_data().expect("data")),
    }
}

fn publish(source: &LiveSource, rows: &[Row]) {
    source.hub().publish(|publication| {
        rows.iter()
            .for_each(|row| publication.deliver(row, &OpenSet::above(row.id)));
        OpenSet::above(rows.last().expect("at least one").id)
    });
}

/// Publishes reads of `per_read` rows, brings each to all subscribers, and returns the most allocations of one read.
fn measure(
    source: &LiveSource,
    bodies: &mut [Body],
    cx: &mut Context<'_>,
    first_id: i64,
    per_read: usize,
) -> u64 {
    let room = Room::canonical("42");
    let mut walk = std::pin::pin!(source.hub().walk());
    let mut most = 0;
    for read in 0..READS {
        let first_id = first_id + (read * per_read) as i64;
        let rows: Vec<Row> = (first_id..first_id + per_read as i64)
            .map(|id| {
                let body = RowBody::Json(format!("{{\"body\":\"message {id}\"}}"));
                Row::inserted(id, Some(room.clone()), body)
            })
            .collect();
        let before = allocations();
        publish(source, &rows);
        // Beside the tail a task wakes them, a few at each turn.
        for _ in 0..SUBSCRIBERS {
            assert!(walk.as_mut().poll(cx).is_pending());
        }
        let mut bytes = None;
        for body in &mut *bodies {
            let sent = chunk(body, cx).expect("all rows of the read as one chunk");
            assert!(chunk(body, cx).is_none());
            let first = bytes.get_or_insert_with(|| sent.clone());
            assert_eq!(
                (sent.as_ptr(), sent.len()),
                (first.as_ptr(), first.len()),
                "the same bytes for all"
            );
        }
        most = most.max(allocations() - before);
        let text = String::from_utf8(bytes.expect("there are subscribers").to_vec()).unwrap();
        assert_eq!(text.matches("\nid: ").count() + 1, per_read, "{text}");
    }
    most
}

#[tokio::test]
async fn a_delivery_allocates_nothing() {
    deliveries_allocate_nothing("/v1/rooms/42/events").await;
}

#[tokio::test]
async fn a_delivery_of_the_firehose_allocates_nothing() {
    deliveries_allocate_nothing("/v1/events?room=*").await;
}

async fn deliveries_allocate_nothing(path: &str) {
    let source = source();
    let waker = Waker::from(Arc::new(Task));
    let mut cx = Context::from_waker(&waker);
    let mut bodies = subscribe(&source, path, &mut cx).await;
    let mut first_id = 1;
    for per_read in [1, 10] {
        // The first reads let the ring's own tables grow.
        measure(&source, &mut bodies, &mut cx, first_id, per_read);
        first_id += (READS * per_read) as i64;
        let most = measure(&source, &mut bodies, &mut cx, first_id, per_read);
        first_id += (READS * per_read) as i64;
        let per_delivery = most as f64 / (SUBSCRIBERS * per_read) as f64;
        println!(
            "{path}: {per_read} rows to {SUBSCRIBERS} subscribers: {most} allocations, {per_delivery} per delivery"
        );
        assert!(
            most <= MOST_PER_READ && per_delivery < 0.05,
            "{most} allocations for a read of {per_read} rows"
        );
    }
}

#[tokio::test]
async fn a_subscriber_is_small() {
    let source = source();
    let waker = Waker::from(Arc::new(Task));
    let mut cx = Context::from_waker(&waker);
    let before = HELD.with(Cell::get);
    let bodies = subscribe(&source, "/v1/rooms/42/events", &mut cx).await;
    let each = (HELD.with(Cell::get) - before) / SUBSCRIBERS as i64;
    println!("{each} bytes for each of {} subscribers", bodies.len());
    assert!(each <= MOST_PER_SUBSCRIBER, "{each} bytes");
}
