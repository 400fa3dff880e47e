//! Tickets: what stands in for a token where no header can be sent.

use futures_util::future::join;
use reqwest::Method;
use serde_json::json;

use super::{
    A, admitted, ask_ticket, bearer, forbidden, guard, guarded, reader, reads, request, ticket, token,
    unauthenticated, verdict,
};
use crate::support::{Client, Transport, attach, eventually, run, with_query};

/// What a relay says to this ticket over a transport, where there is an event in room `a`.
async fn with_ticket(client: &Client, transport: Transport, path: &str, ticket: &str) -> (u16, String) {
    let path = with_query(path, &format!("last=1&ticket={ticket}"));
    verdict(request(client, transport, &path)).await
}

#[tokio::test]
async fn a_ticket_lets_in_once_over_every_transport_and_needs_no_header() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    for transport in Transport::ALL {
        let ticket = ticket(&ada, &["a"]).await;
        assert_eq!(
            with_ticket(&relay.client, transport, A, &ticket).await,
            admitted()
        );
        for again in Transport::ALL {
            let verdict = with_ticket(&relay.client, again, A, &ticket).await;
            assert_eq!(verdict, unauthenticated(), "{transport:?}, then {again:?}");
        }
    }
}

#[tokio::test]
async fn a_ticket_opens_a_stream_that_goes_on_after_it_is_used_up() {
    let (db, relay) = guarded(&[]).await;
    let ada = reader(&relay.client, &["a"]);
    let path = format!("{A}?ticket={}", ticket(&ada, &["a"]).await);
    let mut stream = relay.client.stream(&path).await;
    let cursor = stream.ready().await;
    let one = db.say("a", "one").await;
    assert_eq!(stream.ids(1).await, [one]);
    drop(stream);
    // It comes back with a new one, where it was.
    let other = db.say("a", "other").await;
    let path = format!("{A}?ticket={}", ticket(&ada, &["a"]).await);
    assert_eq!(
        relay.client.resume(&path, &cursor).await.ids(2).await,
        [one, other]
    );
}

#[tokio::test]
async fn of_two_who_use_a_ticket_at_once_on_two_relays_one_is_let_in() {
    let (db, one) = guarded(&[]).await;
    let other = guard(&db, &[]).await;
    db.say("a", "x").await;
    let ada = reader(&one.client, &["a"]);
    for round in 0..25 {
        for transport in Transport::ALL {
            let ticket = ticket(&ada, &["a"]).await;
            let (here, there) = join(
                with_ticket(&one.client, transport, A, &ticket),
                with_ticket(&other.client, transport, A, &ticket),
            )
            .await;
            let mut verdicts = [here, there];
            verdicts.sort();
            assert_eq!(verdicts, [admitted(), unauthenticated()], "{round} {transport:?}");
        }
    }
}

#[tokio::test]
async fn a_ticket_is_good_for_its_rooms_of_its_source() {
    let (db, relay) = guarded(&[]).await;
    run(
        &db,
        "create table orders (id bigint generated always as identity primary key, room text);
         insert into orders (room) values ('a')",
    )
    .await;
    attach(&db, "'orders', room => 'room'").await;
    for room in ["a", "b", "c"] {
        db.say(room, "x").await;
    }
    let ada = reader(&relay.client, &["*"]);
    // The grants come after the attach: the relay sees them when it looks again.
    let orders = "/v1/sources/orders/rooms/a/events";
    eventually(async || verdict(request(&ada, Transport::Poll, orders)).await == admitted()).await;
    // Which source is meant without a name is no longer clear.
    let issue = async |rooms: &[&str]| {
        let answer = ada
            .post("/v1/sources/messages/tickets", &json!({ "rooms": rooms }))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["ticket"].as_str().expect("a ticket").to_owned()
    };
    for (path, wanted) in [
        ("/v1/sources/messages/rooms/a/events", admitted()),
        ("/v1/sources/messages/events?room=a&room=b", admitted()),
        ("/v1/sources/messages/events?room=b", admitted()),
        ("/v1/sources/messages/rooms/c/events", forbidden()),
        ("/v1/sources/messages/rooms/A/events", forbidden()),
        ("/v1/sources/messages/events?room=a&room=c", forbidden()),
        ("/v1/sources/messages/events?room=*", forbidden()),
        ("/v1/sources/orders/rooms/a/events", forbidden()),
    ] {
        for transport in Transport::ALL {
            let ticket = issue(&["a", "b"]).await;
            let said = with_ticket(&relay.client, transport, path, &ticket).await;
            assert_eq!(said, wanted, "{path} {transport:?}");
            // It is used up by what it opened alone.
            let again = with_ticket(&relay.client, transport, path, &ticket).await;
            let wanted = match &wanted {
                (200, _) => &unauthenticated(),
                refused => refused,
            };
            assert_eq!(again, *wanted, "{path} {transport:?}");
        }
    }
}

