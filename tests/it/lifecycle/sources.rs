//! Attach and detach under a running relay.

use crate::support::{
    Relay, Subscriber, Transport, attach, database, eventually, grant_attached, grant_publishing, messages,
    run, scene,
};

use super::ready;

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test]
async fn an_attach_is_picked_up_without_a_restart() {
    let db = database().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    ready(&relay).await;
    assert_eq!(relay.client.get(PATH).await.code(), "unknown_source");
    run(&db, crate::support::MESSAGES).await;
    db.say("a", "before the attach").await;
    attach(&db, "'messages', room => 'room'").await;
    eventually(async || relay.client.get(PATH).await.status == 200).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    db.say("a", "after").await;
    assert_eq!(stream.ids(1).await, [2]);
    // Rows that were there before are there for those who ask.
    assert_eq!(relay.client.get(PATH).await.ids(), [1, 2]);
}

#[tokio::test]
async fn a_detach_ends_the_streams_and_the_paths() {
    let (db, relay) = scene(&[]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let long_poll = tokio::spawn(relay.client.get(&format!("{PATH}?wait=60")));
    run(&db, "select rowcast.detach('messages')").await;
    let end = stream.next_event().await;
    assert_eq!((end.event.as_deref(), end.id), (Some("end"), None));
    assert_eq!(end.data.as_deref(), Some(r#"{"code":"unknown_source"}"#));
    assert_eq!(stream.next_frame().await, None);
    assert_eq!(long_poll.await.unwrap().code(), "unknown_source");
    eventually(async || relay.client.get(PATH).await.status == 404).await;
    assert_eq!(relay.client.get(PATH).await.code(), "unknown_source");
    ready(&relay).await;
}

#[tokio::test]
async fn a_table_attached_again_at_once_is_another_epoch() {
    let (db, relay) = scene(&[]).await;
    for one_transaction in [true, false] {
        let cursor = relay.client.get(PATH).await.cursor();
        let (begin, commit) = if one_transaction {
            ("begin;", "commit;")
        } else {
            ("", "")
        };
        if !begin.is_empty() {
            run(&db, &format!("{begin} select rowcast.detach('messages'); select rowcast.attach('messages', room => 'room', never_ring => false); {commit}")).await;
            grant_attached(&db).await;
        } else {
            run(&db, "select rowcast.detach('messages')").await;
            attach(&db, "'messages', room => 'room'").await;
        }
        let id = db.say("a", "").await;
        eventually(async || {
            let answer = relay.client.get(&format!("{PATH}?last=1")).await;
            answer.status == 200 && answer.ids() == [id] && answer.cursor() != cursor
        })
        .await;
        let answer = relay.client.get(&format!("{PATH}?after={cursor}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "epoch"));
        let mut stream = relay.client.stream(PATH).await;
        stream.ready().await;
        let id = db.say("a", "").await;
        assert_eq!(stream.ids(1).await, [id]);
    }
}

#[tokio::test]
async fn the_columns_of_a_source_can_be_changed_under_a_running_relay() {
    let (db, relay) = scene(&[]).await;
    let cursor = relay.client.get(PATH).await.cursor();
    let mut subscriber = Subscriber::new(&relay.client, Transport::EventStream, PATH).await;
    attach(&db, "'messages', room => 'room', columns => array['id']").await;
    eventually(async || {
        db.say("a", "secret").await;
        subscriber.next().await["row"].as_object().unwrap().len() == 1
    })
    .await;
    let all = relay.client.get(&format!("{PATH}?after={cursor}")).await;
    assert!(!all.body.contains("secret"), "{}", all.body);
}

#[tokio::test]
async fn every_connection_of_a_relay_is_named_after_it() {
    let db = messages().await;
    grant_publishing(&db).await;
    let relay = Relay::serve(&db.relay_url, &["--allow-publish"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    relay.client.post(PATH, &serde_json::json!({"body": "x"})).await;
    relay.client.get(PATH).await;
    let sql = "select application_name from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    let names: Vec<String> = db
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("rowcast")), "{names:?}");
}
