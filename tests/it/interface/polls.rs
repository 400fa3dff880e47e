//! JSON answers: plain polls, long polls, `limit` and `more`, scrolling back.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{eventually, scene, within};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn a_plain_poll_shows_a_row_that_was_committed_right_before() {
    let (db, relay) = scene(&[]).await;
    let mut cursor = relay.client.get(PATH).await.cursor();
    for round in 1..=30 {
        let id = db.say("a", "").await;
        let answer = relay.client.get(&format!("{PATH}?after={cursor}")).await;
        assert_eq!(answer.ids(), [id], "round {round}");
        cursor = answer.cursor();
        assert_eq!(
            relay
                .client
                .get(&format!("{PATH}?before={}&limit=1", id + 1))
                .await
                .ids(),
            [id],
            "round {round}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_events_cursor_and_more() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    let empty = relay.client.get(PATH).await;
    assert_eq!(
        empty.body,
        format!("{{\"events\":[],\"cursor\":\"{epoch}.0\",\"more\":false}}")
    );
    assert_eq!(empty.header("content-type"), Some("application/json"));
    assert_eq!(empty.header("cache-control"), Some("no-store"));
    db.say("a", "hi").await;
    let event = r#"{"op":"insert","id":1,"room":"a","row":{"id":1,"room":"a","body":"hi"}}"#;
    let expected = format!("{{\"events\":[{event}],\"cursor\":\"{epoch}.1\",\"more\":false}}");
    assert_eq!(relay.client.get(PATH).await.body, expected);
    assert_eq!(
        relay.client.get(&format!("{PATH}?wait=10&after=0")).await.body,
        expected
    );
}

#[tokio::test]
async fn a_plain_poll_without_a_cursor_shows_the_newest() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 250).await;
    let newest = relay.client.get(PATH).await;
    assert_eq!(newest.ids(), (151..=250).collect::<Vec<_>>());
    assert_eq!(newest.json()["more"], false);
    let newest = relay.client.get(&format!("{PATH}?limit=2")).await;
    assert_eq!(newest.ids(), [249, 250]);
    assert_eq!(newest.json()["more"], false);
}

#[tokio::test]
async fn polls_walk_through_everything_by_their_cursors() {
    let (db, relay) = scene(&[]).await;
    for _ in 0..250 / 50 {
        db.say_many("a", 50).await;
        db.say_many("b", 7).await;
    }
    let total = 250;
    for (limit, parameter, wait) in [
        (100, "", ""),
        (100, "&limit=100", "&wait=30"),
        (1000, "&limit=1000", ""),
        (33, "&limit=33", ""),
    ] {
        let mut seen = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let answer = relay
                .client
                .get(&format!("{PATH}?after={cursor}{parameter}{wait}"))
                .await;
            seen.extend(answer.ids());
            cursor = answer.cursor();
            let more = seen.len() < total;
            assert_eq!(answer.json()["more"], more, "limit {limit}, at {}", seen.len());
            if !more {
                break;
            }
            assert_eq!(answer.ids().len(), limit);
        }
        assert_eq!(seen.len(), total);
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    }
}

#[tokio::test]
async fn before_scrolls_back_to_the_beginning() {
    let (db, relay) = scene(&[]).await;
    for _ in 0..50 {
        db.say_many("a", 5).await;
        db.say("b", "").await;
    }
    let all = relay
        .client
        .get(&format!("{PATH}?after=0&limit=1000"))
        .await
        .ids();
    assert_eq!(all.len(), 250);
    let mut below = *all.last().unwrap() + 1;
    let mut seen = Vec::new();
    loop {
        let answer = relay.client.get(&format!("{PATH}?before={below}&limit=60")).await;
        let ids = answer.ids();
        let Some(&first) = ids.first() else { break };
        assert!(ids.iter().all(|id| *id < below), "{ids:?}");
        seen.splice(0..0, ids);
        below = first;
        assert_eq!(
            answer.json()["more"],
            seen.len() < all.len(),
            "older ones remain or not"
        );
    }
    assert_eq!(seen, all);
    let mid = all[100];
    let expected: Vec<i64> = all[..100].to_vec();
    assert_eq!(
        relay.client.get(&format!("{PATH}?before={mid}")).await.ids(),
        expected
    );
    assert_eq!(
        relay
            .client
            .get(&format!("{PATH}?before=9223372036854775807&limit=1"))
            .await
            .ids(),
        all[249..]
    );
    for none in ["0", "1"] {
        let answer = relay.client.get(&format!("{PATH}?before={none}")).await;
        assert_eq!((answer.ids(), &answer.json()["more"]), (vec![], &false.into()));
    }
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_there_is_an_event() {
    let (db, relay) = scene(&[]).await;
    let cursor = relay.client.get(PATH).await.cursor();
    let waiting = tokio::spawn(relay.client.get(&format!("{PATH}?wait=60&after={cursor}")));
    let fresh = tokio::spawn(relay.client.get(&format!("{PATH}?wait=60")));
    let waits = |line: &String| line.contains("a long poll waits");
    eventually(async || relay.log().iter().filter(|line| waits(line)).count() == 2).await;
    // Rows of other rooms wake nobody; a plain poll shows that the relay has seen them.
    for _ in 0..20 {
        db.say("b", "").await;
    }
    relay.client.get(PATH).await;
    assert!(!waiting.is_finished() && !fresh.is_finished());
    let began = Instant::now();
    let id = db.say("a", "").await;
    let answer = within(waiting).await.unwrap();
    assert_eq!(answer.ids(), [id]);
    assert_eq!(answer.json()["more"], false);
    assert_eq!(within(fresh).await.unwrap().ids(), [id]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_long_poll_answers_at_once_with_what_was_missed() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 3).await;
    let began = Instant::now();
    assert_eq!(
        relay.client.get(&format!("{PATH}?wait=60&after=1")).await.ids(),
        [2, 3]
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_long_poll_without_an_event_ends_with_an_empty_list_and_a_cursor_that_moves() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    let began = Instant::now();
    let waiting = tokio::spawn(relay.client.get(&format!("{PATH}?wait=1&after={epoch}.0")));
    db.say_many("b", 3).await;
    let answer = within(waiting).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(990),
        "{:?}",
        began.elapsed()
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(
        answer.body,
        format!("{{\"events\":[],\"cursor\":\"{epoch}.3\",\"more\":false}}")
    );
}
