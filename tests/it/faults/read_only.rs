//! A database that only reads: by its own setting, and as a server in recovery.

use rowcast::demo::postgres::StopMode;
use tokio::time::sleep;

use super::server::Server;
use super::trial::Trial;
use super::{not_ready, outage, ready};
use crate::support::{Relay, connect, eventually, run};

/// Everybody has to open a new session, but the one who asks.
const TERMINATE: &str = "select pg_terminate_backend(pid) from pg_stat_activity where datname is not null and pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_database_is_set_to_read_only() {
    let server = Server::start(&[]).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let admin = connect(&server.urls.admin).await;
    let trial = Trial::begin("database read-only", [&relay.url; 2], &server.urls.app).await;
    run(
        &admin,
        "alter database postgres set default_transaction_read_only = on",
    )
    .await;
    run(&admin, TERMINATE).await;
    let before = trial.desk().failed();
    eventually(async || trial.desk().failed() > before + 10).await;
    sleep(outage()).await;
    ready(&relay).await;
    run(
        &admin,
        "alter database postgres reset default_transaction_read_only",
    )
    .await;
    run(&admin, TERMINATE).await;
    trial.goes_on().await;
    let done = format!(
        "`alter database … set default_transaction_read_only = on` and all sessions terminated, for {} s; then the same back",
        outage().as_secs()
    );
    let saw = "nothing: the relay's sessions say what they need, only writers fail";
    trial.end(&done, saw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_server_is_in_recovery() {
    let mut server = Server::start(&[]).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let trial = Trial::begin("server in recovery", [&relay.url; 2], &server.urls.app).await;
    server.stop(StopMode::Fast).await;
    let signal = server.postgres().socket_dir().join("data/standby.signal");
    std::fs::write(signal, "").expect("write standby.signal");
    server.start_again().await;
    // Sessions that only read are there, and the relay wants none of them.
    let admin = connect(&server.urls.admin).await;
    let recovers = admin.query_one("select pg_is_in_recovery()", &[]).await;
    assert!(recovers.expect("ask").get::<_, bool>(0));
    not_ready(&relay, "messages").await;
    sleep(outage()).await;
    assert_eq!(relay.client.get("/health/ready").await.status, 503);
    run(&admin, "select pg_promote()").await;
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "restarted with `standby.signal`, open to reading sessions alone, for {} s; then `pg_promote()`",
        outage().as_secs()
    );
    trial
        .end(&done, "streams wait, polls get 503 until it is promoted")
        .await;
}
