//! The routes against a relay that says what a test scripts: negotiation, heads, bodies, errors, the drain.

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
        Self::with(HttpSettings { allow_publish: true, ..HttpSettings::default() })
    }

    fn with(settings: HttpSettings) -> Self {
        let mut relay = Relay::default();
        relay.sources.insert("messages".into(), source("messages", RoomType::Text));
        relay.sources.insert("numbers".into(), source("numbers", RoomType::Int));
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

    async fn send(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Response {
        self.send(Method::GET, uri, headers, Body::empty()).await
    }

    /// The status and code of the problem that a request ends in.
    async fn problem(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let response = self.send(method, uri, headers, body.to_owned()).await;
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{uri}");
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
    Cursor { epoch: 7, open: OpenSet::above(high) }
}

fn ready(high: i64) -> Result<Step, FeedError> {
    Ok(Step::Ready(at(high)))
}

async fn body_json(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn chunk(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.expect("a chunk in time");
    let data = frame.expect("a chunk").unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

#[tokio::test]
async fn an_event_stream_has_its_head_and_frames() {
    let app = App::new();
    app.say([events(&[5, 6]), ready(6), events(&[8])]);
    let gzip = ("accept-encoding", "gzip");
    let response = app.get("/v1/rooms/42/events?last=2", &[SSE, gzip]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["vary"], "accept");
    assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-length"));
    let mut body = response.into_body();
    let retry = chunk(&mut body).await;
    let milliseconds: u64 = retry.strip_prefix("retry: ").unwrap().trim_end().parse().unwrap();
    assert!((1000..=3000).contains(&milliseconds) && retry.ends_with("\n\n"));
    assert_eq!(chunk(&mut body).await, "id: 7.5\ndata: {\"id\":5}\n\nid: 7.6\ndata: {\"id\":6}\n\n");
    assert_eq!(chunk(&mut body).await, "event: ready\nid: 7.6\ndata: {\"cursor\":\"7.6\"}\n\n");
    assert_eq!(chunk(&mut body).await, "id: 7.8\ndata: {\"id\":8}\n\n");
    assert!(app.asked()[0].contains("start: Now, last: 2"));
}

#[tokio::test]
async fn a_stream_asks_its_feed_only_when_the_connection_wants_more() {
    let app = App::new();
    app.say((1..=1000).map(|id| events(&[id])));
    let mut body = app.get(ROOM, &[SSE]).await.into_body();
    for _ in 0..3 {
        chunk(&mut body).await;
    }
    assert_eq!(app.source().script.lock().unwrap().polled, 2);
}

#[tokio::test]
async fn a_stream_ends_when_its_source_is_detached() {
    let app = App::new();
    app.say([Ok(Step::Reset { code: ResetCode::Epoch, cursor: at(3) }), Err(FeedError::Gone)]);
    let body = app.get(ROOM, &[SSE]).await.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("event: reset\nid: 7.3\ndata: {\"code\":\"epoch\",\"cursor\":\"7.3\"}\n\n"), "{text}");
    assert!(text.ends_with("event: end\ndata: {\"code\":\"unknown_source\"}\n\n"), "{text}");
}

#[tokio::test]
async fn a_plain_poll_shows_the_newest_and_its_cursor() {
    let app = App::new();
    app.say([events(&[5]), events(&[6]), ready(6)]);
    let response = app.get("/v1/rooms/42/events?limit=2", &[]).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["vary"], "accept");
    let expected = json!({"events": [{"id": 5}, {"id": 6}], "cursor": "7.6", "more": false});
    assert_eq!(body_json(response).await, expected);
    let asked = app.asked();
    assert_eq!(asked[0], "sync");
    assert!(asked[1].contains("start: Now, last: 2"), "{asked:?}");
}

#[tokio::test]
async fn a_poll_is_cut_at_its_limit_and_says_that_there_is_more() {
    for steps in [vec![events(&[1, 2, 3])], vec![events(&[1, 2]), events(&[3])], vec![events(&[1]), events(&[2, 3])]] {
        for wait in ["", "&wait=9"] {
            let app = App::new();
            app.say(steps.iter().map(|step| match step {
                Ok(Step::Events(batch)) => Ok(Step::Events(batch.clone())),
                _ => unreachable!(),
            }));
            let answer = body_json(app.get(&format!("{ROOM}?after=7.0&limit=2{wait}"), &[]).await).await;
            assert_eq!(answer, json!({"events": [{"id": 1}, {"id": 2}], "cursor": "7.2", "more": true}));
        }
    }
}

#[tokio::test]
async fn a_cursor_goes_to_the_feed_and_last_is_ignored_with_it() {
    for (query, header, expected) in [
        ("after=7.3&last=9", None, "start: After(Cursor { epoch: 7, open: OpenSet { high: 3, gaps: [] } }), last: 0"),
        ("after=3", None, "start: AfterRow(3), last: 0"),
        ("after=3", Some("4"), "start: AfterRow(4), last: 0"),
        ("last=0", None, "start: Now, last: 0"),
        ("wait=1", None, "start: Now, last: 0"),
    ] {
        let app = App::new();
        app.say([events(&[5]), ready(5)]);
        let headers: Vec<_> = header.map(|value| ("last-event-id", value)).into_iter().collect();
        assert_eq!(app.get(&format!("{ROOM}?{query}"), &headers).await.status(), 200);
        let asked = app.asked();
        assert!(asked.last().unwrap().contains(expected), "{query}: {asked:?}");
    }
}

#[tokio::test]
async fn a_long_poll_answers_with_the_first_event() {
    let app = App::new();
    app.say([ready(6)]);
    let answer = app.get("/v1/rooms/42/events?wait=60", &[]);
    let later = async {
        while app.source().script.lock().unwrap().wakers.is_empty() {
            tokio::task::yield_now().await;
        }
        app.say([events(&[9])]);
    };
    let (answer, ()) = tokio::join!(answer, later);
    assert_eq!(body_json(answer).await, json!({"events": [{"id": 9}], "cursor": "7.9", "more": false}));
    assert!(!app.asked().contains(&"sync".to_owned()));
}

#[tokio::test]
async fn a_long_poll_without_events_ends_with_its_cursor() {
    let app = App::new();
    app.say([ready(6)]);
    let answer = body_json(app.get("/v1/rooms/42/events?wait=1", &[]).await).await;
    assert_eq!(answer, json!({"events": [], "cursor": "7.6", "more": false}));
}

#[tokio::test]
async fn an_open_long_poll_answers_at_once_when_the_relay_drains() {
    let app = App::new();
    app.say([ready(6)]);
    let answer = app.get("/v1/rooms/42/events?wait=60", &[]);
    let later = async {
        while app.source().script.lock().unwrap().wakers.is_empty() {
            tokio::task::yield_now().await;
        }
        app.drain.start();
    };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(answer, later) })
        .await
        .expect("answered at once");
    assert_eq!(answer.status(), 200);
    assert_eq!(body_json(answer).await, json!({"events": [], "cursor": "7.6", "more": false}));
}

