//! How long events are under way: where a column or a journal says when a row was written, and nowhere else.

use super::{PATH, of_messages, scrape};
use crate::support::{MESSAGES, Relay, TestDatabase, attach, database, eventually, run, scene};

const COUNT: &str = "rowcast_commit_to_socket_seconds_count";
const SUM: &str = "rowcast_commit_to_socket_seconds_sum";

/// `messages` with a column `at`, and a relay on it.
async fn timed(kind: &str, attach_too: &str) -> (TestDatabase, Relay) {
    let db = database().await;
    run(&db, MESSAGES).await;
    run(
        &db,
        &format!("alter table messages add at {kind} default clock_timestamp()"),
    )
    .await;
    attach(&db, &format!("'messages', room => 'room'{attach_too}")).await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    (db, relay)
}

#[tokio::test]
async fn an_event_is_measured_once_however_many_are_sent_it() {
    for kind in ["timestamptz", "timestamp"] {
        let (db, relay) = timed(kind, ", time_column => 'at'").await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut stream = relay.client.stream(PATH).await;
            stream.ready().await;
            streams.push(stream);
        }
        for _ in 0..3 {
            let id = db.say("a", "").await;
            for stream in &mut streams {
                assert_eq!(stream.ids(1).await, [id]);
            }
        }
        // Nobody waits for this one, and who comes later was away.
        db.say("b", "").await;
        assert_eq!(of_messages(&relay, COUNT, &[]).await, Some(3.0), "{kind}");
        let mut late = relay.client.stream("/v1/rooms/b/events?last=1").await;
        late.ids(1).await;
        assert_eq!(of_messages(&relay, COUNT, &[]).await, Some(3.0), "{kind}");
        // The ring still has what comes now, for those who come back.
        let cursor = relay.client.get(PATH).await.cursor();
        streams.clear();
        let open = [("transport", "sse")];
        drop(late);
        eventually(async || of_messages(&relay, "rowcast_subscribers", &open).await == Some(0.0)).await;
        let id = db.say("a", "").await;
        let mut back = relay.client.resume(PATH, &cursor).await;
        assert_eq!(back.ids(1).await, [id]);
        assert_eq!(of_messages(&relay, COUNT, &[]).await, Some(3.0), "{kind}");
        let sum = of_messages(&relay, SUM, &[]).await;
        assert!(
            sum.is_some_and(|sum| (0.0..30.0).contains(&sum)),
            "{kind}: {sum:?}"
        );
    }
}

#[tokio::test]
async fn rows_that_were_loaded_and_not_written_are_delivered_and_not_measured() {
    let (db, relay) = timed("timestamptz", ", time_column => 'at'").await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(
        &db,
        "insert into messages (room, at) values ('a', 'infinity'), ('a', '-infinity'), ('a', null), ('a', '294000-01-01'),
             ('a', now() - interval '2 days')",
    )
    .await;
    assert_eq!(stream.ids(5).await.len(), 5);
    run(
        &db,
        "insert into messages (room, at) values ('a', now() + interval '1 minute')",
    )
    .await;
    stream.ids(1).await;
    assert_eq!(of_messages(&relay, COUNT, &[]).await, Some(1.0));
    assert_eq!(of_messages(&relay, SUM, &[]).await, Some(0.0), "the future is 0");
}

#[tokio::test]
async fn a_source_without_a_time_is_not_measured_until_it_is_attached_with_one() {
    let (db, relay) = timed("timestamptz", "").await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    db.say("a", "").await;
    stream.ids(1).await;
    assert!(!scrape(&relay.client).await.contains("rowcast_commit_to_socket"));
    attach(&db, "'messages', room => 'room', time_column => 'at'").await;
    eventually(async || {
        db.say("a", "").await;
        stream.ids(1).await;
        of_messages(&relay, COUNT, &[]).await > Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn a_time_column_that_is_dropped_is_a_note_and_rows_go_on() {
    let (db, relay) = timed("timestamptz", ", time_column => 'at'").await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    run(&db, "alter table messages drop at").await;
    let id = db.say("a", "").await;
    assert_eq!(stream.ids(1).await, [id]);
    assert_eq!(relay.client.get("/health/ready").await.status, 200);
    let findings = "select count(*) from rowcast.sources where time_column is not null";
    let row = db.query_one(findings, &[]).await.expect("the registry");
    assert_eq!(row.get::<_, i64>(0), 1, "what was asked for stands");
}

#[tokio::test]
async fn a_journal_notes_the_time_itself() {
    let db = database().await;
    run(&db, MESSAGES).await;
    attach(&db, "'messages', room => 'room', changes => '{insert,update}'").await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let id = db.say("a", "").await;
    run(&db, &format!("update messages set body = 'x' where id = {id}")).await;
    stream.ids(2).await;
    assert_eq!(of_messages(&relay, COUNT, &[]).await, Some(2.0));
}

#[tokio::test]
async fn a_time_column_that_is_none_is_refused() {
    let (db, _relay) = scene(&[]).await;
    for (arguments, words) in [
        ("time_column => 'body'", "is of type text"),
        ("time_column => 'nowhere'", "has no column"),
        ("time_column => 'id', journal => true", "notes by itself"),
    ] {
        let sql = format!("select rowcast.attach('messages', room => 'room', {arguments})");
        let error = db.batch_execute(&sql).await.expect_err(arguments);
        let message = error.as_db_error().expect("of the server").message().to_owned();
        assert!(message.contains(words), "{arguments}: {message}");
    }
}
