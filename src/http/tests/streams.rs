//! Event streams: the head, the frames, the pace, the ends.

use super::*;

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
    assert_eq!(
        chunk(&mut body).await,
        "id: 7.5\ndata: {\"id\":5}\n\nid: 7.6\ndata: {\"id\":6}\n\n"
    );
    assert_eq!(
        chunk(&mut body).await,
        "event: ready\nid: 7.6\ndata: {\"cursor\":\"7.6\"}\n\n"
    );
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
    app.say([
        Ok(Step::Reset {
            code: ResetCode::Epoch,
            cursor: at(3),
        }),
        Err(FeedError::Gone),
    ]);
    let body = app
        .get(ROOM, &[SSE])
        .await
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        text.contains("event: reset\nid: 7.3\ndata: {\"code\":\"epoch\",\"cursor\":\"7.3\"}\n\n"),
        "{text}"
    );
    assert!(
        text.ends_with("event: end\ndata: {\"code\":\"unknown_source\"}\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn head_answers_the_head_without_waiting() {
    let app = App::new();
    app.say([ready(1)]);
    let response = app
        .send(Method::HEAD, "/v1/rooms/42/events?wait=60", &[], Body::empty())
        .await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    let response = app.send(Method::HEAD, ROOM, &[SSE], Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
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

#[tokio::test]
async fn the_drain_ends_streams_and_refuses_requests() {
    let app = App::new();
    app.say([ready(1)]);
    let body = app.get(ROOM, &[SSE]).await.into_body();
    app.drain.start();
    let text = tokio::time::timeout(Duration::from_secs(10), body.collect())
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
