//! The firehose: `room=*`, all rooms of a source at once, in the order of delivery, with the cursor of any other path.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Relay, Subscriber, TestDatabase, Transport, attach, messages, run, scene, with_query};

const ALL: &str = "/v1/events?room=*";

async fn open_scene(arguments: &[&str]) -> (TestDatabase, Relay) {
    scene(&[&["--allow-firehose"], arguments].concat()).await
}

/// Of the next events: their ids and rooms.
async fn next(subscriber: &mut Subscriber, count: usize) -> Vec<(i64, String)> {
    let mut events = Vec::new();
    while events.len() < count {
        let event = subscriber.next().await;
        let room = event["room"].as_str().expect("a room").to_owned();
        events.push((event["id"].as_i64().expect("an integer id"), room));
    }
    events
}

fn pairs(events: &[(i64, &str)]) -> Vec<(i64, String)> {
    events
        .iter()
        .map(|(id, room)| (*id, (*room).to_owned()))
        .collect()
}

#[tokio::test]
async fn it_brings_the_rows_of_every_room_and_none_without_a_room() {
    let (db, relay) = open_scene(&[]).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, ALL).await;
        let rooms = ["a", "b", "*", "two\nlines", ""];
        let mut expected = Vec::new();
        for room in rooms {
            expected.push((db.say(room, "").await, room));
            run(&db, "insert into messages (room) values (null)").await;
        }
        assert_eq!(next(&mut subscriber, 5).await, pairs(&expected), "{transport:?}");
    }
    // What is read from the table is the same.
    let newest = relay.client.get(ALL).await;
    assert_eq!(newest.ids(), (0..20).map(|n| 1 + 2 * n).collect::<Vec<i64>>());
}

/// The one who follows room `a` sees its rows in the order in which the follower of all sees them.
#[tokio::test]
async fn its_order_is_that_of_every_room() {
    let (db, relay) = open_scene(&[]).await;
    let mut others = [db.connect().await, db.connect().await];
    let mut all = relay.client.stream(ALL).await;
    let mut lines = relay.client.lines(ALL).await;
    let mut one = relay.client.stream("/v1/rooms/a/events").await;
    all.ready().await;
    lines.control("ready").await;
    one.ready().await;
    let mut total = 0;
    for round in 0..10 {
        let [first, second] = &mut others;
        let (first, second) = (
            first.transaction().await.unwrap(),
            second.transaction().await.unwrap(),
        );
        let insert = "insert into messages (room) values ('a'), ('b')";
        first.batch_execute(insert).await.unwrap();
        second.batch_execute(insert).await.unwrap();
        db.say_many("a", round % 3).await;
        second.commit().await.unwrap();
        db.say("c", "").await;
        first.commit().await.unwrap();
        total += 5 + round % 3;
    }
    let (mut seen, mut seen_as_lines) = (Vec::new(), Vec::new());
    for _ in 0..total {
        seen.push(all.next_row().await);
        seen_as_lines.push(lines.next_row().await);
    }
    assert_eq!(seen, seen_as_lines);
    let of_one: Vec<&Value> = seen.iter().filter(|event| event["room"] == "a").collect();
    for expected in of_one {
        assert_eq!(one.next_row().await, *expected);
    }
}

#[tokio::test]
async fn a_row_of_any_room_that_commits_late_comes_late_and_once() {
    let (mut db, relay) = open_scene(&[]).await;
    let other = db.connect().await;
    let mut last = 0;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, ALL).await;
        let late = db.client.transaction().await.unwrap();
        late.batch_execute("insert into messages (room) values ('late'), ('b')")
            .await
            .unwrap();
        run(&other, "insert into messages (room) values ('early')").await;
        assert_eq!(
            next(&mut subscriber, 1).await,
            pairs(&[(last + 3, "early")]),
            "{transport:?}"
        );
        let cursor = subscriber.cursor();
        assert!(cursor.ends_with(&format!(".{}~1-2", last + 3)), "{cursor}");
        late.commit().await.unwrap();
        let missing = pairs(&[(last + 1, "late"), (last + 2, "b")]);
        assert_eq!(next(&mut subscriber, 2).await, missing, "{transport:?}");
        let mut resumed = Subscriber::resume(&relay.client, transport, ALL, &cursor).await;
        assert_eq!(next(&mut resumed, 2).await, missing, "{transport:?}");
        last += 3;
    }
}

