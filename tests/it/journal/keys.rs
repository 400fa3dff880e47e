//! Any key and any room: what the trigger notes is found again in the table.

use serde_json::{Value, json};

use crate::support::{Subscriber, Transport, run};

use super::{EVENTS, journal_of};

#[tokio::test]
async fn a_key_of_many_columns_and_types_finds_its_row() {
    let (db, relay) = journal_of(
        "create type mood as enum ('glad', 'sad');
         create domain small as int check (value < 100);
         create table t (
            a uuid, b timestamptz, c numeric, d mood, e small, f bytea, \"G \"\"h\" float8, i interval, j text[], k \"char\", l date,
            m varchar(9), n char(5), room text,
            primary key (a, b, c, d, e, f, \"G \"\"h\", i, j, k, l, m, n))",
        "'t', room => 'room'",
        &[],
    )
    .await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(
        &db,
        "set timezone = 'Asia/Kathmandu'; set datestyle = 'german'; set intervalstyle = 'sql_standard';
         set bytea_output = 'escape'; set extra_float_digits = 0;
         insert into t values (gen_random_uuid(), '2026-11-21 12:34:56.789012+01', 1.50, 'sad', 42, '\\x00ff', 0.1::float8 + 0.2,
            '1 mon 2 days 03:04:05', '{\"x y\",NULL,\"q\\\"\"}', 'z', '2026-02-03', 'v', 'pad', 'a'),
           (gen_random_uuid(), 'infinity', 'NaN', 'glad', 7, '', '-Infinity', '0', '{}', '', 'infinity', '', '', 'a');
         delete from t where c <> 'NaN'",
    )
    .await;
    let nan = subscriber.next().await;
    assert_eq!(
        (&nan["op"], &nan["row"]["c"], &nan["row"]["room"]),
        (&json!("insert"), &json!("NaN"), &json!("a")),
        "the first one is gone: {nan}"
    );
    run(
        &db,
        "set timezone = 'Asia/Kathmandu'; set datestyle = 'german'; set intervalstyle = 'sql_standard';
         set bytea_output = 'escape'; set extra_float_digits = 0;
         insert into t values ('00000000-0000-0000-0000-000000000001', '2026-11-21 12:34:56.789012+01', 1.50, 'sad', 42, '\\x00ff',
            0.1::float8 + 0.2, '1 mon 2 days 03:04:05', '{\"x y\",NULL,\"q\\\"\"}', 'z', '2026-02-03', 'v', 'pad', 'a')",
    )
    .await;
    assert_eq!(subscriber.next().await["op"], "delete");
    let event = subscriber.next().await;
    assert_eq!(event["row"]["G \"h"], json!(0.300_000_000_000_000_04), "{event}");
    assert_eq!(event["row"]["j"], json!(["x y", Value::Null, "q\""]));
}

#[tokio::test]
async fn a_room_may_be_an_expression_over_a_column() {
    let (db, relay) = journal_of(
        "create table t (id int primary key, data jsonb)",
        "'t', room => 'lower(data ->> ''room'')'",
        &["--allow-publish"],
    )
    .await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&relay.client, transport, EVENTS).await;
        run(&db, "insert into t values (1, '{\"room\": \"A\"}')").await;
        assert_eq!(subscriber.next().await["room"], "a");
        run(&db, "update t set data = '{\"room\": \"b\"}'").await;
        assert_eq!(subscriber.next().await["op"], "delete");
        run(&db, "delete from t").await;
    }
    run(&db, "insert into t values (2, '{\"room\": \"A\"}')").await;
    let listed = relay.client.get(&format!("{EVENTS}?last=5")).await.events();
    assert_eq!((listed.len(), &listed[0]["key"]), (1, &json!({"id": 2})));
    let refused = relay.client.post(EVENTS, &json!({"id": 3})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (422, "invalid_row")
    );
}

#[tokio::test]
async fn a_room_may_be_of_any_type() {
    let (db, relay) = journal_of(
        "create type place as enum ('here', 'there'); create table t (id int primary key, room place)",
        "'t', room => 'room'",
        &[],
    )
    .await;
    let path = "/v1/rooms/here/events";
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, path).await;
    run(&db, "insert into t values (1, 'here'), (2, 'there'), (3, null)").await;
    assert_eq!(subscriber.next().await["key"]["id"], 1);
    let listed = relay.client.get(&format!("{path}?last=5")).await.events();
    assert_eq!(listed.len(), 1);
}
