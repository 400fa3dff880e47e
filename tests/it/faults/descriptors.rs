//! The relay is out of file descriptors.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::trial::{Trial, set_up};
use crate::support::{Relay, database, eventually};

/// Idle connections, more than there are descriptors.
const IDLE: usize = 100;

/// Descriptors beyond those in use that are left.
const LEFT: u64 = 20;

/// Between two attempts to accept: the relay's own.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn limit_descriptors(relay: &Relay, soft: u64) {
    let pid = i32::try_from(relay.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(soft),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(pid, Resource::Nofile, limit).expect("set the relay's limit");
}

/// How many are open. New ones take the lowest numbers, so this is also about the highest but for some inherited ones.
fn in_use(relay: &Relay) -> u64 {
    let open = std::fs::read_dir(format!("/proc/{}/fd", relay.pid())).expect("its descriptors");
    open.count() as u64
}

/// Fails without the pause after a failure to accept (the log is full of it), or where that failure ends the loop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_descriptors_run_out() {
    let db = database().await;
    set_up(&db).await;
    let relay = Relay::serve(&db.relay_url, &["--head-timeout", "60s"]).await;
    let trial = Trial::begin("the relay out of file descriptors", [&relay.url; 2], &db.app_url).await;
    let mut inside = relay.client.stream("/v1/events?room=lobby").await;
    inside.ready().await;
    let began = Instant::now();
    limit_descriptors(&relay, in_use(&relay) + LEFT);
    let address = relay.url.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(
            TcpStream::connect(&address)
                .await
                .expect("the kernel's backlog takes it"),
        );
    }
    relay.logs("can't accept connections").await;
    // Whoever is inside stays served.
    trial.is_written().await;
    inside.ids(5).await;
    let log = relay.log();
    let complaints = log.iter().filter(|line| line.contains("can't accept")).count();
    let most = began.elapsed().as_millis() / ACCEPT_PAUSE.as_millis() + 2;
    assert!(
        complaints as u128 <= most,
        "{complaints} lines: the log is flooded"
    );
    drop(idle);
    eventually(async || {
        let live = timeout(Duration::from_secs(1), relay.client.get("/health/live"));
        live.await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    trial.goes_on().await;
    limit_descriptors(&relay, getrlimit(Resource::Nofile).current.unwrap_or(1 << 20));
    trial
        .end(
            &format!(
                "RLIMIT_NOFILE lowered to {LEFT} above what is open, {IDLE} idle connections, which then go"
            ),
            "who is inside stays served; who comes waits until there is room",
        )
        .await;
}
