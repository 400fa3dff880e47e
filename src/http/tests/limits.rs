//! What is refused when too much is asked: the same problem over every transport, `Retry-After`, and the metric.

use super::*;
use crate::config;

/// Settings with other bounds.
fn bounded(change: impl FnOnce(&mut config::Limits)) -> HttpSettings {
    let mut limits = config::Limits::default();
    change(&mut limits);
    let metrics = Metrics::new();
    HttpSettings {
        allow_publish: true,
        limits: Arc::new(Limits::new(limits, usize::MAX, &metrics)),
        metrics,
        ..HttpSettings::default()
    }
}

impl App {
    /// What `GET /metrics` says of a limit.
    async fn hits(&self, limit: &str) -> u64 {
        let response = self.get("/metrics", &[]).await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let line = format!("rowcast_limit_hits_total{{limit=\"{limit}\"}} ");
        let found = text.lines().find_map(|found| found.strip_prefix(&line));
        found.unwrap_or_else(|| panic!("{line}: {text}")).parse().unwrap()
    }

    /// A refusal that says when to come back, in seconds.
    async fn refused(&self, method: Method, uri: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let response = self.send(method, uri, headers, "{}").await;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").cloned();
        let code = body_json(response).await["code"].as_str().unwrap().to_owned();
        let seconds = retry_after.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
        (status, code, seconds)
    }
}

/// Each way to ask for events: its query and headers.
const TRANSPORTS: [(&str, &[(&str, &str)]); 5] = [
    ("", &[SSE]),
    ("", &[NDJSON]),
    ("wait=1", &[]),
    ("", &[]),
    ("before=9", &[]),
];

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_rate_are_refused_over_every_transport() {
    let app = App::with(bounded(|limits| limits.requests_per_second = Some(1)));
    app.commit([1]);
    let refused = (429, "rate_limited".to_owned(), "1".to_owned());
    for (query, headers) in TRANSPORTS {
        tokio::time::advance(Duration::from_secs(1)).await;
        let uri = format!("{ROOM}?last=1&{query}");
        let uri = if query.starts_with("before") {
            format!("{ROOM}?{query}")
        } else {
            uri
        };
        assert_eq!(app.get(&uri, headers).await.status(), 200, "{uri}");
        assert_eq!(app.refused(Method::GET, &uri, headers).await, refused, "{uri}");
        assert_eq!(app.refused(Method::POST, ROOM, &[]).await, refused);
    }
    assert_eq!(app.hits("requests_per_second").await, 10);
    assert_eq!(
        app.get("/health/live", &[]).await.status(),
        200,
        "health is not counted"
    );
}

#[tokio::test]
async fn subscriptions_beyond_their_number_are_refused_until_one_ends() {
    let app = App::with(bounded(|limits| limits.subscriptions_per_subject = Some(1)));
    app.commit([1]);
    let refused = (429, "too_many_connections".to_owned(), "5".to_owned());
    for (count, headers) in [(1, &[SSE]), (2, &[NDJSON])] {
        let held = app.get(ROOM, headers).await;
        assert_eq!(held.status(), 200);
        for (query, headers) in &TRANSPORTS[..3] {
            let uri = format!("{ROOM}?{query}");
            assert_eq!(app.refused(Method::GET, &uri, headers).await, refused, "{uri}");
        }
        assert_eq!(app.get(ROOM, &[]).await.status(), 200, "a plain poll is none");
        assert_eq!(app.hits("subscriptions_per_subject").await, 3 * count);
        drop(held);
    }
    // A long poll is one while it waits, not longer.
    let uri = format!("{ROOM}?wait=60&after=7.1");
    let waiting = app.get(&uri, &[]);
    let meanwhile = async {
        app.subscribed().await;
        assert_eq!(app.refused(Method::GET, ROOM, &[SSE]).await, refused);
        app.commit([2]);
    };
    assert_eq!(tokio::join!(waiting, meanwhile).0.status(), 200);
    assert_eq!(app.get(ROOM, &[SSE]).await.status(), 200);
}

#[tokio::test]
async fn rooms_beyond_their_number_are_refused() {
    let app = App::with(bounded(|limits| limits.rooms = 2));
    for (query, headers) in &TRANSPORTS[..4] {
        let uri = format!("/v1/events?room=a&room=b&room=a&{query}&last=0");
        if !query.starts_with("wait") {
            assert_eq!(app.get(&uri, headers).await.status(), 200, "{uri}");
        }
        let uri = format!("{uri}&room=c");
        assert_eq!(
            app.problem(Method::GET, &uri, headers, "").await,
            (400, "invalid_parameter".into())
        );
    }
    assert_eq!(app.hits("rooms").await, 4);
}

