//! The routes over real feeds whose table a test keeps in memory. (`event_stream` and `sockets` need not even that.)

mod browsers;
mod code;
mod event_stream;
mod firehose;
mod hosts;
mod limits;
mod lines;
mod polls;
mod publish;
mod routes;
mod sockets;
mod streams;
mod table;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::auth::Gate;
use crate::cursor::OpenSet;
use crate::event::{Row, RowBody};
use crate::hub::{HubLimits, RingLimits};
use crate::metrics::{SourceMetrics, Subscriber, Transport};
use crate::pg::Database;
use crate::pg::bell::ListenStatus;
use crate::pg::source::Source;
use crate::pg::store::ReadLimits;
use crate::relay::{LiveSource, SourceLimits};
use crate::room::{Room, RoomType};
use crate::tail;
use openapi::tests::has_problem;
use table::MemoryTable;

const SSE: (&str, &str) = ("accept", "text/event-stream");
const NDJSON: (&str, &str) = ("accept", "application/x-ndjson");
const ROOM: &str = "/v1/rooms/42/events";
const GLOBAL: Duration = Duration::from_secs(10);

/// A relay with the sources `messages` (rooms are text, epoch 7) and `numbers` (rooms are integers), and its router.
pub(super) struct App {
    relay: Arc<Relay>,
    /// `messages`.
    source: Arc<LiveSource>,
    table: Arc<MemoryTable>,
    drain: Drain,
    /// As in paths: with a slash before it, and none behind.
    base_path: String,
    router: Router,
}

impl App {
    pub(super) fn new() -> Self {
        Self::with(HttpSettings {
            allow_publish: true,
            ..HttpSettings::default()
        })
    }

    pub(super) fn with(settings: HttpSettings) -> Self {
        Self::wrapped(settings, |routes| routes)
    }

    fn wrapped(settings: HttpSettings, wrap: impl FnOnce(Router) -> Router) -> Self {
        Self::built(settings, limits(), wrap)
    }

    fn built(settings: HttpSettings, limits: SourceLimits, wrap: impl FnOnce(Router) -> Router) -> Self {
        let drain = Drain::new(Duration::from_millis(50));
        let draining = drain.clone();
        let listening = watch::Sender::new(ListenStatus::Up {
            last_round_trip: Instant::now(),
        });
        let relay = Arc::new(Relay::new(None, listening.subscribe(), move || {
            draining.is_started()
        }));
        let table = Arc::new(MemoryTable::default());
        let source = source("messages", RoomType::Text, table.clone(), limits);
        relay.insert(source.clone());
        relay.insert(self::source("numbers", RoomType::Int, Arc::default(), limits));
        let base_path = settings.base_path.trim_end_matches('/').to_owned();
        let router = router(
            relay.clone(),
            Arc::new(Gate::open()),
            settings,
            drain.clone(),
            wrap,
        );
        Self {
            relay,
            source,
            table,
            drain,
            base_path,
            router,
        }
    }

    /// Rows of room 42 with these ids: into the table, then past the tail.
    fn commit(&self, ids: impl IntoIterator<Item = i64>) {
        self.commit_to("42", ids);
    }

    fn commit_to(&self, room: &str, ids: impl IntoIterator<Item = i64>) {
        let rows: Vec<Row> = ids.into_iter().map(|id| row(room, id)).collect();
        self.table.insert(&rows);
        let high = rows.last().expect("at least one").id;
        self.source.hub().publish(|publication| {
            rows.iter()
                .for_each(|row| publication.deliver(row, &OpenSet::above(row.id)));
            OpenSet::above(high)
        });
    }

    /// Waits until someone listens to a room.
    async fn subscribed(&self) {
        let listening = async {
            while self.source.hub().population().1 == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(GLOBAL, listening)
            .await
            .expect("somebody subscribes");
    }

    pub(super) async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap());
        let answer = async {
            tokio::select! {
                answer = answer => answer.unwrap(),
                () = self.source.control().answer_all() => unreachable!("it goes on for ever"),
            }
        };
        tokio::time::timeout(GLOBAL, answer)
            .await
            .expect("an answer in time")
    }

    pub(super) async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Response {
        self.send(Method::GET, uri, headers, Body::empty()).await
    }

    /// The ids, cursor and `more` of a JSON answer about [`ROOM`].
    async fn poll(&self, query: &str, headers: &[(&str, &str)]) -> (Vec<i64>, String, bool) {
        let response = self.get(&format!("{ROOM}?{query}"), headers).await;
        assert_eq!(response.status(), 200, "{query}");
        page(response).await
    }

    /// The status and code of the problem that a request ends in, which the description must have for it.
    async fn problem(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let response = self.send(method.clone(), uri, headers, body.to_owned()).await;
        let status = response.status().as_u16();
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{uri}"
        );
        let problem = body_json(response).await;
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        let code = problem["code"].as_str().unwrap().to_owned();
        if let Some(path) = uri.strip_prefix(&self.base_path) {
            assert!(
                has_problem(&method, path, status, &code),
                "{method} {uri}: {status} {code} is not described (src/http/openapi)"
            );
        }
        (status, code)
    }
}

fn source(name: &str, room_type: RoomType, table: Arc<MemoryTable>, limits: SourceLimits) -> Arc<LiveSource> {
    let definition = Source {
        name: name.into(),
        relation: format!("\"public\".\"{name}\""),
        relation_oid: 1,
        id_column: Some("\"id\"".into()),
        room_column: "\"room\"".into(),
        room_expression: None,
        room_type,
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
    let database = Database::unconnected("postgres://nobody@127.0.0.1:1/none").expect("a URL");
    let live = LiveSource::new(database, definition, limits, &Metrics::new());
    live.use_table(table);
    live.hub().restart(7, OpenSet::above(0));
    live.control().set_state(tail::State::Following);
    live
}

/// A subscriber of a source that nobody looks at.
fn counted() -> Subscriber {
    SourceMetrics::new(&Metrics::new(), "messages").subscriber(Transport::Sse)
}

fn limits() -> SourceLimits {
    let ring = RingLimits {
        events: 1000,
        bytes: 1 << 20,
    };
    SourceLimits {
        hub: HubLimits {
            ring,
            total_bytes: 1 << 24,
            linger: Duration::ZERO,
        },
        reads: ReadLimits {
            event_bytes: 1 << 20,
            page_bytes: 1 << 22,
        },
        replays_at_once: 4,
        waiting_replays: 100,
    }
}

fn row(room: &str, id: i64) -> Row {
    let body = RowBody::Json(format!("{{\"n\":{id}}}"));
    Row::inserted(id, Some(Room::canonical(room)), body)
}

fn frame(id: i64) -> String {
    format!("id: 7.{id}\ndata: {}\n\n", event(id))
}

fn event(id: i64) -> String {
    format!("{{\"op\":\"insert\",\"id\":{id},\"room\":\"42\",\"row\":{{\"n\":{id}}}}}")
}

pub(super) async fn body_json(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn page(response: Response) -> (Vec<i64>, String, bool) {
    let body = body_json(response).await;
    let ids = body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_i64().unwrap())
        .collect();
    (
        ids,
        body["cursor"].as_str().unwrap().to_owned(),
        body["more"].as_bool().unwrap(),
    )
}

async fn chunk(body: &mut Body) -> String {
    let frame = tokio::time::timeout(GLOBAL, body.frame())
        .await
        .expect("a chunk in time");
    let data = frame.expect("a chunk").unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}
