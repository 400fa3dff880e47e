//! The stage: PostgreSQL and two relays, and what befalls them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rowcast::demo::postgres::{Postgres, StopMode};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::writers::is_calm;
use super::{Addresses, try_connect};
use crate::support::roles::prepare;
use crate::support::{Relay, Urls, connect, grant_attached, run};

/// The relays: the first as it comes, but quick to change its mind about the bell; the second with so little memory that
/// most who come back need a replay.
const ARGUMENTS: [&[&str]; 2] = [
    &[
        "--grace-period",
        "300ms",
        "--quiet-after",
        "40ms",
        "--busy-bells-per-second",
        "60",
    ],
    &[
        "--grace-period",
        "0s",
        "--quiet-after",
        "100ms",
        "--ring-events",
        "30",
        "--room-linger",
        "50ms",
        "--replays-at-once",
        "2",
    ],
];

/// The database of the foreign transaction.
const OTHER: &str = "other";

const INTO_A_STORM: Duration = Duration::from_millis(500);

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The backends whose `application_name` or type is like this one are terminated.
    Backends(&'static str),
    /// Ends as in a crash, and starts again.
    Kill { relay: usize, same_port: bool },
    /// Is asked to end, and starts again.
    Drain { relay: usize, same_port: bool },
    /// Stops, as a machine does that is moved, and goes on as if nothing had happened.
    Freeze { relay: usize, time: Duration },
    /// PostgreSQL ends as in a crash and stays away for a while.
    Crash { away: Duration },
}

impl Fault {
    /// Faults spread over `time`, each kind at least once, and `others`.
    pub fn schedule(rng: &mut StdRng, time: Duration, others: &[Self]) -> Vec<(Duration, Self)> {
        let rounds = (time.as_secs() / 15).max(1);
        let mut faults = Vec::new();
        for _ in 0..rounds {
            faults.push(Self::Crash {
                away: Duration::from_millis(rng.random_range(0..1200)),
            });
            faults.push(Self::Kill {
                relay: 0,
                same_port: rng.random(),
            });
            faults.push(Self::Kill {
                relay: 1,
                same_port: rng.random(),
            });
            faults.push(Self::Drain {
                relay: rng.random_range(0..2),
                same_port: rng.random(),
            });
            let of_relays = ["rowcast%", "rowcast tail%", "rowcast%", "rowcast listen%"];
            faults.extend(of_relays.map(Self::Backends));
            faults.extend_from_slice(others);
        }
        faults.shuffle(rng);
        let slot = time / (faults.len() as u32 + 1);
        let mut at = |number: usize| slot * number as u32 + slot.mul_f64(rng.random_range(0.2..1.0));
        faults
            .into_iter()
            .enumerate()
            .map(|(number, fault)| (at(number), fault))
            .collect()
    }
}

/// How often each kind of fault took place.
#[derive(Debug, Default)]
pub struct Toll {
    pub terminated_backends: i64,
    pub kills: u64,
    pub drains: u64,
    pub crashes: u64,
}

/// PostgreSQL, two relays, and the relays that were.
pub struct Stage {
    server: Option<Postgres>,
    relays: [Relay; 2],
    /// Kept for their logs.
    retired: Vec<Relay>,
    pub addresses: Arc<Addresses>,
    pub toll: Toll,
    urls: Urls,
    other_url: String,
    /// What the relays are told beside [`ARGUMENTS`].
    arguments: &'static [&'static str],
}