#[tokio::test]
async fn a_reset_on_a_poll_is_a_conflict_with_a_cursor() {
    for (code, text) in [
        (ResetCode::CursorAhead, "cursor_ahead"),
        (ResetCode::Epoch, "epoch"),
        (ResetCode::Truncated, "truncated"),
    ] {
        for query in ["after=7.9", "after=7.9&wait=5"] {
            let app = App::new();
            app.say([Ok(Step::Reset { code, cursor: at(3) })]);
            let response = app.get(&format!("{ROOM}?{query}"), &[]).await;
            assert_eq!(response.status(), 409);
            let problem = body_json(response).await;
            assert_eq!((&problem["code"], &problem["cursor"]), (&json!(text), &json!("7.3")));
        }
    }
}

#[tokio::test]
async fn polls_answer_503_while_the_database_is_away() {
    for query in ["", "?wait=5", "?before=9"] {
        let app = App::new();
        app.source().away.store(true, std::sync::atomic::Ordering::Relaxed);
        let response = app.get(&format!("{ROOM}{query}"), &[]).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(body_json(response).await["code"], "database_unavailable");
    }
    let app = App::new();
    app.say([Err(FeedError::Unavailable)]);
    assert_eq!(app.problem(Method::GET, ROOM, &[], "").await, (503, "database_unavailable".into()));
    app.say([Err(FeedError::Gone)]);
    assert_eq!(app.problem(Method::GET, ROOM, &[], "").await, (404, "unknown_source".into()));
}