#[tokio::test]
async fn a_ticket_is_over_after_its_lifetime() {
    let (db, relay) = guarded(&["--ticket-lifetime", "1s"]).await;
    let long = guard(&db, &["--ticket-lifetime", "1h"]).await;
    db.say("a", "x").await;
    for transport in Transport::ALL {
        let answer = ask_ticket(&reader(&relay.client, &["a"]), &["a"]).await;
        assert_eq!(answer.json()["expires_in"], 1);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let short = answer.json()["ticket"].as_str().expect("a ticket").to_owned();
        let answer = ask_ticket(&reader(&long.client, &["a"]), &["a"]).await;
        assert_eq!(answer.json()["expires_in"], 3600);
        let other = answer.json()["ticket"].as_str().expect("a ticket").to_owned();
        // By the database's clock.
        let left = "select count(*) from rowcast.tickets where expires_at > clock_timestamp()";
        eventually(async || db.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
        let verdict = with_ticket(&relay.client, transport, A, &short).await;
        assert_eq!(verdict, unauthenticated(), "{transport:?}");
        assert_eq!(with_ticket(&relay.client, transport, A, &other).await, admitted());
    }
}

#[tokio::test]
async fn a_ticket_neither_publishes_nor_gets_tickets() {
    let (db, relay) = guarded(&["--allow-publish"]).await;
    db.say("a", "x").await;
    let rooms = json!({ "read": ["a"], "publish": ["a"] });
    let ada = bearer(&relay.client, json!({ "rooms": rooms }));
    let ticket = ticket(&ada, &["a"]).await;
    for (path, body) in [
        (A, json!({"body": "x"})),
        ("/v1/tickets", json!({"rooms": ["a"]})),
    ] {
        let path = format!("{path}?ticket={ticket}");
        let request = relay.client.request(Method::POST, &path).json(&body);
        assert_eq!(verdict(request).await, unauthenticated(), "{path}");
    }
    // It was not looked at there.
    let verdict = with_ticket(&relay.client, Transport::Poll, A, &ticket).await;
    assert_eq!(verdict, admitted());
}

#[tokio::test]
async fn a_head_request_takes_no_ticket_and_uses_none_up() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    for transport in Transport::ALL {
        let ticket = ticket(&ada, &["a"]).await;
        let path = format!("{A}?last=1&ticket={ticket}");
        let get = request(&relay.client, transport, &path)
            .build()
            .expect("a request");
        let accept = get.headers()["accept"].clone();
        let head = relay.client.request(Method::HEAD, &path).header("accept", accept);
        assert_eq!(relay.client.send(head).await.status, 401, "{transport:?}");
        let said = with_ticket(&relay.client, transport, A, &ticket).await;
        assert_eq!(said, admitted(), "{transport:?}");
    }
    // Who shows who they are gets the head.
    let head = ada.request(Method::HEAD, A).header("accept", "application/json");
    assert_eq!(ada.send(head).await.status, 200);
}

#[tokio::test]
async fn tickets_are_issued_for_rooms_that_may_be_read() {
    let (db, relay) = guarded(&["--max-rooms", "2"]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a", "team-*"]);
    for (rooms, status, code) in [
        (json!(["a"]), 201, ""),
        (json!(["a", "team-1"]), 201, ""),
        (json!(["b"]), 403, "forbidden"),
        (json!(["a", "b"]), 403, "forbidden"),
        (json!(["*"]), 403, "forbidden"),
        (json!([]), 400, "invalid_parameter"),
        (json!(["a", "team-1", "team-2"]), 400, "invalid_parameter"),
        (json!("a"), 400, "invalid_body"),
        (json!([1]), 400, "invalid_body"),
    ] {
        let request = ada.request(Method::POST, "/v1/tickets");
        let (said, why) = verdict(request.json(&json!({ "rooms": rooms }))).await;
        assert_eq!((said, &*why), (status, code), "{rooms}");
    }
    let stored = db
        .query_one("select count(*) from rowcast.tickets", &[])
        .await
        .unwrap();
    assert_eq!(stored.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn what_is_no_ticket_lets_nobody_in() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let good = ticket(&reader(&relay.client, &["a"]), &["a"]).await;
    let hash: String = db
        .query_one("select encode(hash, 'hex') from rowcast.tickets", &[])
        .await
        .unwrap()
        .get(0);
    let claims = json!({ "rooms": ["a"] });
    for bad in [
        "",
        "a",
        &good[1..],
        &format!("{good}="),
        &good.to_lowercase(),
        &hash,
        &"A".repeat(43),
        &"A".repeat(5000),
        "%27%20or%20true--",
        &token(claims),
    ] {
        for transport in Transport::ALL {
            let verdict = with_ticket(&relay.client, transport, A, bad).await;
            assert_eq!(verdict, unauthenticated(), "{bad:?} {transport:?}");
        }
    }
    assert_eq!(
        with_ticket(&relay.client, Transport::Poll, A, &good).await,
        admitted()
    );
}

#[tokio::test]
async fn a_header_goes_before_a_ticket_which_stays_unused() {
    let (db, relay) = guarded(&[]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    let ticket = ticket(&ada, &["a"]).await;
    let with_both = with_ticket(&ada, Transport::Poll, A, &ticket).await;
    assert_eq!(with_both, admitted());
    let alone = with_ticket(&relay.client, Transport::Poll, A, &ticket).await;
    assert_eq!(alone, admitted());
}

#[tokio::test]
async fn nobody_needs_a_ticket_where_nobody_is_asked() {
    let (_db, relay) = crate::support::scene(&[]).await;
    let answer = ask_ticket(&relay.client, &["a"]).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "not_found"));
}

#[tokio::test]
async fn tokens_in_the_query_are_off_unless_asked_for() {
    let (db, shut) = guarded(&[]).await;
    let open = guard(&db, &["--allow-query-token"]).await;
    db.say("a", "x").await;
    let path = |room: &str| {
        let token = token(json!({ "rooms": ["a"] }));
        format!("/v1/rooms/{room}/events?access_token={token}")
    };
    assert_eq!(reads(&shut.client, &path("a")).await, unauthenticated());
    assert_eq!(reads(&open.client, &path("a")).await, admitted());
    assert_eq!(reads(&open.client, &path("b")).await, forbidden());
    assert_eq!(
        reads(&open.client, &format!("{A}?access_token=a")).await,
        unauthenticated()
    );
}
