//! Which rooms a token's claim admits, to read and to publish into.

use reqwest::Method;
use serde_json::{Value, json};

use super::{A, admitted, bearer, forbidden, guard, guarded, reader, reads, request, verdict};
use crate::support::{Client, Relay, TestDatabase, Transport, attach, database, run};

fn path(room: &str) -> String {
    let encoded: String = room.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/v1/rooms/{encoded}/events")
}

/// A database with two sources of numbered rooms, each with a row in rooms 7 and 8, and a relay.
async fn numbered(arguments: &[&str]) -> (TestDatabase, Relay) {
    let db = database().await;
    for table in ["messages", "orders"] {
        run(
            &db,
            &format!(
                "create table {table} (id bigint generated always as identity primary key, room_id int, body text);
                 create index on {table} (room_id, id);
                 insert into {table} (room_id, body) values (7, 'x'), (8, 'x')"
            ),
        )
        .await;
        attach(&db, &format!("'{table}', room => 'room_id'")).await;
    }
    let relay = guard(&db, arguments).await;
    (db, relay)
}

async fn publish(client: &Client, path: &str) -> (u16, String) {
    verdict(client.request(Method::POST, path).json(&json!({"body": "x"}))).await
}

#[tokio::test]
async fn exact_names_and_prefixes_admit_what_they_name_and_nothing_else() {
    let (db, relay) = guarded(&[]).await;
    let rooms = [
        "lobby", "lobby2", "Lobby", "lobby/", " lobby", "team-", "team-a", "team-a/b", "Team-a", "team",
    ];
    for room in rooms {
        db.say(room, "x").await;
    }
    let ada = reader(&relay.client, &["lobby", "team-*"]);
    for room in rooms {
        let wanted = match room {
            "lobby" | "team-" | "team-a" | "team-a/b" => admitted(),
            _ => forbidden(),
        };
        assert_eq!(reads(&ada, &path(room)).await, wanted, "{room:?}");
    }
    // Whether there is such a room makes no difference.
    assert_eq!(reads(&ada, &path("nothing")).await, forbidden());
}

#[tokio::test]
async fn rooms_that_only_look_alike_are_not_admitted() {
    let (db, relay) = guarded(&[]).await;
    let alike = [
        "cafe\u{301}",
        "CAF\u{c9}",
        "caf\u{e9}\u{200b}",
        "c\u{430}f\u{e9}",
        " caf\u{e9}",
        "caf\u{e9} ",
        "caf%C3%A9",
        "caf\u{e9}/",
        "caf\u{e9}/.",
        "../caf\u{e9}",
    ];
    for room in alike.into_iter().chain(["caf\u{e9}"]) {
        db.say(room, "x").await;
    }
    let ada = reader(&relay.client, &["caf\u{e9}"]);
    for room in alike {
        assert_eq!(reads(&ada, &path(room)).await, forbidden(), "{room:?}");
    }
    // Spellings of the one room are the one room; a slash more is another path.
    for spelling in ["caf%C3%A9", "%63af%c3%a9", "c%61f\u{e9}"] {
        let path = format!("/v1/rooms/{spelling}/events");
        assert_eq!(reads(&ada, &path).await, admitted(), "{spelling}");
        let query = format!("/v1/events?room={spelling}");
        assert_eq!(reads(&ada, &query).await, admitted(), "{spelling}");
    }
    let (status, code) = reads(&ada, "/v1/rooms/caf%C3%A9/events/").await;
    assert_eq!((status, &*code), (404, "not_found"));
}

