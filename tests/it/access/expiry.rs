//! A token's end, and how its bearer goes on with the next one.

use futures_util::future::join_all;
use serde_json::json;

use super::live::{Live, STREAMS};
use super::{A, bearer, from_now, guard, guarded, reader, reads, request, sending, ticket, token};
use crate::support::{Client, Subscriber, TestDatabase, Transport, with_query, within};

/// Each of the streams that run beside each other has a room of its own.
fn path_of(room: &str) -> String {
    format!("/v1/rooms/{room}/events")
}

/// Writes rows into the stream's room, one as soon as the last one is received, until the stream ends: its code, and the row
/// that it did not bring.
async fn until_it_ends(db: &TestDatabase, room: &str, live: &mut Live) -> (String, i64) {
    within(async {
        loop {
            let id = db.say(room, "x").await;
            match live.next().await {
                Ok(received) => assert_eq!(received, id),
                Err(code) => return (code, id),
            }
        }
    })
    .await
}

/// A client whose token ends in some seconds, and when.
fn short_lived(client: &Client, room: &str) -> (Client, i64) {
    let end = from_now(2);
    let claims = json!({ "sub": "ada", "rooms": [room], "exp": end });
    (bearer(client, claims), end)
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_goes_on_with_the_next_without_loss() {
    let (db, relay) = guarded(&[]).await;
    let other = guard(&db, &[]).await;
    let streams = STREAMS.into_iter().zip(["a", "b"]);
    let ends = streams.map(async |(transport, room)| {
        let path = path_of(room);
        let (ada, end) = short_lived(&relay.client, room);
        // Somebody whose token lasts.
        let mut lasting = Live::open(&reader(&relay.client, &[room]), transport, &path).await;
        let mut live = Live::open(&ada, transport, &path).await;
        let (code, unseen) = until_it_ends(&db, room, &mut live).await;
        assert_eq!(code, "token_expired", "{transport:?}");
        assert!(from_now(0) >= end, "{transport:?}: it ended before its token");
        let meanwhile = db.say(room, "meanwhile").await;
        let mut missed = live.since_cursor.clone();
        missed.extend([unseen, meanwhile]);
        let renewed = reader(&other.client, &[room]);
        for resumed in Transport::ALL {
            let mut subscriber = Subscriber::resume(&renewed, resumed, &path, &live.cursor).await;
            assert_eq!(
                subscriber.ids(missed.len()).await,
                missed,
                "{transport:?} {resumed:?}"
            );
        }
        within(async { while lasting.next().await != Ok(meanwhile) {} }).await;
    });
    join_all(ends).await;
}

#[tokio::test]
async fn a_stream_that_a_ticket_or_a_cookie_opened_ends_with_the_token() {
    let arguments = ["--auth-cookie", "session", "--ticket-lifetime", "1h"];
    let (db, relay) = guarded(&arguments).await;
    let streams = STREAMS.into_iter().zip([["a", "b"], ["c", "d"]]);
    let ends = streams.map(async |(transport, rooms)| {
        let claims = json!({ "sub": "ada", "rooms": rooms, "exp": from_now(2) });
        let ticket = ticket(&bearer(&relay.client, claims.clone()), &rooms[..1]).await;
        let by_ticket = format!("{}?ticket={ticket}", path_of(rooms[0]));
        let cookie = sending(&relay.client, "cookie", &format!("session={}", token(claims)));
        let opened = [(&relay.client, by_ticket), (&cookie, path_of(rooms[1]))];
        let ends = opened.iter().zip(rooms).map(async |((client, path), room)| {
            let mut live = Live::open(client, transport, path).await;
            let (code, _) = until_it_ends(&db, room, &mut live).await;
            assert_eq!(code, "token_expired", "{transport:?} {path}");
        });
        join_all(ends).await;
    });
    join_all(ends).await;
}

#[tokio::test]
async fn a_waiting_long_poll_is_answered_when_its_token_ends() {
    let (db, relay) = guarded(&[]).await;
    let (ada, end) = short_lived(&relay.client, "a");
    let cursor = ada.get(A).await.cursor();
    let path = with_query(A, &format!("after={cursor}"));
    let waiting = ada.send(request(&ada, Transport::LongPoll, &path));
    let answer = waiting.await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.code()),
        (401, "unauthenticated")
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    assert!(from_now(0) >= end, "it was answered before its token ended");
    let id = db.say("a", "x").await;
    let renewed = reader(&relay.client, &["a"]);
    let mut subscriber = Subscriber::resume(&renewed, Transport::LongPoll, A, &cursor).await;
    assert_eq!(subscriber.ids(1).await, [id]);
}

#[tokio::test]
async fn after_its_end_a_token_is_refused_and_its_cursor_is_still_good() {
    let (db, relay) = guarded(&["--jwt-leeway", "0s"]).await;
    let (ada, _) = short_lived(&relay.client, "a");
    let cursor = ada.get(A).await.cursor();
    let id = db.say("a", "x").await;
    let path = with_query(A, &format!("after={cursor}"));
    crate::support::eventually(async || ada.get(&path).await.status == 401).await;
    assert_eq!(reads(&ada, A).await, super::unauthenticated());
    for transport in Transport::ALL {
        let renewed = reader(&relay.client, &["a"]);
        let mut subscriber = Subscriber::resume(&renewed, transport, A, &cursor).await;
        assert_eq!(subscriber.ids(1).await, [id], "{transport:?}");
    }
}
