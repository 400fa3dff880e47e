//! Health in words, and the listener for operators.

use rowcast::demo::postgres::StopMode;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::roles::prepare;
use crate::support::{
    Client, MESSAGES, Relay, attach, connect, eventually, messages, own_server, run, scene,
};

const PATH: &str = "/v1/rooms/a/events";

const OPERATIONS: [&str; 3] = ["/health/live", "/health/ready", "/metrics"];

/// Whether a list of readiness has a text that begins so.
async fn says(client: &Client, list: &str, text: &str) -> bool {
    let answer = client.get("/health/ready").await.json();
    let texts = answer[list].as_array().expect("a list").clone();
    texts
        .iter()
        .any(|said| said.as_str().expect("a text").starts_with(text))
}

#[tokio::test]
async fn readiness_proves_that_a_notification_came_through_within_a_minute() {
    let (_db, relay) = scene(&[]).await;
    relay.logs("LISTEN is proven").await;
    let ready = relay.client.get("/health/ready").await;
    assert_eq!(ready.status, 200);
    let ago = ready.json()["notify_round_trip_seconds_ago"].as_u64();
    assert!(ago.is_some_and(|ago| ago < 60), "{}", ready.body);
}

#[tokio::test]
async fn health_and_metrics_move_to_the_listener_for_operators_and_nothing_else_does() {
    let (_db, relay) = scene(&["--admin-listen", "127.0.0.1:0", "--base-path", "/live"]).await;
    let admin = relay.operators();
    for path in OPERATIONS {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
        assert_eq!(relay.client.get(path).await.code(), "not_found", "{path}");
        assert_eq!(
            relay.client.get(&format!("/live{path}")).await.code(),
            "not_found",
            "{path}"
        );
    }
    for path in [PATH, "/live/v1/rooms/a/events", "/rowcast.js"] {
        assert_eq!(admin.get(path).await.code(), "not_found", "{path}");
    }
    let strange = admin
        .request(reqwest::Method::GET, "/metrics")
        .header("host", "pages.example.com");
    assert_eq!(
        admin.send(strange).await.status,
        403,
        "a page that points its name here"
    );
    assert_eq!(relay.client.get("/live/v1/rooms/a/events").await.status, 200);
    assert!(
        !relay
            .log()
            .iter()
            .any(|line| line.contains("no loopback address"))
    );
}

#[tokio::test]
async fn without_a_listener_for_operators_health_and_metrics_are_on_the_public_port() {
    let (_db, relay) = scene(&[]).await;
    for path in OPERATIONS {
        assert_eq!(relay.client.get(path).await.status, 200, "{path}");
    }
    assert_eq!(relay.client.get("/admin").await.code(), "not_found");
}

#[tokio::test]
async fn a_listener_for_operators_that_others_may_reach_is_warned_of() {
    let (_db, relay) = scene(&["--admin-listen", "0.0.0.0:0"]).await;
    let log = relay.log();
    let warning = log.iter().find(|line| line.contains("no loopback address"));
    assert!(
        warning.is_some_and(|line| line.contains("WARN") && line.contains("--admin-listen")),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_drain_is_told_to_operators_until_it_is_over() {
    let (_db, mut relay) = scene(&["--admin-listen", "127.0.0.1:0", "--grace-period", "20s"]).await;
    let admin = relay.operators();
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    assert!(!says(&admin, "reasons", "").await);
    relay.terminate();
    eventually(async || says(&admin, "reasons", "draining").await).await;
    assert_eq!(admin.get("/health/ready").await.status, 503);
    assert_eq!(admin.get("/health/live").await.status, 200);
    drop(stream);
    assert_eq!(relay.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_a_reason_with_sources_and_without() {
    let mut server = own_server(&[]);
    let urls = prepare(&server, "postgres").await;
    let relay = Relay::serve(&urls.relay, &[]).await;
    assert_eq!(
        relay.client.get("/health/ready").await.status,
        200,
        "no source is no reason"
    );
    server.stop(StopMode::Fast).expect("stop PostgreSQL");
    eventually(async || says(&relay.client, "reasons", "database away").await).await;
    server.start_again().expect("start PostgreSQL");
    eventually(async || relay.client.get("/health/ready").await.status == 200).await;
    let client = connect(&urls.app).await;
    run(&client, MESSAGES).await;
    attach(&client, "'messages', room => 'room'").await;
    let path = format!("{PATH}?wait=1");
    eventually(async || relay.client.get(&path).await.status == 200).await;
    server.stop(StopMode::Fast).expect("stop PostgreSQL");
    eventually(async || {
        says(
            &relay.client,
            "reasons",
            "source messages: the database does not answer",
        )
        .await
    })
    .await;
    eventually(async || says(&relay.client, "reasons", "database away").await).await;
}

/// Its backend is stopped, as a frozen machine would be: the connection stands, and nothing comes over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_listener_is_found_and_rows_arrive_all_the_same() {
    let server = own_server(&[]);
    let urls = prepare(&server, "postgres").await;
    let client = connect(&urls.app).await;
    run(&client, MESSAGES).await;
    attach(&client, "'messages', room => 'room'").await;
    let relay = Relay::serve(&urls.relay, &[]).await;
    relay.logs("LISTEN is proven").await;
    let mut stream = relay.client.stream(PATH).await;
    stream.ready().await;
    let pid = "select pid from pg_stat_activity where application_name = 'rowcast listen'";
    let row = connect(&urls.admin)
        .await
        .query_one(pid, &[])
        .await
        .expect("the listener");
    let backend = Pid::from_raw(row.get(0)).expect("a process");
    kill_process(backend, Signal::STOP).expect("stop the backend");
    eventually(async || says(&relay.client, "notes", "listener away").await).await;
    let ready = relay.client.get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.json()["notify_round_trip_seconds_ago"].is_null());
    run(&client, "insert into messages (room) values ('a')").await;
    assert_eq!(stream.ids(1).await.len(), 1);
    kill_process(backend, Signal::CONT).expect("let the backend go on");
    eventually(async || !says(&relay.client, "notes", "listener").await).await;
}

#[tokio::test]
async fn readiness_names_a_broken_source_and_why() {
    let db = messages().await;
    let relay = Relay::serve(&db.relay_url, &[]).await;
    run(&db, "alter table messages rename to letters").await;
    run(&db, "drop table letters").await;
    eventually(async || says(&relay.client, "reasons", "source messages: its table is gone").await).await;
    assert_eq!(relay.client.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn an_address_for_operators_that_is_none_or_taken_is_an_error_with_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let db = messages().await;
    for address in ["nowhere", &taken] {
        let arguments = [
            "serve",
            "--database-url",
            &db.relay_url,
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            address,
        ];
        let (status, _, stderr) = crate::support::relay::run(&arguments).await;
        assert!(status.code().is_some_and(|code| code != 0), "{stderr}");
        assert!(
            stderr.contains("--admin-listen (ROWCAST_ADMIN_LISTEN)"),
            "{stderr}"
        );
    }
}
