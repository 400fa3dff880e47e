//! NDJSON: the head, the lines, the cursor behind them.

use super::*;

fn lines(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter().map(|id| event(id) + "\n").collect()
}

fn control(name: &str, high: i64) -> String {
    format!("{{\"control\":\"{name}\",\"cursor\":\"7.{high}\"}}\n")
}

#[tokio::test]
async fn a_stream_of_lines_has_its_head_and_its_lines() {
    let app = App::new();
    app.commit([4, 5, 6]);
    let response = app
        .get(
            "/v1/rooms/42/events?last=2",
            &[NDJSON, ("accept-encoding", "gzip")],
        )
        .await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["vary"], "accept");
    assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-length"));
    let mut body = response.into_body();
    assert_eq!(chunk(&mut body).await, lines([5, 6]) + &control("cursor", 6));
    assert_eq!(chunk(&mut body).await, control("ready", 6));
    app.commit([8]);
    assert_eq!(chunk(&mut body).await, lines([8]) + &control("cursor", 8));
    app.commit([9, 10]);
    app.commit([11]);
    assert_eq!(
        chunk(&mut body).await,
        lines([9, 10, 11]) + &control("cursor", 11),
        "all that waits is one chunk with one cursor"
    );
}

#[tokio::test]
async fn a_subscriber_out_of_step_with_the_tail_gets_a_cursor_of_its_own() {
    let app = App::new();
    // Somebody is there, so the ring has what is committed. The next has seen 3 of it, but neither 1 nor 2.
    let _first = app.get(ROOM, &[SSE]).await;
    app.commit(1..=3);
    let mut body = app
        .get("/v1/rooms/42/events?after=7.3~1-2", &[NDJSON])
        .await
        .into_body();
    assert_eq!(chunk(&mut body).await, lines([1, 2]) + &control("cursor", 3));
    assert_eq!(chunk(&mut body).await, control("ready", 3));
}

#[tokio::test]
async fn the_header_resumes_lines_as_it_does_sse() {
    let app = App::new();
    app.commit([1, 2]);
    let headers = [NDJSON, ("last-event-id", "7.1")];
    let mut body = app
        .get("/v1/rooms/42/events?after=7.0", &headers)
        .await
        .into_body();
    assert_eq!(chunk(&mut body).await, lines([2]) + &control("cursor", 2));
}

#[tokio::test]
async fn lines_end_with_the_source_and_in_a_drain() {
    let app = App::new();
    let mut body = app.get(ROOM, &[NDJSON]).await.into_body();
    assert_eq!(chunk(&mut body).await, control("ready", 0));
    app.source.hub().close();
    assert_eq!(
        chunk(&mut body).await,
        "{\"control\":\"end\",\"code\":\"unknown_source\"}\n"
    );
    assert!(body.frame().await.is_none());
    let app = App::new();
    let body = app.get(ROOM, &[NDJSON]).await.into_body();
    app.drain.start();
    let text = tokio::time::timeout(GLOBAL, body.collect())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        text.to_bytes(),
        control("ready", 0) + "{\"control\":\"end\",\"code\":\"shutting_down\"}\n"
    );
}

#[tokio::test]
async fn scrolling_back_is_no_stream() {
    let app = App::new();
    for stream in [SSE, NDJSON] {
        let (status, code) = app
            .problem(Method::GET, "/v1/rooms/42/events?before=3", &[stream], "")
            .await;
        assert_eq!((status, code.as_str()), (400, "invalid_parameter"));
    }
}