impl Stage {
    /// A migrated database with `schema` on `server`, and relays that serve it, with these arguments more.
    pub async fn set(server: Postgres, schema: &str, arguments: &'static [&'static str]) -> Self {
        let (urls, other_url) = (prepare(&server, "postgres").await, server.url(OTHER));
        let client = connect(&urls.app).await;
        run(&client, schema).await;
        grant_attached(&client).await;
        run(&connect(&urls.admin).await, &format!("create database {OTHER}")).await;
        let relays = [
            Relay::serve(&urls.relay, &[ARGUMENTS[0], arguments].concat()).await,
            Relay::serve(&urls.relay, &[ARGUMENTS[1], arguments].concat()).await,
        ];
        let addresses = Arc::new(Addresses::new([&relays[0].url, &relays[1].url]));
        Self {
            server: Some(server),
            relays,
            retired: Vec::new(),
            addresses,
            toll: Toll::default(),
            urls,
            other_url,
            arguments,
        }
    }

    /// The database that is followed, for the role that owns its tables.
    pub fn url(&self) -> String {
        self.urls.app.clone()
    }

    /// The same, for the superuser.
    pub fn admin_url(&self) -> String {
        self.urls.admin.clone()
    }

    /// Another database of the same server.
    pub fn other_url(&self) -> String {
        self.other_url.clone()
    }

    /// Lets the faults happen, one after the other, each at its time at the earliest.
    pub async fn torment(&mut self, schedule: Vec<(Duration, Fault)>) {
        let began = Instant::now();
        for (at, fault) in schedule {
            sleep_until(began + at).await;
            // A crash between two transactions cuts nothing off: it comes half a second into a storm.
            let into_a_storm =
                || !is_calm(began.elapsed()) && !is_calm(began.elapsed().saturating_sub(INTO_A_STORM));
            while matches!(fault, Fault::Crash { .. }) && !into_a_storm() {
                sleep(Duration::from_millis(10)).await;
            }
            println!("torture: {:.1} s: {fault:?}", began.elapsed().as_secs_f64());
            match fault {
                Fault::Backends(like) => self.terminate_backends(like).await,
                Fault::Kill { relay, same_port } => {
                    self.relays[relay].kill();
                    self.toll.kills += 1;
                    self.replace(relay, same_port).await;
                }
                Fault::Drain { relay, same_port } => {
                    self.relays[relay].terminate();
                    let status = self.relays[relay].exit_status().await;
                    assert!(status.success(), "a drained relay ended with {status}");
                    self.toll.drains += 1;
                    self.replace(relay, same_port).await;
                }
                Fault::Freeze { relay, time } => {
                    self.relays[relay].signal(Signal::STOP);
                    sleep(time).await;
                    self.relays[relay].signal(Signal::CONT);
                }
                Fault::Crash { away } => self.crash(away).await,
            }
        }
    }

    async fn terminate_backends(&mut self, like: &str) {
        let Some((client, _driver)) = try_connect(&self.urls.admin).await else {
            return;
        };
        let ended = client
            .query_one(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like $1 or backend_type like $1",
                &[&like],
            )
            .await
            .expect("terminate backends");
        self.toll.terminated_backends += ended.get::<_, i64>(0);
    }

    /// Starts a relay in the place of one that has ended.
    async fn replace(&mut self, relay: usize, same_port: bool) {
        let address = self.relays[relay].url.trim_start_matches("http://").to_owned();
        let mut arguments = [ARGUMENTS[relay], self.arguments].concat();
        // Somebody else may have got the port meanwhile.
        if same_port && TcpListener::bind(&address).is_ok() {
            arguments.extend(["--listen", &address]);
        }
        let next = Relay::serve(&self.urls.relay, &arguments).await;
        self.addresses.set(relay, &next.url);
        self.retired
            .push(std::mem::replace(&mut self.relays[relay], next));
    }

    async fn crash(&mut self, away: Duration) {
        let mut server = self.server.take().expect("the server is put back below");
        server = tokio::task::spawn_blocking(move || {
            server.stop(StopMode::Immediate).expect("stop PostgreSQL");
            server
        })
        .await
        .expect("stopping does not panic");
        sleep(away).await;
        server = tokio::task::spawn_blocking(move || {
            server.start_again().expect("start PostgreSQL again");
            server
        })
        .await
        .expect("starting does not panic");
        self.server = Some(server);
        self.toll.crashes += 1;
    }

    /// How often a line with `text` stands in the logs of all relays that ever ran.
    pub fn log_lines(&self, text: &str) -> usize {
        let relays = self.relays.iter().chain(&self.retired);
        relays
            .flat_map(Relay::log)
            .filter(|line| line.contains(text))
            .count()
    }
}
