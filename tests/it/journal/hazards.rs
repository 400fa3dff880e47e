//! What an adversary found: each of these lost rows, failed the application's statements, or ran somebody else's code.

use serde_json::json;

use crate::support::{Relay, Subscriber, Transport, attach, connect, database, eventually, run};

use super::{EVENTS, all_said, journal_of, tasks};

const PARTITIONED: &str = "create table tasks (id int, part int, list text, primary key (id, part)) partition by list (part);
     create table p1 partition of tasks for values in (1); create table p2 partition of tasks for values in (2);
     insert into tasks values (1, 1, 'a')";

const ARGUMENTS: &str = "'tasks', room => 'list'";

#[tokio::test]
async fn a_truncated_partition_resets_and_what_others_are_writing_into_the_rest_is_delivered() {
    let (db, relay) = journal_of(PARTITIONED, ARGUMENTS, &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    let late = connect(&db.app_url).await;
    run(&late, "begin; insert into tasks values (10, 2, 'a')").await;
    run(&db, "truncate p1").await;
    assert_eq!(stream.next_event().await.json()["code"], "truncated");
    let cursor = stream.ready().await;
    run(&late, "commit").await;
    assert_eq!(all_said(&[stream.next_row().await]), ["insert 10"]);
    let resumed = relay.client.get(&format!("{EVENTS}?after={cursor}")).await;
    assert_eq!(all_said(&resumed.events()), ["insert 10"]);
}

#[tokio::test]
async fn a_truncated_table_of_partitions_resets_once() {
    let (db, relay) = journal_of(PARTITIONED, ARGUMENTS, &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    run(&db, "truncate tasks; insert into tasks values (2, 2, 'a')").await;
    assert_eq!(stream.next_event().await.json()["code"], "truncated");
    stream.ready().await;
    assert_eq!(all_said(&[stream.next_row().await]), ["insert 2"]);
}

#[tokio::test]
async fn who_truncates_a_partition_waits_for_nobody_who_truncates_another() {
    let (db, _relay) = journal_of(PARTITIONED, ARGUMENTS, &[]).await;
    let other = connect(&db.app_url).await;
    run(&db, "begin; truncate p1").await;
    run(&other, "set lock_timeout = '5s'; begin; truncate p2; commit").await;
    run(&db, "commit").await;
}

#[tokio::test]
async fn columns_may_be_named_as_words_of_the_triggers_language() {
    let words = [
        "begin",
        "by",
        "declare",
        "execute",
        "foreach",
        "if",
        "loop",
        "strict",
        "while",
        "Odd \"one\"",
    ];
    for word in words {
        let name = format!("\"{}\"", word.replace('"', "\"\""));
        let db = database().await;
        run(
            &db,
            &format!("create table t (id int, {name} text, x text, primary key (id, {name}))"),
        )
        .await;
        attach(
            &db,
            &format!("'t', room => '{word}', columns => array['id', '{word}', 'x'], changes => '{{insert,update,delete}}'"),
        )
        .await;
        run(
            &db,
            "insert into t values (1, 'a', 'x'); update t set x = 'y'; delete from t",
        )
        .await;
        let ops = "select string_agg(op::text, '' order by id) from rowcast.journal_t";
        let ops: Option<String> = db.query_one(ops, &[]).await.unwrap().get(0);
        assert_eq!(ops.as_deref(), Some("iud"), "{word}");
    }
}

#[tokio::test]
async fn a_sent_column_that_is_retyped_skips_no_update_of_sessions_that_are_open() {
    let (db, relay) = tasks(", columns => '{id,title}'", &[]).await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    let other = connect(&db.app_url).await;
    run(
        &other,
        "insert into tasks values ('k', 'a', 'one'); update tasks set title = 'two'",
    )
    .await;
    run(&db, "alter table tasks alter title type varchar(99)").await;
    for title in ["three", "four"] {
        run(&other, &format!("update tasks set title = '{title}'")).await;
    }
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(subscriber.next().await);
    }
    assert_eq!(
        all_said(&events),
        ["insert k", "update k", "update k", "update k"]
    );
}

#[tokio::test]
async fn an_assertion_of_a_rooms_function_fails_no_insert() {
    let (db, relay) = journal_of(
        "create function public.lobby(x text) returns text immutable language plpgsql as
            $$ begin assert x <> 'bad'; return lower(x); end $$;
         create table tasks (id int primary key, list text)",
        "'tasks', room => 'public.lobby(list)'",
        &[],
    )
    .await;
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, EVENTS).await;
    run(&db, "insert into tasks values (1, 'bad'), (2, 'A')").await;
    assert_eq!(all_said(&[subscriber.next().await]), ["insert 2"]);
}