#[tokio::test]
async fn scrolling_back_is_for_plain_polls() {
    let app = App::new();
    *app.source().older.lock().unwrap() = Some((Batch { ids: vec![3, 4] }, true));
    let answer = body_json(app.get("/v1/rooms/42/events?before=5&limit=2", &[]).await).await;
    assert_eq!(answer, json!({"events": [{"id": 3}, {"id": 4}], "cursor": "7.4", "more": true}));
    assert_eq!(app.asked(), ["before [Room(\"42\")] 5 2"]);
    *app.source().older.lock().unwrap() = Some((Batch { ids: vec![] }, false));
    let answer = body_json(app.get("/v1/rooms/42/events?before=0", &[]).await).await;
    assert_eq!(answer, json!({"events": [], "cursor": "7.0", "more": false}));
    let invalid = (400, "invalid_parameter".to_owned());
    for (query, headers) in [("before=5&wait=1", &[][..]), ("before=5", &[SSE]), ("before=5&after=1", &[])] {
        assert_eq!(app.problem(Method::GET, &format!("{ROOM}?{query}"), headers, "").await, invalid, "{query}");
    }
}

#[tokio::test]
async fn json_is_compressed_where_asked() {
    let app = App::new();
    app.say([events(&(1..=90).collect::<Vec<_>>()), ready(90)]);
    let response = app.get(ROOM, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let vary: Vec<_> = response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.contains(&"accept") && vary.contains(&"accept-encoding"), "{vary:?}");
}

