//! PostgreSQL goes away and comes back: streams stay open, polls say so, and nothing is missed.

use rowcast::demo::postgres::StopMode;

use crate::support::roles::prepare;
use crate::support::{MESSAGES, Relay, Subscriber, Transport, attach, connect, eventually, own_server, run};

use super::{not_ready, ready};

const PATH: &str = "/v1/rooms/a/events";

#[tokio::test(flavor = "multi_thread")]
async fn streams_survive_a_database_that_is_away_and_miss_nothing() {
    let mut server = own_server(&[]);
    let urls = prepare(&server, "postgres").await;
    let client = connect(&urls.app).await;
    run(&client, MESSAGES).await;
    attach(&client, "'messages', room => 'room'").await;
    let mut relay = Relay::serve(&urls.relay, &["--heartbeat", "100ms"]).await;
    let mut stream = relay.client.stream(PATH).await;
    let cursor = stream.ready().await;
    for (round, mode) in [StopMode::Fast, StopMode::Immediate].into_iter().enumerate() {
        let last = relay.client.get(PATH).await.cursor();
        server.stop(mode).expect("stop PostgreSQL");
        not_ready(&relay, "").await;
        let live = relay.client.get("/health/live").await;
        assert_eq!(live.status, 200);
        for query in [
            format!("after={last}"),
            format!("after={last}&wait=30"),
            "before=9".to_owned(),
            String::new(),
        ] {
            let answer = relay.client.get(&format!("{PATH}?{query}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (503, "database_unavailable"),
                "{query}"
            );
            assert!(answer.header("retry-after").unwrap().parse::<u64>().is_ok());
        }
        assert!(stream.next_raw().await.unwrap().starts_with(':'), "a heartbeat");
        // Who comes now, waits.
        let mut newcomer = Subscriber::resume(&relay.client, Transport::EventStream, PATH, &cursor).await;
        server.start_again().expect("start PostgreSQL");
        let client = connect(&urls.app).await;
        run(&client, "insert into messages (room) values ('a'), ('a')").await;
        let ids = stream.ids(2).await;
        assert_eq!(newcomer.ids(2 * (round + 1)).await.last(), ids.last());
        ready(&relay).await;
        for transport in Transport::ALL {
            let mut subscriber = Subscriber::resume(&relay.client, transport, PATH, &last).await;
            assert_eq!(subscriber.ids(2).await, ids, "{transport:?}");
        }
    }
    assert!(relay.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_terminated_are_made_again() {
    let (db, relay) = crate::support::scene(&["--allow-publish"]).await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let admin = db.admin().await;
    for round in 1..=5 {
        run(&admin, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'rowcast%'").await;
        let id = db.say("a", "").await;
        assert_eq!(stream.ids(1).await, [id], "round {round}");
        eventually(async || relay.client.get(PATH).await.status == 200).await;
        assert_eq!(
            relay.client.post(PATH, &serde_json::json!({})).await.status,
            201,
            "round {round}"
        );
        stream.ids(1).await;
    }
}