/// The database's settings are those of the sessions that write; the relay's are its own.
#[tokio::test]
async fn a_room_has_one_text_whatever_the_databases_settings_are() {
    let db = database().await;
    run(
        &db.admin().await,
        "do $$ begin execute format('alter database %I set datestyle = ''German''', current_database()); end $$",
    )
    .await;
    let writer = connect(&db.app_url).await;
    run(&writer, "create table t (id int primary key, room date)").await;
    attach(
        &writer,
        "'t', room => 'room', changes => '{insert,update,delete}'",
    )
    .await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let path = "/v1/rooms/2026-01-02/events";
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, path).await;
    run(&writer, "insert into t values (1, '2.1.2026')").await;
    assert_eq!(subscriber.next().await["key"], json!({"id": 1}));
    assert_eq!(
        relay.client.get(&format!("{path}?last=5")).await.events().len(),
        1
    );
}

#[tokio::test]
async fn the_text_of_a_room_is_not_what_a_cast_of_its_types_owner_makes_of_it() {
    let db = database().await;
    run(
        &db,
        "create type mood as enum ('glad', 'sad');
         create table called (by text);
         create function mood_text(mood) returns text volatile language sql as
            $$ insert into called values (current_user) returning 'cast' $$;
         create cast (mood as text) with function mood_text(mood);
         create table t (id mood primary key, room mood)",
    )
    .await;
    attach(&db, "'t', room => 'room', changes => '{insert,update,delete}'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let path = "/v1/rooms/sad/events";
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, path).await;
    run(&db, "insert into t values ('glad', 'sad')").await;
    assert_eq!(subscriber.next().await["key"], json!({"id": "glad"}));
    let called: i64 = db
        .query_one("select count(*) from called", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(called, 0);
}

#[tokio::test]
async fn a_source_that_is_detached_and_attached_in_one_transaction_is_read_by_its_new_definition() {
    let db = database().await;
    run(&db, "create table t (id int primary key, room text, room2 text)").await;
    attach(&db, "'t', room => 'room', changes => '{insert,update,delete}'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stream = relay.client.stream("/v1/rooms/b/events").await;
    stream.ready().await;
    run(
        &db,
        "begin; select rowcast.detach('t');
         select rowcast.attach('t', room => 'room2', changes => '{insert,update,delete}', never_ring => false);
         insert into t select n, 'a', 'b' from generate_series(1, 5) n; commit",
    )
    .await;
    let mut keys = Vec::new();
    while keys.len() < 5 {
        let frame = stream.next_event().await;
        match frame.event.as_deref() {
            None => keys.push(frame.json()["key"]["id"].as_i64().unwrap()),
            Some("reset" | "ready") => {}
            Some("end") => stream = relay.client.stream("/v1/rooms/b/events?after=0").await,
            Some(other) => panic!("{other}"),
        }
    }
    assert_eq!(keys, [1, 2, 3, 4, 5]);
    assert!(
        relay
            .client
            .get("/v1/rooms/a/events?after=0")
            .await
            .events()
            .is_empty()
    );
}

#[tokio::test]
async fn two_who_attach_at_once_both_succeed() {
    let db = database().await;
    run(&db, super::TASKS).await;
    let call = "select rowcast.attach('tasks', room => 'list', changes => '{insert,update,delete}', never_ring => false)";
    let first = connect(&db.app_url).await;
    run(&first, &format!("begin; {call}")).await;
    let second = connect(&db.app_url).await;
    let waiting = tokio::spawn(async move { second.batch_execute(call).await });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    eventually(async || db.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    run(&first, "commit").await;
    waiting.await.unwrap().expect("the second attach");
}

#[tokio::test]
async fn a_journals_sequence_that_is_set_back_resets_and_loses_nothing_that_comes_after() {
    let (db, relay) = tasks("", &[]).await;
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    run(
        &db,
        "insert into tasks select n::text, 'a' from generate_series(1, 10) n",
    )
    .await;
    stream.ids(10).await;
    run(
        &db,
        "do $$ begin perform setval(id_sequence, 1) from rowcast.sources; end $$; insert into tasks values ('x', 'a')",
    )
    .await;
    let reset = loop {
        let frame = stream.next_event().await;
        if frame.event.as_deref() == Some("reset") {
            break frame;
        }
    };
    stream.ready().await;
    run(
        &db,
        "insert into tasks select 'y' || n, 'a' from generate_series(1, 12) n",
    )
    .await;
    assert_eq!(stream.ids(12).await, (3..=14).collect::<Vec<_>>());
    let cursor = reset.json()["cursor"].as_str().unwrap().to_owned();
    let resumed = relay.client.get(&format!("{EVENTS}?after={cursor}")).await;
    assert_eq!(resumed.ids(), (3..=14).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_partitioned_tables_moves_need_insertions_among_the_changes() {
    let db = database().await;
    run(&db, PARTITIONED).await;
    let call = "select rowcast.attach('tasks', room => 'list', changes => '{update,delete}')";
    let error = db.batch_execute(call).await.expect_err("a refusal");
    assert!(
        error.as_db_error().unwrap().message().contains("partitioned"),
        "{error:?}"
    );
}