#[tokio::test]
async fn several_rooms_are_one_subscription() {
    let app = App::new();
    app.say([ready(1)]);
    assert_eq!(app.get("/v1/events?room=b&room=a&room=b&room=c%2Fd", &[]).await.status(), 200);
    assert!(app.asked()[1].contains(r#"rooms: [Room("b"), Room("a"), Room("c/d")]"#));
    let rooms = |count: usize| (0..count).map(|n| format!("room={n}&")).collect::<String>();
    app.say([ready(1)]);
    assert_eq!(app.get(&format!("/v1/events?{}{}", rooms(100), rooms(100)), &[]).await.status(), 200);
    let invalid = (400, "invalid_parameter".to_owned());
    let long = format!("room={}", "x".repeat(1025));
    for query in ["", "room=", "room=%FF", &long, &rooms(101)] {
        assert_eq!(app.problem(Method::GET, &format!("/v1/events?{query}"), &[], "").await, invalid, "{query}");
    }
}

#[tokio::test]
async fn rooms_with_odd_names_work_in_a_path() {
    for (path, room) in [("a%2Fb", "a/b"), ("%22%0A%27", "\"\n'"), ("%F0%9F%A6%80+%25", "🦀+%"), ("..%2f..", "../..")] {
        let app = App::new();
        app.say([ready(1)]);
        assert_eq!(app.get(&format!("/v1/rooms/{path}/events"), &[]).await.status(), 200, "{path}");
        let asked = app.asked();
        assert!(asked[1].contains(&format!("{:?}", crate::room::Room::canonical(room))), "{asked:?}");
    }
}

#[tokio::test]
async fn rooms_that_cannot_be_are_refused() {
    let app = App::new();
    let long = format!("/v1/rooms/{}/events", "%41".repeat(1025));
    for (uri, expected) in [
        ("/v1/rooms/%00/events", (404, "unknown_room")),
        ("/v1/sources/numbers/rooms/x/events", (404, "unknown_room")),
        ("/v1/sources/numbers/rooms/99999999999/events", (404, "unknown_room")),
        ("/v1/sources/numbers/events?room=1&room=x", (404, "unknown_room")),
        ("/v1/sources/nothing/rooms/1/events", (404, "unknown_source")),
        ("/v1/rooms//events", (400, "invalid_parameter")),
        ("/v1/rooms/%FF/events", (400, "invalid_parameter")),
        (&long, (400, "invalid_parameter")),
    ] {
        for headers in [&[][..], &[SSE]] {
            let (status, code) = app.problem(Method::GET, uri, headers, "").await;
            assert_eq!((status, code.as_str()), expected, "{uri}");
        }
    }
    let empty = App::of(Relay::default(), HttpSettings::default());
    assert_eq!(empty.problem(Method::GET, ROOM, &[], "").await, (404, "unknown_source".into()));
}

#[tokio::test]
async fn everything_else_is_a_problem_too() {
    let app = App::new();
    for (method, uri, headers, expected) in [
        (Method::GET, "/", &[][..], (404, "not_found")),
        (Method::GET, "/v1/rooms/a/b/events", &[], (404, "not_found")),
        (Method::DELETE, ROOM, &[], (405, "method_not_allowed")),
        (Method::OPTIONS, ROOM, &[], (405, "method_not_allowed")),
        (Method::POST, "/v1/events?room=a", &[], (405, "method_not_allowed")),
        (Method::POST, "/health/live", &[], (405, "method_not_allowed")),
        (Method::GET, ROOM, &[("accept", "text/html")], (406, "not_acceptable")),
        (Method::GET, "/v1/rooms/42/events?after=x", &[SSE], (400, "invalid_cursor")),
        (Method::GET, "/v1/rooms/42/events?limit=0", &[SSE], (400, "invalid_parameter")),
    ] {
        let (status, code) = app.problem(method, uri, headers, "").await;
        assert_eq!((status, code.as_str()), expected, "{uri}");
    }
    let response = app.send(Method::DELETE, ROOM, &[], Body::empty()).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    assert_eq!(response.headers()["vary"], "accept");
}

#[tokio::test]
async fn head_answers_the_head_without_waiting() {
    let app = App::new();
    app.say([ready(1)]);
    let response = app.send(Method::HEAD, "/v1/rooms/42/events?wait=60", &[], Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    let response = app.send(Method::HEAD, ROOM, &[SSE], Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn the_drain_ends_streams_and_refuses_requests() {
    let app = App::new();
    app.say([ready(1)]);
    let body = app.get(ROOM, &[SSE]).await.into_body();
    app.drain.start();
    let text = tokio::time::timeout(Duration::from_secs(10), body.collect()).await.unwrap().unwrap().to_bytes();
    assert!(text.ends_with(b"event: end\ndata: {\"code\":\"shutting_down\"}\n\n"), "{text:?}");
    let response = app.get(ROOM, &[SSE]).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(body_json(response).await["code"], "shutting_down");
    assert_eq!(app.get("/health/live", &[]).await.status(), 200);
    assert_eq!(app.get("/health/ready", &[]).await.status(), 503);
}

#[tokio::test]
async fn health_names_the_reasons_and_stands_at_the_root_and_under_the_base_path() {
    let relay = Relay { reasons: vec!["messages: the table is gone".into()], ..Relay::default() };
    let app = App::of(relay, HttpSettings { base_path: "/live".into(), ..HttpSettings::default() });
    for base in ["", "/live"] {
        let response = app.get(&format!("{base}/health/ready"), &[]).await;
        assert_eq!(response.status(), 503);
        let expected = json!({"status": "not_ready", "reasons": ["messages: the table is gone"]});
        assert_eq!(body_json(response).await, expected);
        assert_eq!(body_json(app.get(&format!("{base}/health/live"), &[]).await).await, json!({"status": "live"}));
    }
    let response = App::new().get("/health/ready", &[]).await;
    assert_eq!(body_json(response).await, json!({"status": "ready"}));
    assert_eq!(app.problem(Method::GET, ROOM, &[], "").await, (404, "not_found".into()));
    assert_eq!(app.problem(Method::GET, "/live/x", &[], "").await, (404, "not_found".into()));
    let based = App::with(HttpSettings { base_path: "/live/".into(), ..HttpSettings::default() });
    based.say([ready(1)]);
    assert_eq!(based.get(&format!("/live{ROOM}"), &[]).await.status(), 200);
    assert_eq!(based.problem(Method::PUT, &format!("/live{ROOM}"), &[], "").await, (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn a_listed_origin_may_read_errors_too_and_answers_vary_with_both() {
    let origin = "https://app.example.com";
    let app = App::with(HttpSettings { allow_origins: vec![HeaderValue::from_static(origin)], ..HttpSettings::default() });
    let response = app.get("/v1/rooms/42/events?limit=0", &[("origin", origin)]).await;
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert!(vary.contains(&&HeaderValue::from_static("accept")) && vary.contains(&&HeaderValue::from_static("origin")));
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    async fn panics() {
        panic!("a defect");
    }
    let extra = Router::new().route("/panics", get(panics));
    let app = App::with(HttpSettings { extra, ..HttpSettings::default() });
    assert_eq!(app.problem(Method::GET, "/panics", &[], "").await, (500, "internal".into()));
}

#[tokio::test]
async fn publish_inserts_the_row_into_the_room_of_the_path() {
    let app = App::new();
    let json_type = ("content-type", "application/json; charset=utf-8");
    let response = app.send(Method::POST, ROOM, &[json_type], r#"{"body":"hi"}"#).await;
    assert_eq!(response.status(), 201);
    assert_eq!(body_json(response).await, json!({"id": 7, "room": "42"}));
    assert_eq!(app.asked(), [r#"publish 42 {"body": RawValue("hi")}"#.replace("(\"hi\")", "(\"hi\")")]);
    assert_eq!(app.send(Method::POST, ROOM, &[], "{}").await.status(), 201);
}

#[tokio::test]
async fn publish_refuses_what_is_no_row() {
    let app = App::new();
    let json_type = ("content-type", "application/json");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    for (headers, body, expected) in [
        (&[json_type][..], "{", (400, "invalid_body")),
        (&[json_type], "", (400, "invalid_body")),
        (&[json_type], "{} x", (400, "invalid_body")),
        (&[json_type], "[1]", (400, "invalid_body")),
        (&[json_type], "null", (400, "invalid_body")),
        (&[json_type], &large, (413, "body_too_large")),
        (&[("content-type", "text/plain")], "{}", (415, "unsupported_media_type")),
        (&[("origin", "https://evil.example")], "{}", (415, "unsupported_media_type")),
    ] {
        let (status, code) = app.problem(Method::POST, ROOM, headers, body).await;
        assert_eq!((status, code.as_str()), expected, "{}", &body[..body.len().min(20)]);
    }
    let off = App::with(HttpSettings::default());
    assert_eq!(off.problem(Method::POST, ROOM, &[json_type], "{}").await, (404, "not_found".into()));
}

#[tokio::test]
async fn what_the_database_says_to_a_row_becomes_a_status() {
    let error = || PgError::PoolTimeout;
    for (refusal, expected) in [
        (PublishError::WrongRoom, (422, "invalid_row")),
        (PublishError::UnknownColumn(error()), (422, "invalid_row")),
        (PublishError::Rejected(error()), (422, "invalid_row")),
        (PublishError::Duplicate(error()), (409, "duplicate")),
        (PublishError::Forbidden(error()), (403, "forbidden")),
        (PublishError::Unavailable(error()), (503, "database_unavailable")),
        (PublishError::Failed(error()), (500, "internal")),
    ] {
        let app = App::new();
        app.source().published.lock().unwrap().push_back(Err(refusal));
        let (status, code) = app.problem(Method::POST, ROOM, &[], "{}").await;
        assert_eq!((status, code.as_str()), expected);
    }
}
