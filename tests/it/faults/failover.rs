//! The primary is gone for good, a standby is promoted.

use rowcast::demo::postgres::StopMode;

use super::server::Server;
use super::trial::Trial;
use super::{not_ready, ready};
use crate::support::{Relay, connect, eventually, run, test_options};

/// A URL with a second host: whichever of the two takes writes.
fn either(url: &str, ports: [u16; 2]) -> String {
    let [one, other] = ports.map(|port| format!("127.0.0.1:{port}"));
    format!(
        "{}?target_session_attrs=read-write",
        url.replace(&one, &format!("{one},{other}"))
    )
}

/// Without synchronous replication rows that were shown may vanish with the primary; see README.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_standby_is_promoted() {
    let mut server = Server::start(&[]).await;
    let standby = server
        .with(|primary| primary.start_standby(&test_options(&[("max_prepared_transactions", "0")])))
        .await
        .expect("a standby");
    let admin = connect(&server.urls.admin).await;
    run(&admin, "alter system set synchronous_standby_names = '*'").await;
    run(&admin, "select pg_reload_conf()").await;
    let is_synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    eventually(async || {
        admin
            .query_one(is_synchronous, &[])
            .await
            .expect("ask")
            .get::<_, i64>(0)
            == 1
    })
    .await;

    let ports = [server.postgres().port(), standby.port()];
    let relay = Relay::serve(&either(&server.urls.relay, ports), &[]).await;
    let app_url = either(&server.urls.app, ports);
    let trial = Trial::begin("a standby promoted", [&relay.url; 2], &app_url).await;
    server.stop(StopMode::Immediate).await;
    not_ready(&relay, "messages").await;
    run(&connect(&standby.url("postgres")).await, "select pg_promote()").await;
    trial.goes_on().await;
    ready(&relay).await;
    trial
        .end(
            "a streaming replica (synchronous), the primary stopped as in a crash and left away, `pg_promote()`; \
             the URL names both hosts with `target_session_attrs=read-write`",
            "streams wait, polls get 503 until it is promoted; cursors go on",
        )
        .await;
}