/// Whether the ring has it (somebody follows), has some of it, or nothing (a relay that has just begun).
#[tokio::test]
async fn an_older_cursor_resumes_from_the_ring_and_from_the_table() {
    let (db, ample) = open_scene(&[]).await;
    let small = Relay::serve(&db.relay_url, &["--allow-firehose", "--ring-events", "3"]).await;
    let begin = ample.client.get(ALL).await.cursor();
    let _followers = (ample.client.stream(ALL).await, small.client.stream(ALL).await);
    let mut expected = Vec::new();
    for n in 0..10 {
        let room = ["a", "b", "c"][n % 3];
        expected.push((db.say(room, "").await, room));
        // Each in a read of its own, so that the small ring has forgotten the first.
        for relay in [&ample, &small] {
            relay.client.get(&with_query(ALL, "limit=1")).await;
        }
    }
    let fresh = Relay::serve(&db.relay_url, &["--allow-firehose"]).await;
    for relay in [&ample, &small, &fresh] {
        for transport in Transport::ALL {
            let mut subscriber = Subscriber::resume(&relay.client, transport, ALL, &begin).await;
            let all = next(&mut subscriber, expected.len()).await;
            assert_eq!(all, pairs(&expected), "{transport:?}");
            let middle = subscriber.cursor();
            drop(subscriber);
            let id = db.say("d", "").await;
            expected.push((id, "d"));
            let mut resumed = Subscriber::resume(&relay.client, transport, ALL, &middle).await;
            assert_eq!(next(&mut resumed, 1).await, pairs(&[(id, "d")]), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn limit_last_and_before_count_the_events_of_all_rooms() {
    let (db, relay) = open_scene(&[]).await;
    for room in ["a", "b", "c", "a", "b"] {
        db.say(room, "").await;
    }
    let get = async |query: &str| relay.client.get(&with_query(ALL, query)).await;
    assert_eq!(get("limit=2").await.ids(), [4, 5]);
    assert_eq!(get("last=3").await.ids(), [3, 4, 5]);
    assert_eq!(get("before=4&limit=2").await.ids(), [2, 3]);
    let page = get("after=1&limit=2").await;
    assert_eq!(
        (page.ids(), page.json()["more"].as_bool()),
        (vec![2, 3], Some(true))
    );
    let page = get(&format!("after={}&wait=30&limit=9", page.cursor())).await;
    assert_eq!(
        (page.ids(), page.json()["more"].as_bool()),
        (vec![4, 5], Some(false))
    );
    let mut stream = relay.client.stream(&with_query(ALL, "last=2")).await;
    assert_eq!(stream.ids(2).await, [4, 5]);
    assert_eq!(stream.ready().await, page.cursor());
}

#[tokio::test]
async fn rows_without_a_room_count_for_nothing() {
    let (db, relay) = open_scene(&[]).await;
    for room in ["a", "b", "c"] {
        db.say(room, "").await;
        run(&db, "insert into messages (room) values (null), (null)").await;
    }
    let get = async |query: &str| relay.client.get(&with_query(ALL, query)).await;
    assert_eq!(get("limit=2").await.ids(), [4, 7]);
    assert_eq!(get("last=3").await.ids(), [1, 4, 7]);
    let older = get("before=7&limit=1").await;
    assert_eq!(
        (older.ids(), older.json()["more"].as_bool()),
        (vec![4], Some(true))
    );
    let page = get("after=0&limit=1").await;
    assert_eq!((page.ids(), page.json()["more"].as_bool()), (vec![1], Some(true)));
    let last = get("after=4&limit=1").await;
    assert_eq!(
        (last.ids(), last.json()["more"].as_bool()),
        (vec![7], Some(false))
    );
}

#[tokio::test]
async fn a_long_replay_comes_in_pages_and_goes_over_into_following() {
    let (db, relay) = open_scene(&["--ring-events", "10"]).await;
    let begin = relay.client.get(ALL).await.cursor();
    run(
        &db,
        "insert into messages (room) select 'r' || n % 7 from generate_series(1, 2000) n",
    )
    .await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::resume(&relay.client, transport, ALL, &begin).await;
        assert_eq!(
            subscriber.ids(2000).await,
            (1..=2000).collect::<Vec<_>>(),
            "{transport:?}"
        );
        let id = db.say("x", "").await;
        while subscriber.ids(1).await != [id] {}
    }
}

#[tokio::test]
async fn it_means_one_source_whatever_type_its_rooms_have() {
    let db = messages().await;
    run(
        &db,
        "create table numbers (id bigint generated always as identity primary key, room int)",
    )
    .await;
    attach(&db, "'numbers', room => 'room'").await;
    let relay = Relay::serve(
        &db.relay_url,
        &["--allow-firehose", "--default-source", "messages"],
    )
    .await;
    for transport in Transport::ALL {
        let path = "/v1/sources/numbers/events?room=%2A";
        let mut numbers = Subscriber::new(&relay.client, transport, path).await;
        let mut messages = Subscriber::new(&relay.client, transport, ALL).await;
        let id = db.say("a", "").await;
        run(&db, "insert into numbers (room) values (7), (-1)").await;
        let rooms = next(&mut numbers, 2).await;
        assert_eq!(
            (rooms[0].1.as_str(), rooms[1].1.as_str()),
            ("7", "-1"),
            "{transport:?}"
        );
        assert_eq!(next(&mut messages, 1).await, pairs(&[(id, "a")]), "{transport:?}");
    }
}

#[tokio::test]
async fn a_truncate_resets_it_like_any_other_subscription() {
    let (db, relay) = open_scene(&[]).await;
    db.say("a", "").await;
    let mut lines = relay.client.lines(ALL).await;
    let old = lines.control("ready").await;
    run(&db, "truncate messages").await;
    let reset = lines.next_line().await.unwrap();
    assert_eq!(
        (&reset["control"], &reset["code"]),
        (&"reset".into(), &"truncated".into())
    );
    assert_eq!(lines.next_line().await.unwrap()["control"], "ready");
    let id = db.say("b", "").await;
    assert_eq!(lines.ids(1).await, [id]);
    let answer = relay.client.get(&with_query(ALL, &format!("after={old}"))).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "epoch"));
}

#[tokio::test]
async fn it_is_forbidden_unless_the_operator_allows_it() {
    let (db, relay) = scene(&[]).await;
    let id = db.say("*", "").await;
    for path in [
        ALL,
        "/v1/events?room=%2a&last=1",
        "/v1/sources/messages/events?room=*&wait=5",
    ] {
        for accept in ["application/json", "text/event-stream", "application/x-ndjson"] {
            let request = relay.client.request(Method::GET, path).header("accept", accept);
            let answer = relay.client.send(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (403, "forbidden"),
                "{path}"
            );
            assert!(answer.body.contains("--allow-firehose"), "{}", answer.body);
        }
    }
    // A room that is called so has a path.
    assert_eq!(relay.client.get("/v1/rooms/*/events").await.ids(), [id]);
    assert_eq!(relay.client.get("/v1/rooms/%2A/events").await.ids(), [id]);
}

#[tokio::test]
async fn it_can_not_be_combined_with_rooms() {
    let (_db, relay) = open_scene(&[]).await;
    for query in ["room=*&room=a", "room=a&room=%2A", "room=*&room=*"] {
        let answer = relay.client.get(&format!("/v1/events?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "invalid_parameter"),
            "{query}"
        );
    }
}

/// While nobody else is there, a row is delivered to a room's follower who comes later, and the other way round.
#[tokio::test]
async fn followers_of_one_room_and_of_all_come_and_go_beside_each_other() {
    let (db, relay) = open_scene(&["--room-linger", "0s"]).await;
    for transport in Transport::ALL {
        let mut all = Subscriber::new(&relay.client, transport, ALL).await;
        let first = db.say("a", "").await;
        let mut one = Subscriber::new(&relay.client, transport, "/v1/rooms/a/events").await;
        let second = db.say("a", "").await;
        assert_eq!(one.ids(1).await, [second], "{transport:?}");
        assert_eq!(all.ids(2).await, [first, second], "{transport:?}");
        let cursor = all.cursor();
        drop(all);
        let third = db.say("a", "").await;
        assert_eq!(one.ids(1).await, [third], "{transport:?}");
        let mut all = Subscriber::resume(&relay.client, transport, ALL, &cursor).await;
        assert_eq!(all.ids(1).await, [third], "{transport:?}");
    }
}
