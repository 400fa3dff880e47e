//! The routes against a relay that says what a test scripts. (`event_stream` and `sockets` need no relay.)

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::cursor::{Cursor, OpenSet};
use crate::feed::{Batch, FeedError, ResetCode, Step};
use crate::pg::PgError;
use crate::pg::publish::PublishError;
use crate::pg::source::Source;
use crate::relay::LiveSource;
use crate::room::RoomType;

mod event_stream;
mod polls;
mod publish;
mod routes;
mod sockets;
mod streams;

const SSE: (&str, &str) = ("accept", "text/event-stream");
const ROOM: &str = "/v1/rooms/42/events";

/// A relay with the sources `messages` (rooms are text) and `numbers` (rooms are integers), and its router.
struct App {
    relay: Arc<Relay>,
    drain: Drain,
    router: Router,
}

impl App {
    fn new() -> Self {
        Self::with(HttpSettings {
            allow_publish: true,
            ..HttpSettings::default()
        })
    }

    fn with(settings: HttpSettings) -> Self {
        let mut relay = Relay::default();
        relay
            .sources
            .insert("messages".into(), source("messages", RoomType::Text));
        relay
            .sources
            .insert("numbers".into(), source("numbers", RoomType::Int));
        Self::of(relay, settings)
    }

    fn of(relay: Relay, settings: HttpSettings) -> Self {
        let relay = Arc::new(relay);
        let drain = Drain::new(Duration::from_millis(50));
        let router = router(relay.clone(), settings, drain.clone());
        Self { relay, drain, router }
    }

    fn source(&self) -> &LiveSource {
        &self.relay.sources["messages"]
    }

    fn say(&self, steps: impl IntoIterator<Item = Result<Step, FeedError>>) {
        steps.into_iter().for_each(|step| self.source().say(step));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.source().script.lock().unwrap().asked)
    }

    async fn send(
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
        self.router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap()
    }

    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Response {
        self.send(Method::GET, uri, headers, Body::empty()).await
    }

    /// The status and code of the problem that a request ends in.
    async fn problem(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let response = self.send(method, uri, headers, body.to_owned()).await;
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
        (status, problem["code"].as_str().unwrap().to_owned())
    }
}

fn source(name: &str, room_type: RoomType) -> Arc<LiveSource> {
    let definition = Source {
        name: name.into(),
        relation: format!("\"public\".\"{name}\""),
        relation_oid: 1,
        id_column: "\"id\"".into(),
        id_type: tokio_postgres::types::Type::INT8,
        room_column: "\"room\"".into(),
        room_type,
        columns: Vec::new(),
        payload_columns: None,
        id_sequence_oid: 1,
        bell_oid: 1,
        never_ring: false,
        epoch: 7,
        start_id: 0,
        sequence_filenode: 1,
        ordinal: 1,
    };
    Arc::new(LiveSource {
        definition: Arc::new(definition),
        away: false.into(),
        script: Mutex::default(),
        older: Mutex::default(),
        published: Mutex::new(VecDeque::new()),
    })
}

fn events(ids: &[i64]) -> Result<Step, FeedError> {
    Ok(Step::Events(Batch { ids: ids.to_vec() }))
}

fn at(high: i64) -> Cursor {
    Cursor {
        epoch: 7,
        open: OpenSet::above(high),
    }
}

fn ready(high: i64) -> Result<Step, FeedError> {
    Ok(Step::Ready(at(high)))
}

async fn body_json(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn chunk(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame())
        .await
        .expect("a chunk in time");
    let data = frame.expect("a chunk").unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}