#[tokio::test]
async fn a_claim_of_nothing_admits_to_nothing() {
    let (db, relay) = guarded(&["--allow-publish"]).await;
    db.say("a", "x").await;
    for rooms in [
        json!(null),
        json!([]),
        json!({}),
        json!({"read": []}),
        json!({"sources": ["messages"]}),
    ] {
        let ada = bearer(&relay.client, json!({ "sub": "ada", "rooms": rooms }));
        assert_eq!(reads(&ada, A).await, forbidden(), "{rooms}");
        assert_eq!(publish(&ada, A).await, forbidden(), "{rooms}");
        assert_eq!(
            super::ask_ticket(&ada, &["a"]).await.code(),
            "forbidden",
            "{rooms}"
        );
    }
}

#[tokio::test]
async fn another_claim_may_hold_the_rooms() {
    let (db, relay) = guarded(&["--jwt-rooms-claim", "https://example.org/rooms"]).await;
    db.say("a", "x").await;
    let ada = bearer(&relay.client, json!({ "https://example.org/rooms": ["a"] }));
    assert_eq!(reads(&ada, A).await, admitted());
    assert_eq!(reads(&reader(&relay.client, &["a"]), A).await, forbidden());
}

#[tokio::test]
async fn several_rooms_are_admitted_together_or_not_at_all() {
    let (db, relay) = guarded(&[]).await;
    for room in ["a", "b", "c"] {
        db.say(room, "x").await;
    }
    let ada = reader(&relay.client, &["a", "b"]);
    for query in ["room=a", "room=a&room=b", "room=b&room=b&room=a"] {
        assert_eq!(
            reads(&ada, &format!("/v1/events?{query}")).await,
            admitted(),
            "{query}"
        );
    }
    for query in ["room=c", "room=a&room=b&room=c", "room=c&room=a", "room=a,b"] {
        assert_eq!(
            reads(&ada, &format!("/v1/events?{query}")).await,
            forbidden(),
            "{query}"
        );
    }
}

#[tokio::test]
async fn numbers_are_compared_as_the_database_writes_them() {
    let (_db, relay) = numbered(&["--allow-publish"]).await;
    let seven = json!({ "read": ["7"], "publish": ["7"] });
    let ada = bearer(&relay.client, json!({ "rooms": seven }));
    for spelling in ["7", "007", "%2B7", "%37"] {
        let path = format!("/v1/sources/orders/rooms/{spelling}/events");
        assert_eq!(reads(&ada, &path).await, admitted(), "{spelling}");
        assert_eq!(publish(&ada, &path).await.0, 201, "{spelling}");
    }
    for spelling in ["8", "08", "-7", "77"] {
        let path = format!("/v1/sources/orders/rooms/{spelling}/events");
        assert_eq!(reads(&ada, &path).await, forbidden(), "{spelling}");
        assert_eq!(publish(&ada, &path).await, forbidden(), "{spelling}");
    }
    // A claim is held against the room's own name: no other spelling of it is one.
    let slip = reader(&relay.client, &["007"]);
    for spelling in ["7", "007"] {
        let path = format!("/v1/sources/orders/rooms/{spelling}/events");
        assert_eq!(reads(&slip, &path).await, forbidden(), "{spelling}");
    }
}

#[tokio::test]
async fn reading_and_publishing_are_two_things() {
    let (db, relay) = guarded(&["--allow-publish"]).await;
    for room in ["a", "b"] {
        db.say(room, "x").await;
    }
    let b = path("b");
    let only_read = reader(&relay.client, &["*"]);
    let only_publish = bearer(&relay.client, json!({ "rooms": { "publish": ["*"] } }));
    let each_one = bearer(
        &relay.client,
        json!({ "rooms": { "read": ["a"], "publish": ["b"] } }),
    );
    for (client, may_read, may_publish) in [
        (&only_read, ["a", "b"].as_slice(), [].as_slice()),
        (&only_publish, &[], &["a", "b"]),
        (&each_one, &["a"], &["b"]),
    ] {
        for (room, path) in [("a", A), ("b", &b)] {
            let wanted = |rooms: &[&str]| rooms.contains(&room);
            assert_eq!(reads(client, path).await.0 == 200, wanted(may_read), "{room}");
            let (status, code) = publish(client, path).await;
            let expected = if wanted(may_publish) {
                (201, "")
            } else {
                (403, "forbidden")
            };
            assert_eq!((status, &*code), expected, "{room}");
        }
    }
    let published = db.query_one("select count(*) from messages", &[]).await.unwrap();
    assert_eq!(published.get::<_, i64>(0), 2 + 3);
}

