//! Event streams: the head, the frames, the pace, the ends.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn an_event_stream_has_its_head_and_frames() {
    let app = App::new();
    app.commit([4, 5, 6]);
    let response = app
        .get("/v1/rooms/42/events?last=2", &[SSE, ("accept-encoding", "gzip")])
        .await;
    assert_eq!(response.status(), 200);
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
    assert_eq!(chunk(&mut body).await, frame(5) + &frame(6));
    assert_eq!(
        chunk(&mut body).await,
        "event: ready\nid: 7.6\ndata: {\"cursor\":\"7.6\"}\n\n"
    );
    app.commit([8]);
    assert_eq!(chunk(&mut body).await, frame(8));
    app.commit([9]);
    app.commit([10]);
    assert_eq!(
        chunk(&mut body).await,
        frame(9) + &frame(10),
        "all that waits is one chunk"
    );
}

#[tokio::test]
async fn a_stream_reads_its_replay_only_as_fast_as_it_is_taken() {
    let app = App::new();
    app.commit(1..=2000);
    let mut body = app.get("/v1/rooms/42/events?after=7.0", &[SSE]).await.into_body();
    chunk(&mut body).await;
    assert!(chunk(&mut body).await.ends_with(&frame(500)));
    assert_eq!(app.table.pages.load(Ordering::Relaxed), 1);
    assert!(chunk(&mut body).await.ends_with(&frame(1000)));
    assert_eq!(app.table.pages.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_stream_is_told_of_a_reset_and_ends_when_its_source_is_detached() {
    let app = App::new();
    app.commit([3]);
    let mut body = app.get("/v1/rooms/42/events?after=6.1", &[SSE]).await.into_body();
    chunk(&mut body).await;
    let reset = "event: reset\nid: 7.3\ndata: {\"code\":\"epoch\",\"cursor\":\"7.3\"}\n\n";
    assert_eq!(chunk(&mut body).await, reset);
    assert!(chunk(&mut body).await.starts_with("event: ready\nid: 7.3\n"));
    app.source.hub().close();
    assert_eq!(
        chunk(&mut body).await,
        "event: end\ndata: {\"code\":\"unknown_source\"}\n\n"
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_stream_stays_open_while_the_database_is_away() {
    let app = App::new();
    app.commit([1, 2]);
    app.table.away.store(true, Ordering::Relaxed);
    let mut body = app.get("/v1/rooms/42/events?after=7.0", &[SSE]).await.into_body();
    chunk(&mut body).await;
    assert!(body.frame().now_or_never().is_none());
    app.table.away.store(false, Ordering::Relaxed);
    assert_eq!(chunk(&mut body).await, frame(1) + &frame(2));
}

#[tokio::test]
async fn head_answers_the_head_without_waiting() {
    let app = App::new();
    for (query, headers, content_type) in [
        ("", &[SSE][..], "text/event-stream"),
        ("", &[NDJSON], "application/x-ndjson"),
        ("?wait=60", &[], "application/json"),
    ] {
        let response = app
            .send(Method::HEAD, &format!("{ROOM}{query}"), headers, Body::empty())
            .await;
        assert_eq!(response.headers()["content-type"], content_type);
        assert!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn the_drain_ends_streams_and_refuses_requests() {
    let app = App::new();
    let body = app.get(ROOM, &[SSE]).await.into_body();
    app.drain.start();
    let text = tokio::time::timeout(GLOBAL, body.collect())
        .await
        .unwrap()
        .unwrap()
        .to_bytes();
    assert!(
        text.ends_with(b"event: end\ndata: {\"code\":\"shutting_down\"}\n\n"),
        "{text:?}"
    );
    let response = app.get(ROOM, &[SSE]).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(body_json(response).await["code"], "shutting_down");
    assert_eq!(app.get("/health/live", &[]).await.status(), 200);
    assert_eq!(app.get("/health/ready", &[]).await.status(), 503);
}

#[tokio::test]
async fn streams_that_end_leave_no_room_behind() {
    let app = App::new();
    for _ in 0..100 {
        let mut body = app.get(ROOM, &[SSE]).await.into_body();
        chunk(&mut body).await;
    }
    assert_eq!(app.source.hub().population().1, 0);
}
