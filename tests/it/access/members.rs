//! `--authorize-sql`: the database says who may read a room.

use serde_json::json;

use super::{
    A, JWT, admitted, bearer, forbidden, guard, guarded, reader, reads, request, ticket, unauthenticated,
    unavailable, verdict,
};
use crate::support::{
    Client, Relay, Subscriber, TestDatabase, Transport, attach, connect, database, eventually, messages,
    relay, run, server,
};

pub const MEMBERS_ONLY: &str = "select exists (select from members where room = $1 and user_id = $2->>'sub')";

/// The table `messages` with a row in rooms `a`, `b` and `c`, and members: Ada of `a` and `b`, Bob of `a`.
pub async fn with_members() -> TestDatabase {
    let db = messages().await;
    run(
        &db,
        "create table members (room text, user_id text);
         insert into members values ('a', 'ada'), ('b', 'ada'), ('a', 'bob');
         grant select on members to relay",
    )
    .await;
    for room in ["a", "b", "c"] {
        db.say(room, "x").await;
    }
    db
}

/// A relay that asks for members, with these arguments.
pub async fn asking(db: &TestDatabase, arguments: &[&str]) -> Relay {
    guard(db, &[&["--authorize-sql", MEMBERS_ONLY], arguments].concat()).await
}

/// A client of a user whose token says nothing of rooms.
pub fn user(client: &Client, name: &str) -> Client {
    bearer(client, json!({ "sub": name }))
}

/// Keeps everybody away from the database, and ends the relays' sessions.
pub async fn take_away(db: &TestDatabase) {
    let admin = connect(&server().url("postgres")).await;
    run(
        &admin,
        &format!("alter database {} allow_connections false", db.name),
    )
    .await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay' and datname";
    run(&admin, &format!("{end} = '{}'", db.name)).await;
}

/// Lets them in again.
pub async fn bring_back(db: &TestDatabase) {
    let admin = connect(&server().url("postgres")).await;
    run(
        &admin,
        &format!("alter database {} allow_connections true", db.name),
    )
    .await;
}

#[tokio::test]
async fn members_are_admitted_and_nobody_else() {
    let db = with_members().await;
    let relay = asking(&db, &[]).await;
    let (ada, bob) = (user(&relay.client, "ada"), user(&relay.client, "bob"));
    for (client, path, wanted) in [
        (&ada, "/v1/rooms/a/events", admitted()),
        (&ada, "/v1/rooms/c/events", forbidden()),
        (&ada, "/v1/rooms/nothing/events", forbidden()),
        (&ada, "/v1/events?room=a&room=b", admitted()),
        (&ada, "/v1/events?room=a&room=b&room=c", forbidden()),
        (&bob, "/v1/rooms/a/events", admitted()),
        (&bob, "/v1/rooms/b/events", forbidden()),
        (&bob, "/v1/events?room=a&room=b", forbidden()),
        (&user(&relay.client, "eve"), "/v1/rooms/a/events", forbidden()),
        (
            &user(&relay.client, "' or true --"),
            "/v1/rooms/a/events",
            forbidden(),
        ),
        (
            &bearer(&relay.client, json!({})),
            "/v1/rooms/a/events",
            forbidden(),
        ),
        (&relay.client, "/v1/rooms/a/events", unauthenticated()),
    ] {
        assert_eq!(reads(client, path).await, wanted, "{path}");
    }
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&ada, transport, "/v1/events?room=a&room=b").await;
        let (one, other) = (db.say("a", "one").await, db.say("b", "other").await);
        assert_eq!(subscriber.ids(2).await, [one, other], "{transport:?}");
    }
}