#[tokio::test]
async fn a_token_may_be_for_some_sources_only() {
    let (_db, relay) = numbered(&["--allow-publish"]).await;
    let rooms = json!({ "read": ["*"], "publish": ["*"], "sources": ["orders"] });
    let ada = bearer(&relay.client, json!({ "rooms": rooms }));
    let path = |source: &str| format!("/v1/sources/{source}/rooms/7/events");
    assert_eq!(reads(&ada, &path("orders")).await, admitted());
    assert_eq!(reads(&ada, &path("messages")).await, forbidden());
    assert_eq!(publish(&ada, &path("orders")).await.0, 201);
    assert_eq!(publish(&ada, &path("messages")).await, forbidden());
    let ask = |source: &str| {
        let path = format!("/v1/sources/{source}/tickets");
        ada.request(Method::POST, &path).json(&json!({"rooms": ["7"]}))
    };
    assert_eq!(verdict(ask("orders")).await.0, 201);
    assert_eq!(verdict(ask("messages")).await, forbidden());
}

#[tokio::test]
async fn the_firehose_needs_a_star_and_the_operators_word() {
    let all = "/v1/events?room=*";
    let (db, relay) = guarded(&["--allow-firehose"]).await;
    let shut = super::guard(&db, &[]).await;
    db.say("a", "x").await;
    assert_eq!(reads(&reader(&relay.client, &["*"]), all).await, admitted());
    assert_eq!(reads(&reader(&shut.client, &["*"]), all).await, forbidden());
    for rooms in [
        json!(["a", "a*"]),
        json!([]),
        json!(["**"]),
        json!({"publish": ["*"]}),
    ] {
        let ada = bearer(&relay.client, json!({ "rooms": rooms }));
        assert_eq!(reads(&ada, all).await, forbidden(), "{rooms}");
    }
    let elsewhere = json!({ "read": ["*"], "sources": ["orders"] });
    let ada = bearer(&relay.client, json!({ "rooms": elsewhere }));
    assert_eq!(reads(&ada, all).await, forbidden());
}

#[tokio::test]
async fn a_reader_gets_the_rows_of_their_rooms_over_every_transport() {
    let (db, relay) = guarded(&[]).await;
    let ada = reader(&relay.client, &["a", "b"]);
    for transport in Transport::ALL {
        let mut subscriber =
            crate::support::Subscriber::new(&ada, transport, "/v1/events?room=a&room=b").await;
        db.say("c", "others'").await;
        let (one, other) = (db.say("a", "one").await, db.say("b", "other").await);
        assert_eq!(subscriber.ids(2).await, [one, other], "{transport:?}");
    }
}

#[tokio::test]
async fn a_claim_can_carry_no_sql() {
    let (db, relay) = guarded(&["--allow-publish"]).await;
    let room = "a'; drop table messages; --";
    db.say(room, "x").await;
    let claims = json!({ "sub": room, "rooms": { "read": [room], "publish": [room] }, room: room });
    let ada = bearer(&relay.client, claims);
    assert_eq!(reads(&ada, &path(room)).await, admitted());
    assert_eq!(publish(&ada, &path(room)).await.0, 201);
    let answer = super::ask_ticket(&ada, &[room]).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let ticket: Value = answer.json();
    let path = format!(
        "{}?ticket={}",
        path(room),
        ticket["ticket"].as_str().expect("a ticket")
    );
    assert_eq!(
        verdict(request(&relay.client, Transport::Poll, &path)).await,
        admitted()
    );
}
