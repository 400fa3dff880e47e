//! PgBouncer between relay and database is killed and started again.

use tokio::time::sleep;

use super::trial::{Trial, set_up};
use super::{not_ready, outage, ready};
use crate::support::pooler::{PoolMode, Pooler, StartupOptions};
use crate::support::{Relay, database};

async fn a_pooler_ends_and_comes_back(fault: &'static str, mode: PoolMode) {
    let db = database().await;
    set_up(&db).await;
    let mut pooler = Pooler::start_in(mode, StartupOptions::Ignored).await;
    let url = pooler.url(&db.name);
    let arguments = ["--listen-database-url", &db.relay_url, "--quiet-after", "50ms"];
    let relay = Relay::serve(&url, &arguments).await;
    let trial = Trial::begin(fault, [&relay.url; 2], &db.app_url).await;
    ready(&relay).await;
    // LISTEN goes past the pooler, and so bells are heard.
    let notes = relay.client.get("/health/ready").await.json()["notes"].clone();
    assert_eq!(notes, serde_json::json!([]));
    pooler.kill();
    not_ready(&relay, "messages").await;
    trial.is_written().await;
    sleep(outage()).await;
    pooler.start_again().await;
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "`--listen-database-url` past it; `kill -9` of pgbouncer, away for {} s, started again",
        outage().as_secs()
    );
    trial
        .end(&done, "streams wait, polls get 503 while it is away")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_behind_a_pooler_in_transaction_mode() {
    a_pooler_ends_and_comes_back("pgbouncer, transaction mode", PoolMode::Transaction).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_behind_a_pooler_in_session_mode() {
    a_pooler_ends_and_comes_back("pgbouncer, session mode", PoolMode::Session).await;
}