#[tokio::test]
async fn claim_and_database_must_both_admit() {
    let db = with_members().await;
    let relay = asking(&db, &["--allow-firehose", "--allow-publish"]).await;
    for (rooms, path, wanted) in [
        (json!(["a"]), "/v1/rooms/a/events", admitted()),
        (json!(["a"]), "/v1/rooms/b/events", forbidden()),
        (json!(["c"]), "/v1/rooms/c/events", forbidden()),
        (json!(["*"]), "/v1/rooms/b/events", admitted()),
        (json!([]), "/v1/rooms/a/events", forbidden()),
        (
            json!({"sources": ["orders"], "read": ["*"]}),
            "/v1/rooms/a/events",
            forbidden(),
        ),
        // The question is about one room: none can be asked about all of them.
        (json!(["*"]), "/v1/events?room=*", forbidden()),
        (json!(null), "/v1/events?room=*", forbidden()),
    ] {
        let ada = bearer(&relay.client, json!({ "sub": "ada", "rooms": rooms }));
        assert_eq!(reads(&ada, path).await, wanted, "{rooms} {path}");
    }
    // Who is a member may read; publishing needs the claim's word.
    let answer = user(&relay.client, "ada").post(A, &json!({"body": "x"})).await;
    assert_eq!(answer.code(), "forbidden");
}

#[tokio::test]
async fn null_and_no_row_are_no() {
    let db = with_members().await;
    for statement in [
        "select null::boolean",
        "select true where $1 = 'nothing'",
        "select ($2->>'admin')::boolean",
        "select false",
    ] {
        let relay = guard(&db, &["--authorize-sql", statement]).await;
        assert_eq!(
            reads(&user(&relay.client, "ada"), A).await,
            forbidden(),
            "{statement}"
        );
    }
    let relay = guard(&db, &["--authorize-sql", "select ($2->>'admin')::boolean"]).await;
    let admin = bearer(&relay.client, json!({ "admin": true }));
    assert_eq!(reads(&admin, A).await, admitted());
}

#[tokio::test]
async fn a_room_is_given_in_the_type_of_its_column() {
    let db = database().await;
    run(
        &db,
        "create table messages (id bigint generated always as identity primary key, room_id int, body text);
         create index on messages (room_id, id);
         insert into messages (room_id) values (7), (8);
         create table members (room_id int, user_id int);
         insert into members values (7, 1);
         grant select on members to relay",
    )
    .await;
    attach(&db, "'messages', room => 'room_id'").await;
    let statement = "select exists (select from members where room_id = $1 and user_id = ($2->>'sub')::int)";
    let relay = Relay::serve(
        &db.relay_url,
        &[&JWT[..], &["--authorize-sql", statement]].concat(),
    )
    .await;
    let one = user(&relay.client, "1");
    for (room, wanted) in [("7", admitted()), ("007", admitted()), ("8", forbidden())] {
        let path = format!("/v1/rooms/{room}/events");
        assert_eq!(reads(&one, &path).await, wanted, "{room}");
    }
}

#[tokio::test]
async fn a_ticket_is_issued_to_members_and_asked_about_again() {
    let db = with_members().await;
    let relay = asking(&db, &[]).await;
    let ada = user(&relay.client, "ada");
    assert_eq!(super::ask_ticket(&ada, &["a", "c"]).await.code(), "forbidden");
    for (room, wanted) in [("a", admitted()), ("b", forbidden())] {
        let ticket = ticket(&ada, &["a", "b"]).await;
        if room == "b" {
            let leave = "delete from members where room = 'b'; select rowcast.reauthorize('b')";
            run(&db, leave).await;
            // Heard once she is refused with her token.
            eventually(async || ada.get("/v1/rooms/b/events").await.status == 403).await;
        }
        let path = format!("/v1/rooms/{room}/events?last=1&ticket={ticket}");
        let said = verdict(request(&relay.client, Transport::EventStream, &path)).await;
        assert_eq!(said, wanted, "{room}");
    }
}

