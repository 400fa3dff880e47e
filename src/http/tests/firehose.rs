//! The firehose: all rooms of a source at once, where the operator allows it.

use std::sync::atomic::Ordering;

use super::*;
use crate::cursor::IdRange;

const ALL: &str = "/v1/events?room=*";

fn open_app() -> App {
    App::with(HttpSettings {
        allow_firehose: true,
        ..HttpSettings::default()
    })
}

fn event_in(room: &str, id: i64) -> String {
    format!("{{\"op\":\"insert\",\"id\":{id},\"room\":\"{room}\",\"row\":{{\"n\":{id}}}}}")
}

#[tokio::test]
async fn it_is_off_unless_allowed_and_names_the_flag() {
    let app = App::new();
    for uri in [
        ALL,
        "/v1/events?room=%2A",
        "/v1/sources/numbers/events?room=*&wait=1",
    ] {
        for headers in [&[][..], &[SSE], &[NDJSON]] {
            let response = app.get(uri, headers).await;
            assert_eq!(response.status(), 403, "{uri}");
            let problem = body_json(response).await;
            assert_eq!(problem["code"], "forbidden");
            assert!(
                problem["detail"].as_str().unwrap().contains("--allow-firehose"),
                "{problem}"
            );
        }
    }
    assert_eq!(app.source.hub().population(), (0, 0));
}

#[tokio::test]
async fn it_stands_alone() {
    for app in [App::new(), open_app()] {
        for query in ["room=*&room=a", "room=a&room=*", "room=*&room=*", "room=*&room="] {
            let uri = format!("/v1/events?{query}");
            let (status, code) = app.problem(Method::GET, &uri, &[], "").await;
            assert_eq!((status, code.as_str()), (400, "invalid_parameter"), "{query}");
        }
    }
}

#[tokio::test]
async fn a_room_that_is_called_so_is_one_room_in_a_path() {
    for app in [App::new(), open_app()] {
        app.commit_to("a", [1]);
        app.commit_to("*", [2]);
        let response = app.get("/v1/rooms/*/events", &[]).await;
        assert_eq!(page(response).await.0, [2]);
        let (status, code) = app
            .problem(Method::GET, "/v1/sources/numbers/rooms/*/events", &[], "")
            .await;
        assert_eq!((status, code.as_str()), (404, "unknown_room"));
    }
}

#[tokio::test]
async fn polls_read_all_rooms() {
    let app = open_app();
    app.commit_to("a", [1, 2]);
    app.commit_to("b", [3]);
    let get = async |query: &str| page(app.get(&format!("{ALL}{query}"), &[]).await).await;
    assert_eq!(get("").await, (vec![1, 2, 3], "7.3".into(), false));
    assert_eq!(get("&limit=2").await, (vec![2, 3], "7.3".into(), false));
    assert_eq!(get("&after=7.0&limit=2").await, (vec![1, 2], "7.2".into(), true));
    assert_eq!(get("&after=7.2&wait=9").await, (vec![3], "7.3".into(), false));
    assert_eq!(get("&last=1&wait=9").await, (vec![3], "7.3".into(), false));
    assert_eq!(get("&before=3&limit=1").await.0, [2]);
    let more = get("&after=7.3&wait=60");
    let commit = async {
        app.subscribed().await;
        app.commit_to("c", [5]);
    };
    assert_eq!(tokio::join!(more, commit).0, (vec![5], "7.5".into(), false));
}

#[tokio::test]
async fn streams_bring_every_room_in_one_order_beside_those_of_one_room() {
    let app = open_app();
    app.commit_to("a", [1]);
    let mut sse = app.get(&format!("{ALL}&after=7.0"), &[SSE]).await.into_body();
    let mut lines = app.get(&format!("{ALL}&last=1"), &[NDJSON]).await.into_body();
    let mut room = app.get(ROOM, &[SSE]).await.into_body();
    let frame_in = |room: &str, id| format!("id: 7.{id}\ndata: {}\n\n", event_in(room, id));
    let line_in = |room: &str, id| event_in(room, id) + "\n";
    chunk(&mut sse).await;
    assert_eq!(chunk(&mut sse).await, frame_in("a", 1));
    assert!(chunk(&mut sse).await.starts_with("event: ready\nid: 7.1\n"));
    assert!(chunk(&mut lines).await.starts_with(&line_in("a", 1)));
    assert_eq!(
        chunk(&mut lines).await,
        "{\"control\":\"ready\",\"cursor\":\"7.1\"}\n"
    );
    chunk(&mut room).await;
    chunk(&mut room).await;
    let nowhere = Row {
        time: None,
        room: None,
        ..row("", 5)
    };
    let gap = IdRange { low: 3, high: 3 };
    let deliveries = [
        (row("b", 2), OpenSet::above(2)),
        (row("42", 4), OpenSet::new(4, [gap])),
        (nowhere, OpenSet::new(5, [gap])),
        (row("*", 3), OpenSet::above(5)),
        (row("42", 6), OpenSet::above(6)),
    ];
    app.source.hub().publish(|publication| {
        let deliver = |(row, open): &(Row, OpenSet)| publication.deliver(row, open);
        deliveries.iter().for_each(deliver);
        OpenSet::above(6)
    });
    let late = format!("id: 7.4~1\ndata: {}\n\n", event(4));
    let star = format!("id: 7.5\ndata: {}\n\n", event_in("*", 3));
    assert_eq!(
        chunk(&mut sse).await,
        frame_in("b", 2) + &late + &star + &frame(6)
    );
    assert_eq!(chunk(&mut room).await, late + &frame(6));
    let events: String = [("b", 2), ("42", 4), ("*", 3), ("42", 6)]
        .map(|(room, id)| line_in(room, id))
        .concat();
    assert_eq!(
        chunk(&mut lines).await,
        events + "{\"control\":\"cursor\",\"cursor\":\"7.6\"}\n"
    );
    // Who has seen all but the late one gets that one, from the ring.
    let read = app.table.pages.load(Ordering::Relaxed);
    let resumed = app.get(&format!("{ALL}&after=7.4~1"), &[]).await;
    assert_eq!(page(resumed).await, (vec![3, 6], "7.6".into(), false));
    assert_eq!(app.table.pages.load(Ordering::Relaxed), read);
}
