//! A refused request leaves its ticket as it was: only an answer is worth one.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::members::{asking, user, with_members};
use super::{A, admitted, guarded, reader, request, ticket, unauthenticated, unavailable, verdict};
use crate::support::{Client, Transport, eventually, run, with_query};

/// What a relay says to a ticket.
async fn with_ticket(client: &Client, transport: Transport, path: &str, ticket: &str) -> (u16, String) {
    let path = with_query(path, &format!("ticket={ticket}"));
    verdict(request(client, transport, &path)).await
}

/// A ticket that was shown in vain lets in, once.
async fn is_good(client: &Client, transport: Transport, ticket: &str) {
    let path = format!("{A}?last=1");
    for wanted in [admitted(), unauthenticated()] {
        assert_eq!(with_ticket(client, transport, &path, ticket).await, wanted);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_its_ticket_good() {
    let (db, relay) = guarded(&["--max-rooms", "2"]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    for transport in Transport::ALL {
        let ticket = ticket(&ada, &["a"]).await;
        for (path, status, code) in [
            ("/v1/rooms/a/events?after=nonsense", 400, "invalid_cursor"),
            ("/v1/rooms/a/events?limit=0", 400, "invalid_parameter"),
            ("/v1/rooms/a/events?last=1&last=2", 400, "invalid_parameter"),
            ("/v1/events?room=a&room=b&room=c", 400, "invalid_parameter"),
            ("/v1/events", 400, "invalid_parameter"),
            ("/v1/sources/nothing/rooms/a/events", 404, "unknown_source"),
            ("/v1/rooms/%00/events", 404, "unknown_room"),
            ("/v1/rooms/b/events", 403, "forbidden"),
            ("/v1/events?room=*", 403, "forbidden"),
        ] {
            let said = with_ticket(&relay.client, transport, path, &ticket).await;
            assert_eq!(said, (status, code.to_owned()), "{path} {transport:?}");
        }
        let html = relay
            .client
            .request(Method::GET, &format!("{A}?ticket={ticket}"))
            .header("accept", "text/html");
        assert_eq!(verdict(html).await, (406, "not_acceptable".to_owned()));
        if matches!(transport, Transport::LongPoll | Transport::Poll) {
            let path = format!("{A}?after=999.1");
            let said = with_ticket(&relay.client, transport, &path, &ticket).await;
            assert_eq!(said, (409, "epoch".to_owned()), "{transport:?}");
        }
        is_good(&relay.client, transport, &ticket).await;
    }
}

#[tokio::test]
async fn nobody_learns_from_a_bad_ticket_what_there_is() {
    let (_db, relay) = guarded(&[]).await;
    let bad = "A".repeat(43);
    for path in [
        A,
        "/v1/sources/nothing/rooms/a/events",
        "/v1/rooms/%00/events",
        "/v1/rooms/a/events?after=nonsense",
    ] {
        for transport in Transport::ALL {
            let said = with_ticket(&relay.client, transport, path, &bad).await;
            assert_eq!(said, unauthenticated(), "{path} {transport:?}");
        }
    }
}

#[tokio::test]
async fn a_request_too_many_leaves_its_ticket_good() {
    let (db, relay) = guarded(&["--max-requests-per-second", "1"]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    for transport in Transport::ALL {
        let mut bought = None;
        eventually(async || {
            let answer = super::ask_ticket(&ada, &["a"]).await;
            bought = answer.json()["ticket"].as_str().map(str::to_owned);
            bought.is_some()
        })
        .await;
        let ticket = bought.expect("it was bought");
        // However slow this machine is: among so many at once there are some within one second. Those that are not too many
        // are for a room that the ticket is not for.
        let crowd = (0..50).map(|_| with_ticket(&relay.client, transport, "/v1/rooms/b/events", &ticket));
        let verdicts = join_all(crowd).await;
        assert!(
            verdicts.contains(&(429, "rate_limited".to_owned())),
            "{verdicts:?}"
        );
        let path = format!("{A}?last=1");
        eventually(async || with_ticket(&relay.client, transport, &path, &ticket).await == admitted()).await;
    }
}

#[tokio::test]
async fn a_question_that_fails_leaves_the_ticket_good() {
    let db = with_members().await;
    let relay = asking(&db, &[]).await;
    let ada = user(&relay.client, "ada");
    for transport in Transport::ALL {
        let ticket = ticket(&ada, &["a"]).await;
        run(&db, "alter table members rename to elsewhere").await;
        // The answer that was given for the ticket is remembered for a moment.
        let path = format!("{A}?last=1");
        eventually(async || verdict(request(&ada, Transport::Poll, &path)).await == unavailable()).await;
        let said = with_ticket(&relay.client, transport, &path, &ticket).await;
        assert_eq!(said, unavailable(), "{transport:?}");
        run(&db, "alter table elsewhere rename to members").await;
        eventually(async || verdict(request(&ada, Transport::Poll, &path)).await == admitted()).await;
        is_good(&relay.client, transport, &ticket).await;
    }
}

#[tokio::test]
async fn a_long_poll_uses_its_ticket_up_before_it_waits() {
    let (db, relay) = guarded(&["--log-level", "rowcast=debug"]).await;
    let ada = reader(&relay.client, &["a"]);
    let ticket = ticket(&ada, &["a"]).await;
    let waits = async {
        eventually(async || relay.log().iter().any(|line| line.contains("a long poll waits"))).await;
        let again = with_ticket(&relay.client, Transport::Poll, A, &ticket).await;
        assert_eq!(again, unauthenticated());
        db.say("a", "x").await;
    };
    let polled = with_ticket(&relay.client, Transport::LongPoll, A, &ticket);
    assert_eq!(tokio::join!(polled, waits).0, admitted());
}

#[tokio::test]
async fn no_ticket_is_sold_that_is_too_large_to_keep() {
    let (db, relay) = guarded(&[]).await;
    let ada = reader(&relay.client, &["*"]);
    let rooms: Vec<String> = (0..100).map(|number| format!("{number:0>1000}")).collect();
    for (count, wanted) in [
        (100, (400, "invalid_parameter".to_owned())),
        (10, (201, String::new())),
    ] {
        let body = json!({ "rooms": &rooms[..count] });
        let sale = ada.request(Method::POST, "/v1/tickets").json(&body);
        let (status, code) = verdict(sale).await;
        assert_eq!((status, code), wanted, "{count} rooms");
    }
    let sold = "select count(*), max(length(contents)) < 16 * 1024 from rowcast.tickets";
    let row = db.query_one(sold, &[]).await.expect("read the tickets");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
}
