//! Others use up all connections while the relay must reconnect.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::server::Server;
use super::trial::Trial;
use super::{not_ready, outage, ready};
use crate::support::{Relay, connect, eventually, run};

const TERMINATE: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowcast%'";
const OURS: &str = "select count(*) from pg_stat_activity where application_name like 'rowcast%'";

const GLANCE: Duration = Duration::from_millis(50);

/// Takes connections until there are none.
async fn take_all(url: &str, taken: &Mutex<Vec<Client>>) {
    loop {
        match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                taken.lock().unwrap().push(client);
            }
            Err(error) => {
                return assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_there_is_no_connection_left() {
    let server = Server::start(&[("max_connections", "30")]).await;
    let relay = Relay::serve(&server.urls.relay, &[]).await;
    let admin = connect(&server.urls.admin).await;
    let trial = Trial::begin("PostgreSQL out of connections", [&relay.url; 2], &server.urls.app).await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    // Whoever is quicker gets a connection that became free, so more than once.
    eventually(async || {
        run(&admin, TERMINATE).await;
        take_all(&server.urls.app, &taken).await;
        let ours: i64 = admin.query_one(OURS, &[]).await.expect("count").get(0);
        ours == 0
    })
    .await;
    not_ready(&relay, "messages").await;
    trial.is_written().await;
    let end = Instant::now() + outage();
    while Instant::now() < end {
        // A slot may have become free late, and be the relay's by now.
        run(&admin, TERMINATE).await;
        take_all(&server.urls.app, &taken).await;
        sleep(GLANCE).await;
    }
    taken.lock().unwrap().clear();
    trial.goes_on().await;
    ready(&relay).await;
    let done = format!(
        "the relay's sessions terminated and every connection of `max_connections` taken by others for {} s",
        outage().as_secs()
    );
    trial.end(&done, "streams wait, polls get 503 meanwhile").await;
}
