//! Plain polls, long polls, scrolling back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::Extension;
use futures_util::poll;
use tokio::sync::Semaphore;

use super::*;
use crate::http::connection::First;
use crate::http::wire::Beginning;

#[tokio::test]
async fn a_plain_poll_shows_the_newest_and_its_cursor() {
    let app = App::new();
    app.commit(1..=6);
    let response = app.get("/v1/rooms/42/events?limit=2", &[]).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["vary"], "accept");
    let events: Vec<Value> = [5, 6]
        .iter()
        .map(|id| serde_json::from_str(&event(*id)).unwrap())
        .collect();
    assert_eq!(
        body_json(response).await,
        json!({"events": events, "cursor": "7.6", "more": false})
    );
}

#[tokio::test]
async fn a_poll_begins_where_it_is_asked_to() {
    let app = App::new();
    app.commit(1..=5);
    for (query, header, expected) in [
        ("after=7.3&last=9", None, &[4, 5][..]),
        ("after=3", None, &[4, 5]),
        ("after=3", Some("4"), &[5]),
        ("after=7.5", None, &[]),
        ("last=0", None, &[]),
        ("last=3", None, &[3, 4, 5]),
        ("", None, &[1, 2, 3, 4, 5]),
    ] {
        let headers: Vec<_> = header.map(|value| ("last-event-id", value)).into_iter().collect();
        let (ids, cursor, more) = app.poll(query, &headers).await;
        assert_eq!(
            (&ids[..], cursor.as_str(), more),
            (expected, "7.5", false),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_poll_is_cut_at_its_limit_and_says_that_there_is_more() {
    let app = App::new();
    app.commit(1..=5);
    for wait in ["", "&wait=9"] {
        let mut cursor = "7.0".to_owned();
        for (ids, after, more) in [
            (&[1, 2][..], "7.2", true),
            (&[3, 4], "7.4", true),
            (&[5], "7.5", false),
        ] {
            let page = app.poll(&format!("after={cursor}&limit=2{wait}"), &[]).await;
            assert_eq!((&page.0[..], page.1.as_str(), page.2), (ids, after, more));
            cursor = page.1;
        }
    }
    assert!(
        !app.poll("after=7.0&limit=5", &[]).await.2,
        "a list that ends at the limit is not cut"
    );
}

#[tokio::test]
async fn a_long_poll_answers_with_the_first_events() {
    let app = App::new();
    app.commit([1]);
    let answer = app.poll("wait=60&limit=2", &[]);
    let later = async {
        app.subscribed().await;
        app.commit([7, 8, 9]);
    };
    let (answer, ()) = tokio::join!(answer, later);
    assert_eq!(answer, (vec![7, 8], "7.8".into(), true));
}

#[tokio::test]
async fn a_long_poll_without_events_ends_with_its_cursor() {
    let app = App::new();
    app.commit([6]);
    let begun = tokio::time::Instant::now();
    assert_eq!(app.poll("wait=1", &[]).await, (vec![], "7.6".into(), false));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_open_long_poll_answers_at_once_when_the_relay_drains() {
    let app = App::new();
    app.commit([6]);
    let later = async {
        app.subscribed().await;
        app.drain.start();
    };
    let (answer, ()) = tokio::join!(app.poll("wait=60", &[]), later);
    assert_eq!(answer, (vec![], "7.6".into(), false));
}

#[tokio::test]
async fn a_reset_on_a_poll_is_a_conflict_with_a_cursor() {
    let app = App::new();
    app.commit([3]);
    for (cursor, code) in [("7.9", "cursor_ahead"), ("9", "cursor_ahead"), ("6.3", "epoch")] {
        for wait in ["", "&wait=5"] {
            let response = app.get(&format!("{ROOM}?after={cursor}{wait}"), &[]).await;
            assert_eq!(response.status(), 409);
            let problem = body_json(response).await;
            assert_eq!(
                (&problem["code"], &problem["cursor"]),
                (&json!(code), &json!("7.3"))
            );
        }
    }
    let later = async {
        app.subscribed().await;
        app.source.hub().restart(8, OpenSet::above(0));
    };
    let (problem, ()) = tokio::join!(
        app.problem(Method::GET, "/v1/rooms/42/events?wait=60", &[], ""),
        later
    );
    assert_eq!(problem, (409, "truncated".into()));
}

#[tokio::test]
async fn polls_answer_503_while_the_database_is_away() {
    let app = App::new();
    app.commit([1]);
    app.table.away.store(true, Ordering::Relaxed);
    let unavailable = (503, "database_unavailable".to_owned());
    for query in ["", "?after=7.0&wait=5", "?before=9"] {
        assert_eq!(
            app.problem(Method::GET, &format!("{ROOM}{query}"), &[], "").await,
            unavailable,
            "{query}"
        );
    }
    app.source
        .control()
        .set_state(tail::State::Away { reason: "no route" });
    let response = app.get("/v1/rooms/42/events?wait=60", &[]).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &HeaderValue::from(1))
    );
}

#[tokio::test]
async fn a_poll_of_a_detached_source_is_unknown() {
    let app = App::new();
    app.source.hub().close();
    assert_eq!(
        app.problem(Method::GET, ROOM, &[], "").await,
        (404, "unknown_source".into())
    );
}

#[tokio::test]
async fn scrolling_back_is_for_plain_polls() {
    let app = App::new();
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
    app.commit(1..=90);
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

#[tokio::test]
async fn a_long_poll_gives_its_place_among_the_first_requests_back_before_it_waits() {
    let places = Arc::new(Semaphore::new(1));
    let beginning = Beginning {
        is_http1: true,
        is_whole: true,
    };
    let first = First::wait(&places, &beginning).await;
    let app = App::wrapped(HttpSettings::default(), |routes| routes.layer(Extension(first)));
    let path = format!("{ROOM}?wait=60");
    let given_back = async {
        let place = tokio::time::timeout(GLOBAL, places.acquire())
            .await
            .expect("the place is free while the poll waits")
            .unwrap();
        drop(place);
        app.subscribed().await;
        app.commit([1]);
    };
    let (answer, ()) = tokio::join!(app.get(&path, &[]), given_back);
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn what_a_long_poll_brings_is_complete_up_to_when_it_came() {
    let app = App::new();
    app.commit([1]);
    let ask = |after: i64| {
        let request = Request::get(format!("{ROOM}?wait=60&after=7.{after}"));
        Box::pin(app.router.clone().oneshot(request.body(Body::empty()).unwrap()))
    };
    // A read that began before it came brings the first of what was committed by then.
    let mut early = ask(1);
    assert!(poll!(early.as_mut()).is_pending());
    app.commit([2]);
    assert!(poll!(early.as_mut()).is_pending());
    app.commit([3]);
    let answer = tokio::select! {
        answer = early => answer.unwrap(),
        () = app.source.control().answer_all() => unreachable!("it goes on for ever"),
    };
    assert_eq!(page(answer).await, (vec![2, 3], "7.3".into(), false));
    // Where a read has begun since it came, nobody is asked for another.
    let mut late = ask(3);
    assert!(poll!(late.as_mut()).is_pending());
    assert!(poll!(pin!(app.source.control().answer_all())).is_pending());
    app.commit([4]);
    let Poll::Ready(answer) = poll!(late.as_mut()) else {
        panic!("it waits for a read");
    };
    assert_eq!(page(answer.unwrap()).await, (vec![4], "7.4".into(), false));
}

#[tokio::test]
async fn a_cursor_of_a_relay_that_is_ahead_waits_for_this_one_to_catch_up() {
    let app = App::new();
    app.commit([1]);
    for ahead in ["8.0", "7.2"] {
        let request = Request::get(format!("{ROOM}?wait=60&after={ahead}"));
        let request = request.body(Body::empty()).unwrap();
        let mut asked = Box::pin(app.router.clone().oneshot(request));
        assert!(poll!(asked.as_mut()).is_pending(), "{ahead}");
        assert_eq!(app.source.hub().population().1, 0, "{ahead}: it waits for a read");
    }
}

#[tokio::test]
async fn what_comes_while_rows_are_listed_follows_them_in_the_same_long_poll() {
    let app = App::new();
    app.table.lists.store(true, Ordering::Relaxed);
    app.commit([1]);
    app.table.held.send_replace(true);
    let meanwhile = async {
        app.subscribed().await;
        app.commit([2]);
        app.table.held.send_replace(false);
    };
    let path = format!("{ROOM}?wait=60&last=5");
    let (response, ()) = tokio::join!(app.get(&path, &[]), meanwhile);
    assert_eq!(response.status(), 200);
    let answer = body_json(response).await;
    assert_eq!(answer["events"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(
        (&answer["cursor"], &answer["more"]),
        (&json!("7.2"), &json!(false))
    );
}