#[tokio::test]
async fn a_statement_that_fails_admits_nobody_and_says_so_in_the_log() {
    let db = with_members().await;
    run(&db, "grant usage on sequence messages_id_seq to relay").await;
    for (statement, reason) in [
        (
            "select 1 / (select count(*) from members where room is null) = 1",
            "SQLSTATE 22012",
        ),
        ("select pg_sleep(60) is null", "statement timeout"),
        ("select nextval('messages_id_seq') > 0", "read-only"),
        ("select true from generate_series(1, 2)", "--authorize-sql"),
    ] {
        let relay = guard(&db, &["--authorize-sql", statement]).await;
        let ada = reader(&relay.client, &["*"]);
        assert_eq!(reads(&ada, A).await, unavailable(), "{statement}");
        assert_eq!(
            super::ask_ticket(&ada, &["a"]).await.code(),
            "database_unavailable"
        );
        let log = relay.log().join("\n");
        let line = log
            .lines()
            .find(|line| line.contains("WARN") && line.contains("--authorize-sql"));
        let line = line.unwrap_or_else(|| panic!("{statement}: nothing in {log}"));
        assert!(log.contains(reason), "{statement}: {reason:?} is not in {line}");
    }
}

#[tokio::test]
async fn a_statement_that_fits_no_source_keeps_the_relay_from_starting() {
    let db = with_members().await;
    for (statement, reason) in [
        ("select exists (select from nowhere)", "nowhere"),
        ("selec true", "syntax error"),
        ("select 1", "boolean"),
        ("select true; select true", "multiple commands"),
    ] {
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            &db.relay_url,
        ];
        let (status, _, log) =
            relay::run(&[&serve[..], &JWT, &["--authorize-sql", statement]].concat()).await;
        assert_eq!(status.code(), Some(1), "{statement}: {log}");
        let line = log.lines().last().unwrap_or_default();
        assert!(
            line.contains("--authorize-sql (ROWCAST_AUTHORIZE_SQL)"),
            "{statement}: {line}"
        );
        assert!(line.contains(reason), "{statement}: {reason:?} is not in {line}");
    }
}

/// The second source: its rooms are numbers.
const ORDERS: &str = "create table orders (id bigint generated always as identity primary key, room_id int);
                      create index on orders (room_id, id);";

/// Whether the relay is ready; if not, why.
async fn readiness(relay: &Relay) -> (u16, String) {
    let answer = relay.client.get("/health/ready").await;
    (answer.status.as_u16(), answer.json()["reasons"].to_string())
}

#[tokio::test]
async fn a_relay_with_a_source_that_the_statement_does_not_fit_is_not_ready_and_serves_the_others() {
    let db = with_members().await;
    let relay = asking(&db, &[]).await;
    eventually(async || readiness(&relay).await.0 == 200).await;
    run(&db, ORDERS).await;
    attach(&db, "'orders', room => 'room_id'").await;
    let misfit = "[\"source orders: --authorize-sql (ROWCAST_AUTHORIZE_SQL)";
    eventually(async || readiness(&relay).await.1.starts_with(misfit)).await;
    let (status, reasons) = readiness(&relay).await;
    assert_eq!(status, 503, "{reasons}");
    let ada = user(&relay.client, "ada");
    assert_eq!(reads(&ada, A).await, admitted());
    let orders = "/v1/sources/orders/rooms/7/events";
    assert_eq!(reads(&ada, orders).await, unavailable());
    // One more relay starts with both of them.
    let other = asking(&db, &[]).await;
    assert_eq!(readiness(&other).await, (503, reasons));
    run(&db, "select rowcast.detach('orders')").await;
    for relay in [&relay, &other] {
        eventually(async || readiness(relay).await.0 == 200).await;
    }
}

#[tokio::test]
async fn the_statement_is_planned_once_for_each_source_at_the_start() {
    let db = with_members().await;
    run(&db, ORDERS).await;
    attach(&db, "'orders', room => 'room_id'").await;
    let admin = db.admin().await;
    run(&admin, "create extension if not exists pg_stat_statements").await;
    let statement = "select exists (select from members where room = $1::text and user_id = $2->>'sub')";
    let _relay = guard(&db, &["--authorize-sql", statement]).await;
    let sql =
        "select sum(calls)::bigint from pg_stat_statements where query like '%explain (costs off)%members%'
               and dbid = (select oid from pg_database where datname = current_database())";
    let planned = admin.query_one(sql, &[]).await.expect("count");
    assert_eq!(planned.get::<_, Option<i64>>(0), Some(2));
}

