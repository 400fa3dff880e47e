//! Behind a pooler in transaction mode no bell can be heard: the relay polls, says so, and arms where it is given a way past.

use super::{EVENTS, INSERT, bell_flag, run, with_messages};
use crate::support::pooler::{Pooler, StartupOptions};
use crate::support::{Relay, eventually};

/// Fails when the tail arms without a proven LISTEN, or readiness does not tell of it.
#[tokio::test]
async fn a_relay_behind_a_pooler_polls_and_says_so() {
    let db = with_messages().await;
    for options in [StartupOptions::Refused, StartupOptions::Ignored] {
        let pooler = Pooler::start(options).await;
        let relay = Relay::serve(&pooler.url(&db.name), &["--quiet-after", "10ms"]).await;
        let mut stream = relay.client.stream(EVENTS).await;
        stream.ready().await;
        let row = db
            .query_one(&format!("{INSERT} returning id"), &[])
            .await
            .expect("insert");
        assert_eq!(stream.ids(1).await, [row.get::<_, i64>(0)]);
        relay.logs("LISTEN does not work: tails poll").await;
        let ready = relay.client.get("/health/ready").await;
        assert_eq!(ready.status, 200, "{}", ready.body);
        let notes = ready.json()["notes"].to_string();
        assert!(
            notes.contains("polling only") && notes.contains("pooler"),
            "{notes}"
        );
        assert!(
            !relay.log().iter().any(|line| line.contains("\"to\":\"raising\"")),
            "it arms"
        );
    }
}

/// Fails when bells are listened for at `--database-url` although another way was given.
#[tokio::test]
async fn a_relay_with_a_way_past_the_pooler_arms() {
    let db = with_messages().await;
    run(&db, "select setval('rowcast.bell_messages', 0)").await;
    let pooler = Pooler::start(StartupOptions::Ignored).await;
    let arguments = ["--quiet-after", "10ms", "--listen-database-url", &db.relay_url];
    let relay = Relay::serve(&pooler.url(&db.name), &arguments).await;
    relay.logs("\"to\":\"armed\"").await;
    assert_eq!(bell_flag(&db).await, "1");
    let mut stream = relay.client.stream(EVENTS).await;
    stream.ready().await;
    run(&db, INSERT).await;
    assert_eq!(stream.ids(1).await, [1]);
    eventually(async || relay.client.get("/health/ready").await.json()["notes"] == serde_json::json!([]))
        .await;
}
