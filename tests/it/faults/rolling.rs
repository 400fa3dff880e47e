//! Two relays behind HAProxy, restarted one after the other under load.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::trial::{Trial, set_up};
use crate::support::haproxy::Haproxy;
use crate::support::{Client, Relay, database};

/// Streams end over this; a relay's own default is 10 s.
const GRACE: [&str; 2] = ["--grace-period", "1s"];

/// Clients that poll without a pause, beside the trial's subscribers: half of them wait for events.
const POLLERS: usize = 8;

/// How often each status was answered. Polls until `stop`; a request is never given up half-way.
async fn poll(client: Client, query: &'static str, stop: CancellationToken) -> BTreeMap<u16, u64> {
    let mut answers = BTreeMap::new();
    while !stop.is_cancelled() {
        let answer = client.get(&format!("/v1/events?room=lobby&{query}")).await;
        *answers.entry(answer.status.as_u16()).or_default() += 1;
    }
    answers
}

#[test]
fn haproxy_takes_the_configuration_without_a_word() {
    let (is_good, said) = Haproxy::check();
    assert!(is_good && !said.contains("WARNING"), "{said}");
}

/// Fails without `retry-on` (polls get 502 and 503), and without `option redispatch` (the same relay is tried again).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_nothing_is_lost_in_a_rolling_restart() {
    let db = database().await;
    set_up(&db).await;
    let mut relays = [
        Relay::serve(&db.relay_url, &GRACE).await,
        Relay::serve(&db.relay_url, &GRACE).await,
    ];
    let haproxy = Haproxy::start([&relays[0].url, &relays[1].url]).await;
    let trial = Trial::begin("rolling restart behind HAProxy", [&haproxy.url; 2], &db.app_url).await;
    let (mut pollers, stop) = (JoinSet::new(), CancellationToken::new());
    for number in 0..POLLERS {
        let query = ["limit=5", "wait=1"][number % 2];
        pollers.spawn(poll(Client::new(&haproxy.url), query, stop.clone()));
    }
    for relay in &mut relays {
        let address = relay.url.trim_start_matches("http://").to_owned();
        relay.terminate();
        assert!(relay.exit_status().await.success());
        trial.goes_on().await;
        let arguments = [&GRACE[..], &["--listen", &address]].concat();
        *relay = Relay::serve(&db.relay_url, &arguments).await;
        trial.goes_on().await;
    }
    stop.cancel();
    let mut answers = BTreeMap::new();
    for (status, count) in pollers.join_all().await.into_iter().flatten() {
        *answers.entry(status).or_insert(0) += count;
    }
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&200], "{answers:?}");
    let refused = trial.audience().sum(|one| one.tally.refused);
    assert_eq!(refused, 0, "requests that were answered by anything but 200");
    let requests = trial.audience().sum(|one| one.sessions.len() as u64) + answers[&200];
    trial
        .end(
            &format!("deploy/haproxy/haproxy.cfg; each of two relays gets SIGTERM, ends, starts again; {requests} requests meanwhile, most of them of {POLLERS} clients that poll without a pause"),
            "every request answered 200; streams end and go on at the other relay",
        )
        .await;
}