/// What is asked of the database for them takes its time: here, until the table is free.
#[tokio::test]
async fn a_poll_whose_right_ends_while_it_is_answered_gets_nothing() {
    let db = with_members().await;
    let counted = "select exists (select from members where room = $1 and user_id = $2->>'sub')
                   and pg_advisory_lock_shared((random() * 1e9)::int) is not null";
    let clock = ["--reauthorize-interval", "1h"];
    let relay = guard(&db, &[&["--authorize-sql", counted], &clock[..]].concat()).await;
    let asked = async || {
        let sql = "select count(*) from pg_locks where locktype = 'advisory' and database =
                   (select oid from pg_database where datname = current_database())";
        db.query_one(sql, &[]).await.expect("count").get::<_, i64>(0)
    };
    for path in [A.to_owned(), format!("{A}?before=9"), format!("{A}?last=1")] {
        let writer = db.admin().await;
        let before = asked().await;
        run(&writer, "begin; lock table messages").await;
        // A token of its own, so that no answer is remembered.
        let ada = bearer(&relay.client, json!({ "sub": "ada", "jti": path }));
        let poll = tokio::spawn(verdict(request(&ada, Transport::Poll, &path)));
        // Its lease is there before the question is.
        eventually(async || asked().await > before).await;
        run(
            &db,
            "delete from members where user_id = 'ada'; select rowcast.reauthorize('a')",
        )
        .await;
        let said = crate::support::within(poll).await.expect("no panic");
        assert_eq!(said, forbidden(), "{path}");
        run(&writer, "commit").await;
        run(
            &db,
            "insert into members values ('a', 'ada'); select rowcast.reauthorize('a')",
        )
        .await;
    }
}

#[tokio::test]
async fn while_the_database_is_away_nobody_new_is_let_in_and_streams_go_on() {
    let db = with_members().await;
    let relay = asking(&db, &["--reauthorize-interval", "200ms"]).await;
    let (ada, bob) = (user(&relay.client, "ada"), user(&relay.client, "bob"));
    let mut streams = Vec::new();
    for transport in super::live::STREAMS {
        streams.push(super::live::Live::open(&ada, transport, A).await);
    }
    take_away(&db).await;
    eventually(async || verdict(request(&bob, Transport::Poll, A)).await == unavailable()).await;
    // Several turns of asking again, in vain.
    relay.logs("who may still read can't be asked").await;
    let id = db.say("a", "while it is away").await;
    for transport in Transport::ALL {
        let said = verdict(request(&bob, transport, A)).await;
        assert_eq!(said, unavailable(), "{transport:?}");
    }
    bring_back(&db).await;
    for stream in &mut streams {
        assert_eq!(stream.next().await, Ok(id));
    }
    eventually(async || bob.get(A).await.status == 200).await;
    assert_eq!(reads(&bob, A).await, admitted());
}

#[tokio::test]
async fn while_the_database_is_away_a_ticket_is_neither_given_nor_taken() {
    let (db, relay) = guarded(&["--ticket-lifetime", "1h"]).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    let ticket = ticket(&ada, &["a"]).await;
    let path = format!("{A}?last=1&ticket={ticket}");
    take_away(&db).await;
    eventually(async || super::ask_ticket(&ada, &["a"]).await.status == 503).await;
    for transport in Transport::ALL {
        let said = verdict(request(&relay.client, transport, &path)).await;
        assert_eq!(said, unavailable(), "{transport:?}");
    }
    bring_back(&db).await;
    eventually(async || ada.get(A).await.status == 200).await;
    let said = verdict(request(&relay.client, Transport::Poll, &path)).await;
    assert_eq!(said, admitted(), "it was not used up in vain");
}
