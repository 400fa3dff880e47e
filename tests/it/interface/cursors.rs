//! Where a subscriber begins: `after`, `Last-Event-ID`, `last`, a row's id, nothing.

use reqwest::Method;

use crate::support::{Subscriber, Transport, scene, with_query};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn a_cursor_resumes_over_every_transport() {
    let (db, relay) = scene(&[]).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, PATH).await;
        let first = db.say("a", "one").await;
        assert_eq!(subscriber.ids(1).await, [first], "{transport:?}");
        let cursor = subscriber.cursor();
        drop(subscriber);
        let (second, _, third) = (
            db.say("a", "two").await,
            db.say("b", "").await,
            db.say("a", "three").await,
        );
        let mut resumed = Subscriber::resume(&relay.client, transport, PATH, &cursor).await;
        assert_eq!(resumed.ids(2).await, [second, third], "{transport:?}");
        let fourth = db.say("a", "four").await;
        assert_eq!(resumed.ids(1).await, [fourth], "{transport:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_one_transport_serves_the_others() {
    let (db, relay) = scene(&[]).await;
    let mut cursor = relay.client.get(PATH).await.cursor();
    for transport in [
        Transport::EventStream,
        Transport::Poll,
        Transport::Ndjson,
        Transport::LongPoll,
        Transport::EventStream,
    ] {
        let id = db.say("a", "").await;
        let mut subscriber = Subscriber::resume(&relay.client, transport, PATH, &cursor).await;
        assert_eq!(subscriber.ids(1).await, [id], "{transport:?}");
        cursor = subscriber.cursor();
    }
}

#[tokio::test]
async fn the_header_wins_over_the_query_and_polyfills_over_after() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 6).await;
    for name in ["last_event_id", "lastEventId", "lastEventID"] {
        let path = format!("{PATH}?after={epoch}.1&{name}={epoch}.3");
        assert_eq!(relay.client.get(&path).await.ids(), [4, 5, 6], "{name}");
        assert_eq!(relay.client.stream(&path).await.ids(3).await, [4, 5, 6], "{name}");
        let header = relay
            .client
            .request(Method::GET, &path)
            .header("Last-Event-ID", format!("{epoch}.4"));
        assert_eq!(relay.client.send(header).await.ids(), [5, 6], "{name}");
        assert_eq!(
            relay
                .client
                .resume(&path, &format!("{epoch}.5"))
                .await
                .ids(1)
                .await,
            [6],
            "{name}"
        );
    }
    assert_eq!(
        relay.client.get(&format!("{PATH}?after={epoch}.4")).await.ids(),
        [5, 6]
    );
    assert_eq!(
        relay
            .client
            .get(&format!("{PATH}?lastEventId={epoch}.4"))
            .await
            .ids(),
        [5, 6]
    );
}

#[tokio::test]
async fn a_bare_integer_is_a_rows_id() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 4).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::resume(&relay.client, transport, PATH, "2").await;
        assert_eq!(subscriber.ids(2).await, [3, 4], "{transport:?}");
    }
    assert_eq!(
        relay.client.get(&format!("{PATH}?after=0")).await.ids(),
        [1, 2, 3, 4]
    );
    assert_eq!(
        relay.client.get(&format!("{PATH}?after=4")).await.ids(),
        Vec::<i64>::new()
    );
}

#[tokio::test]
async fn last_brings_the_newest_of_all_rooms_together_in_order() {
    let (db, relay) = scene(&[]).await;
    for room in ["a", "b", "a", "c", "b", "b"] {
        db.say(room, "").await;
    }
    let rooms = "/v1/events?room=a&room=b";
    for (last, expected) in [(0, &[][..]), (1, &[6]), (3, &[3, 5, 6]), (1000, &[1, 2, 3, 5, 6])] {
        let path = with_query(rooms, &format!("last={last}"));
        let answer = relay.client.get(&path).await;
        assert_eq!(answer.ids(), expected, "poll, last={last}");
        let mut stream = relay.client.stream(&path).await;
        assert_eq!(stream.ids(expected.len()).await, expected, "stream, last={last}");
        assert_eq!(stream.ready().await, answer.cursor(), "last={last}");
    }
    // A long poll that has something to say does not wait.
    let answer = relay.client.get(&with_query(rooms, "last=2&wait=60")).await;
    assert_eq!(answer.ids(), [5, 6]);
}

#[tokio::test]
async fn last_is_ignored_beside_a_cursor() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 5).await;
    let path = format!("{PATH}?last=4");
    let mut stream = relay.client.resume(&path, &format!("{epoch}.4")).await;
    assert_eq!(stream.ids(1).await, [5]);
    stream.ready().await;
    for cursor in [format!("{epoch}.4"), "4".to_owned()] {
        assert_eq!(
            relay.client.get(&format!("{path}&after={cursor}")).await.ids(),
            [5]
        );
        assert_eq!(
            relay
                .client
                .get(&format!("{path}&after={cursor}&wait=30"))
                .await
                .ids(),
            [5]
        );
    }
}

#[tokio::test]
async fn last_above_limit_is_cut_and_goes_on_at_the_cursor() {
    let (db, relay) = scene(&[]).await;
    db.say_many("a", 10).await;
    let answer = relay.client.get(&format!("{PATH}?last=5&limit=2")).await;
    assert_eq!(answer.ids(), [6, 7]);
    assert_eq!(answer.json()["more"], true);
    let rest = relay
        .client
        .get(&format!("{PATH}?after={}", answer.cursor()))
        .await;
    assert_eq!(rest.ids(), [8, 9, 10]);
    assert_eq!(rest.json()["more"], false);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_resumed_is_a_reset() {
    let (db, relay) = scene(&[]).await;
    let epoch = db.epoch("messages").await;
    db.say_many("a", 5).await;
    let present = format!("{epoch}.5");
    for (cursor, code) in [
        (format!("{}.3", epoch + 1), "epoch"),
        (format!("{}.3", epoch - 1), "epoch"),
        (format!("{epoch}.6"), "cursor_ahead"),
        (format!("{epoch}.9000000000000000000"), "cursor_ahead"),
        ("6".to_owned(), "cursor_ahead"),
    ] {
        for wait in ["", "&wait=60"] {
            let answer = relay.client.get(&format!("{PATH}?after={cursor}{wait}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (409, code),
                "{cursor}"
            );
            assert_eq!(answer.cursor(), present, "{cursor}");
        }
        let mut stream = relay.client.resume(&format!("{PATH}?last=2"), &cursor).await;
        let reset = stream.next_event().await;
        assert_eq!(reset.event.as_deref(), Some("reset"), "{cursor}");
        assert_eq!(reset.id.as_deref(), Some(present.as_str()), "{cursor}");
        assert_eq!(
            reset.data,
            Some(format!("{{\"code\":\"{code}\",\"cursor\":\"{present}\"}}")),
            "{cursor}"
        );
        assert_eq!(stream.ids(2).await, [4, 5], "{cursor}");
        assert_eq!(stream.ready().await, present, "{cursor}");
        let mut stream = relay.client.resume(PATH, &cursor).await;
        assert_eq!(
            stream.next_event().await.event.as_deref(),
            Some("reset"),
            "{cursor}"
        );
        assert_eq!(stream.ready().await, present, "{cursor}");
    }
}