#[tokio::test]
async fn who_comes_when_the_queue_of_replays_is_full_is_refused_and_who_is_in_it_waits() {
    let few = SourceLimits {
        replays_at_once: 1,
        waiting_replays: 1,
        ..limits()
    };
    let app = App::built(bounded(|_| {}), few, |routes| routes);
    app.commit(1..=5);
    app.table.held.send_replace(true);
    // One reads, one waits for its turn.
    let reads = app.get(&format!("{ROOM}?after=7.1"), &[SSE]).await;
    let waits = app.get(&format!("{ROOM}?after=7.2"), &[NDJSON]).await;
    assert_eq!((reads.status().as_u16(), waits.status().as_u16()), (200, 200));
    let refused = (503, "overloaded".to_owned(), "1".to_owned());
    for (query, headers) in TRANSPORTS {
        let uri = match query.starts_with("before") {
            true => format!("{ROOM}?{query}"),
            false => format!("{ROOM}?after=7.3&{query}"),
        };
        assert_eq!(app.refused(Method::GET, &uri, headers).await, refused, "{uri}");
    }
    assert_eq!(app.hits("waiting_replays").await, 5);
    // Who misses nothing needs no replay.
    assert_eq!(app.get(ROOM, &[SSE]).await.status(), 200);
    assert_eq!(app.poll("after=7.5", &[]).await.0, [0; 0]);
    app.table.held.send_replace(false);
    let mut body = reads.into_body();
    assert!(chunk(&mut body).await.starts_with("retry:"));
    assert_eq!(chunk(&mut body).await, [2, 3, 4, 5].map(frame).concat());
    assert!(chunk(&mut waits.into_body()).await.starts_with(&event(3)));
    assert_eq!(app.poll("after=7.3", &[]).await.0, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn bodies_have_a_size_and_a_time() {
    let app = App::with(bounded(|limits| {
        limits.body_bytes = 100;
        limits.body_timeout = Duration::from_secs(3);
    }));
    let json_type = [("content-type", "application/json")];
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
    assert_eq!(
        app.problem(Method::POST, ROOM, &json_type, &large).await,
        (413, "body_too_large".into())
    );
    let never = Body::new(http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>,
    >()));
    let began = Instant::now();
    let response = app.send(Method::POST, ROOM, &json_type, never).await;
    assert_eq!(response.status(), 408);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(
        (app.hits("body_bytes").await, app.hits("body_timeout").await),
        (1, 1)
    );
}

#[tokio::test]
async fn metrics_are_text_for_prometheus_and_each_relays_own() {
    let [one, other] = [0, 1].map(|_| App::with(bounded(|limits| limits.rooms = 1)));
    one.get("/v1/events?room=a&room=b", &[]).await;
    assert_eq!((one.hits("rooms").await, other.hits("rooms").await), (1, 0));
    let response = one.get("/metrics", &[]).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.contains("# TYPE rowcast_limit_hits_total counter\n")
            && text.contains("# HELP rowcast_limit_hits_total "),
        "{text}"
    );
    let based = App::with(HttpSettings {
        base_path: "/live".into(),
        ..HttpSettings::default()
    });
    for path in ["/metrics", "/live/metrics"] {
        assert_eq!(based.get(path, &[]).await.status(), 200, "{path}");
    }
    assert_eq!(
        based.problem(Method::POST, "/metrics", &[], "").await,
        (405, "method_not_allowed".into())
    );
}

#[test]
fn every_429_and_503_says_when_to_come_back() {
    for (code, seconds) in [
        (ErrorCode::RateLimited, "1"),
        (ErrorCode::TooManyConnections, "5"),
        (ErrorCode::TooManyInAll, "5"),
        (ErrorCode::Overloaded, "1"),
        (ErrorCode::DatabaseUnavailable, "1"),
        (ErrorCode::ShuttingDown, "1"),
    ] {
        assert!([429, 503].contains(&code.status().as_u16()));
        let response = ApiError::new(code, "").into_response();
        assert_eq!(response.headers()["retry-after"], seconds, "{code:?}");
    }
    let response = ApiError::new(ErrorCode::Internal, "").into_response();
    assert!(!response.headers().contains_key("retry-after"));
}
