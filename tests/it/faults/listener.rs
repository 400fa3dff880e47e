//! The backend that LISTENs for the relay is frozen: bells stay away, rows do not.

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::trial::{Trial, set_up};
use super::{is_long, outage};
use crate::support::{Relay, TestDatabase, database, eventually};

/// Goes on when this is dropped, whatever became of the test.
struct Frozen(Pid);

impl Frozen {
    fn new(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).expect("a process id");
        kill_process(pid, Signal::STOP).expect("stop the backend");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// The backends that listen for relays of this database.
async fn listeners(db: &TestDatabase) -> Vec<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and application_name = 'rowcast listen'";
    let rows = db
        .admin()
        .await
        .query(sql, &[])
        .await
        .expect("ask for the backend");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_listener_is_frozen() {
    let db = database().await;
    set_up(&db).await;
    let relay = Relay::serve(&db.relay_url, &["--quiet-after", "50ms"]).await;
    let trial = Trial::begin("the listener frozen", [&relay.url; 2], &db.app_url).await;
    trial.desk().be_quiet();
    relay.logs("\"to\":\"armed\"").await;
    let listener = listeners(&db).await;
    assert_eq!(listener.len(), 1);
    let frozen = Frozen::new(listener[0]);
    trial.goes_on().await;
    trial.goes_on().await;
    let how_it_healed = match is_long() {
        true => {
            // The relay's ping finds it, and it listens on another connection.
            eventually(async || listeners(&db).await.iter().any(|pid| !listener.contains(pid))).await;
            drop(frozen);
            "the relay finds it (a ping every 10 s) and listens on another connection"
        }
        false => {
            sleep(outage()).await;
            drop(frozen);
            "set going again"
        }
    };
    trial.goes_on().await;
    let done =
        format!("SIGSTOP to the backend of the relay's LISTEN while the bell is armed; {how_it_healed}");
    trial
        .end(
            &done,
            "rows a second later: the armed tail reads every second by itself",
        )
        .await;
}
