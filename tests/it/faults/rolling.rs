//! Two relays behind HAProxy, restarted one after the other under load.

use super::trial::{Trial, set_up};
use crate::support::haproxy::Haproxy;
use crate::support::{Relay, database};

/// Streams end over this; a relay's own default is 10 s.
const GRACE: [&str; 2] = ["--grace-period", "1s"];

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
    for relay in &mut relays {
        let address = relay.url.trim_start_matches("http://").to_owned();
        relay.terminate();
        assert!(relay.exit_status().await.success());
        trial.goes_on().await;
        let arguments = [&GRACE[..], &["--listen", &address]].concat();
        *relay = Relay::serve(&db.relay_url, &arguments).await;
        trial.goes_on().await;
    }
    let refused = trial.audience().sum(|one| one.tally.refused);
    assert_eq!(refused, 0, "requests that were answered by anything but 200");
    let sessions = trial.audience().sum(|one| one.sessions.len() as u64);
    trial
        .end(
            &format!("deploy/haproxy/haproxy.cfg; each of two relays gets SIGTERM, ends, starts again; {sessions} requests meanwhile"),
            "every request answered 200; streams end and go on at the other relay",
        )
        .await;
}
