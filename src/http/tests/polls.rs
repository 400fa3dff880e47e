//! Plain polls, long polls, scrolling back.

use super::*;

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
    for steps in [
        vec![events(&[1, 2, 3])],
        vec![events(&[1, 2]), events(&[3])],
        vec![events(&[1]), events(&[2, 3])],
    ] {
        for wait in ["", "&wait=9"] {
            let app = App::new();
            app.say(steps.iter().map(|step| match step {
                Ok(Step::Events(batch)) => Ok(Step::Events(batch.clone())),
                _ => unreachable!(),
            }));
            let answer = body_json(app.get(&format!("{ROOM}?after=7.0&limit=2{wait}"), &[]).await).await;
            assert_eq!(
                answer,
                json!({"events": [{"id": 1}, {"id": 2}], "cursor": "7.2", "more": true})
            );
        }
    }
}

#[tokio::test]
async fn a_cursor_goes_to_the_feed_and_last_is_ignored_with_it() {
    for (query, header, expected) in [
        (
            "after=7.3&last=9",
            None,
            "start: After(Cursor { epoch: 7, open: OpenSet { high: 3, gaps: [] } }), last: 0",
        ),
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
    assert_eq!(
        body_json(answer).await,
        json!({"events": [{"id": 9}], "cursor": "7.9", "more": false})
    );
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
    assert_eq!(
        body_json(answer).await,
        json!({"events": [], "cursor": "7.6", "more": false})
    );
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
            assert_eq!(
                (&problem["code"], &problem["cursor"]),
                (&json!(text), &json!("7.3"))
            );
        }
    }
}

#[tokio::test]
async fn polls_answer_503_while_the_database_is_away() {
    for query in ["", "?wait=5", "?before=9"] {
        let app = App::new();
        app.source()
            .away
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let response = app.get(&format!("{ROOM}{query}"), &[]).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(body_json(response).await["code"], "database_unavailable");
    }
    let app = App::new();
    app.say([Err(FeedError::Unavailable)]);
    assert_eq!(
        app.problem(Method::GET, ROOM, &[], "").await,
        (503, "database_unavailable".into())
    );
    app.say([Err(FeedError::Gone)]);
    assert_eq!(
        app.problem(Method::GET, ROOM, &[], "").await,
        (404, "unknown_source".into())
    );
}

#[tokio::test]
async fn scrolling_back_is_for_plain_polls() {
    let app = App::new();
    *app.source().older.lock().unwrap() = Some((Batch { ids: vec![3, 4] }, true));
    let answer = body_json(app.get("/v1/rooms/42/events?before=5&limit=2", &[]).await).await;
    assert_eq!(
        answer,
        json!({"events": [{"id": 3}, {"id": 4}], "cursor": "7.4", "more": true})
    );
    assert_eq!(app.asked(), ["before [Room(\"42\")] 5 2"]);
    *app.source().older.lock().unwrap() = Some((Batch { ids: vec![] }, false));
    let answer = body_json(app.get("/v1/rooms/42/events?before=0", &[]).await).await;
    assert_eq!(answer, json!({"events": [], "cursor": "7.0", "more": false}));
    let invalid = (400, "invalid_parameter".to_owned());
    for (query, headers) in [
        ("before=5&wait=1", &[][..]),
        ("before=5", &[SSE]),
        ("before=5&after=1", &[]),
    ] {
        assert_eq!(
            app.problem(Method::GET, &format!("{ROOM}?{query}"), headers, "")
                .await,
            invalid,
            "{query}"
        );
    }
}

#[tokio::test]
async fn json_is_compressed_where_asked() {
    let app = App::new();
    app.say([events(&(1..=90).collect::<Vec<_>>()), ready(90)]);
    let response = app.get(ROOM, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let vary: Vec<_> = response
        .headers()
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(
        vary.contains(&"accept") && vary.contains(&"accept-encoding"),
        "{vary:?}"
    );
}
