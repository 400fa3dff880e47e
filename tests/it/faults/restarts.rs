//! PostgreSQL is killed, and restarted.

use rowcast::demo::postgres::StopMode;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::server::Server;
use super::trial::Trial;
use super::{not_ready, outage, ready};
use crate::support::{Relay, connect};

/// Fails when the last complaint of the verdict is made to pass by (a row taken out of what was received: "lost 1").
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_postgresql_is_killed() {
    let mut server = Server::start(&[]).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let trial = Trial::begin("PostgreSQL killed with -9", [&relay.url; 2], &server.urls.app).await;
    // One backend that ends so makes the postmaster end all of them and recover.
    let tail = "select pid from pg_stat_activity where application_name like 'rowcast tail%'";
    let pid: i32 = connect(&server.urls.admin)
        .await
        .query_one(tail, &[])
        .await
        .expect("the tail's backend")
        .get(0);
    kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL).expect("kill the backend");
    trial.goes_on().await;
    server.kill().await;
    not_ready(&relay, "messages").await;
    sleep(outage()).await;
    server.start_again().await;
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "`kill -9` of the backend that the tail reads by (PostgreSQL recovers by itself), then of the postmaster, away for {} s",
        outage().as_secs()
    );
    trial
        .end(&done, "streams wait, polls get 503 while it is away")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_postgresql_is_restarted() {
    let mut server = Server::start(&[]).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let trial = Trial::begin("PostgreSQL restarted", [&relay.url; 2], &server.urls.app).await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        server.stop(mode).await;
        not_ready(&relay, "messages").await;
        sleep(outage()).await;
        server.start_again().await;
        trial.goes_on().await;
    }
    ready(&relay).await;
    let done = format!(
        "stopped `fast`, then `immediate`, each time away for {} s",
        outage().as_secs()
    );
    trial
        .end(&done, "streams wait, polls get 503 while it is away")
        .await;
}
