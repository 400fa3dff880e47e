//! The LISTEN connection: it hears the bells of all sources, and knows whether it hears at all.
//!
//! It is opened outside the pool and driven by `poll_message`, since a connection that is spawned as a future throws
//! notifications away. One that hears nothing looks just like one on which nothing rings, so hearing is proven: at the
//! start and every 20 s a `probe:NONCE` is notified from another connection and must arrive here. A pooler in transaction
//! mode, a URL of another database, a lost LISTEN all fail that in the same way. In between a ping finds a stopped server.
//!
//! The bell only says when to look: it carries no row, and subscribers that miss one have their backstop.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::reauthorize::{self, Reauthorizations, Reauthorize};
use super::{Database, PgError};

const NOTIFY: &str = include_str!("../../sql/notify.sql");

/// Between two pings, and how long one may take. They find a stopped server, which the kernel's keepalives do not.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Every second ping is a round trip of a notification: with all time-outs used up, one is proven within 45 s.
const PINGS_PER_PROBE: u32 = 2;

/// How long the notification may take from another connection to here.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// Opening the connection, LISTEN included.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// What a subscriber of one source can know; all counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BellState {
    /// A round trip was proven on the present connection: what rings is heard.
    pub listening: bool,
    /// Proven connections so far. After each change bells and `busy` may have been missed.
    pub session: u64,
    /// Bells heard.
    pub rings: u64,
    /// How often somebody set the flag to 0.
    pub busies: u64,
}

/// Whether bells are heard, for `/health/ready`, the log and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenStatus {
    /// A notification last came through at this moment.
    Up { last_round_trip: Instant },
    /// In words, on one line, without secrets.
    Down { reason: String },
}

/// The bells of a database.
#[derive(Clone, Debug)]
pub struct Bell {
    shared: Arc<Shared>,
}

impl Bell {
    /// The bells, and the task that hears them until `shutdown`: it listens on `listen`, and goes on trying for ever.
    /// Probes are sent from the pool of `main`, which may be the same.
    pub fn new(
        listen: Database,
        main: Database,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared::new());
        let listener = Listener {
            listen,
            main,
            shared: shared.clone(),
        };
        let task = async move {
            let _ = shutdown.run_until_cancelled(listener.run()).await;
        };
        (Self { shared }, task)
    }

    /// What is heard of one source, attached or not.
    pub fn subscribe(&self, source: &str) -> watch::Receiver<BellState> {
        let mut sources = self.shared.sources();
        sources
            .by_name
            .retain(|name, sender| name == source || sender.receiver_count() > 0);
        let heard = BellState {
            listening: sources.listening,
            session: sources.session,
            rings: 0,
            busies: 0,
        };
        sources
            .by_name
            .entry(source.to_owned())
            .or_insert_with(|| watch::Sender::new(heard))
            .subscribe()
    }

    /// Counts the changes of the registry: each `sources:` heard, and each reconnect, which may have missed one.
    pub fn sources_changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// The calls of `rowcast.reauthorize`; and one for all rooms whenever some may have been missed.
    pub fn reauthorizations(&self) -> Reauthorizations {
        Reauthorizations::new(self.shared.reauthorize.subscribe())
    }

    /// Whether bells are heard.
    pub fn status(&self) -> watch::Receiver<ListenStatus> {
        self.shared.status.subscribe()
    }
}

#[derive(Debug)]
struct Shared {
    sources: Mutex<Sources>,
    changed: watch::Sender<u64>,
    reauthorize: broadcast::Sender<Reauthorize>,
    status: watch::Sender<ListenStatus>,
    /// The nonce that is waited for. Others pass by: of other relays, or of anybody (any role may notify).
    expected_probe: AtomicU64,
    /// The expected nonce that arrived last.
    probe: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Sources {
    listening: bool,
    session: u64,
    by_name: HashMap<String, watch::Sender<BellState>>,
}

/// The payloads of the channel `rowcast`. A source's name has no colon.
enum Heard<'a> {
    Ring(&'a str),
    Busy(&'a str),
    SourcesChanged,
    Reauthorize(Reauthorize),
    Probe(u64),
    /// Of a later version, or somebody's joke: any role of the database may notify.
    Unknown,
}

impl<'a> Heard<'a> {
    fn parse(payload: &'a str) -> Self {
        match payload.split_once(':') {
            None => Self::Ring(payload),
            Some(("busy", source)) => Self::Busy(source),
            Some(("sources", _)) => Self::SourcesChanged,
            Some(("reauthorize", whom)) => Reauthorize::parse(whom).map_or(Self::Unknown, Self::Reauthorize),
            Some(("probe", nonce)) => nonce.parse().map_or(Self::Unknown, Self::Probe),
            Some(_) => Self::Unknown,
        }
    }
}

impl Shared {
    fn new() -> Self {
        let reason = "LISTEN has not been tried yet".to_owned();
        Self {
            sources: Mutex::default(),
            changed: watch::Sender::new(0),
            reauthorize: broadcast::Sender::new(reauthorize::WAITING),
            status: watch::Sender::new(ListenStatus::Down { reason }),
            expected_probe: AtomicU64::new(0),
            probe: watch::Sender::new(0),
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, payload: &str) {
        match Heard::parse(payload) {
            Heard::Ring(source) => self.count(source, |state| state.rings += 1),
            Heard::Busy(source) => self.count(source, |state| state.busies += 1),
            Heard::SourcesChanged => self.changed.send_modify(|count| *count += 1),
            Heard::Reauthorize(whom) => self.reauthorize(whom),
            Heard::Probe(nonce) if nonce == self.expected_probe.load(Ordering::Relaxed) => {
                self.probe.send_replace(nonce);
            }
            Heard::Probe(_) | Heard::Unknown => {}
        }
    }

    /// It is no error if nobody receives.
    fn reauthorize(&self, whom: Reauthorize) {
        let _ = self.reauthorize.send(whom);
    }

    fn count(&self, source: &str, count: impl FnOnce(&mut BellState)) {
        if let Some(state) = self.sources().by_name.get(source) {
            state.send_modify(count);
        }
    }

    fn set_listening(&self, listening: bool) {
        let mut sources = self.sources();
        if sources.listening == listening {
            return;
        }
        sources.listening = listening;
        sources.session += u64::from(listening);
        let session = sources.session;
        for state in sources.by_name.values() {
            state.send_modify(|state| (state.listening, state.session) = (listening, session));
        }
        drop(sources);
        if listening {
            self.changed.send_modify(|count| *count += 1);
            self.reauthorize(Reauthorize::ALL);
        }
    }

    /// A round trip is proven. Logged when it is news.
    fn up(&self, server: &str) {
        let before = self.status.send_replace(ListenStatus::Up {
            last_round_trip: Instant::now(),
        });
        if matches!(before, ListenStatus::Down { .. }) {
            tracing::info!(server, "LISTEN is proven: writers can ring");
        }
        self.set_listening(true);
    }

    /// Logged when it is news, not at each attempt.
    fn down(&self, server: &str, reason: String) {
        self.set_listening(false);
        let now = ListenStatus::Down { reason };
        let is_news = self.status.send_if_modified(|status| {
            let is_news = *status != now;
            status.clone_from(&now);
            is_news
        });
        if let (true, ListenStatus::Down { reason }) = (is_news, now) {
            tracing::warn!(
                server,
                reason,
                "LISTEN does not work: tails poll, and it is tried again and again"
            );
        }
    }
}

/// Why a LISTEN connection was given up.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Pg(#[from] PgError),
    #[error("PostgreSQL refuses LISTEN: {0}")]
    Refused(PgError),
    #[error("the LISTEN connection was closed")]
    Closed,
    #[error("the server does not answer on the LISTEN connection (stopped, or the network is cut)")]
    Silent,
    #[error(
        "a notification sent from another connection did not arrive within {PROBE_WITHIN:?} \
         (is a pooler in transaction mode in between, or is it another database? give --listen-database-url)"
    )]
    Deaf,
    #[error("the test notification can't be sent: {0}")]
    Mute(PgError),
}

impl From<tokio_postgres::Error> for Lost {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Pg(error.into())
    }
}

struct Listener {
    listen: Database,
    main: Database,
    shared: Arc<Shared>,
}

impl Listener {
    /// One connection after the other, for ever.
    async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let lost = match self.connection(&mut backoff).await {
                Ok(never) => match never {},
                Err(lost) => lost,
            };
            self.shared.down(self.listen.server(), lost.to_string());
            sleep(backoff.next_pause()).await;
        }
    }

    /// One connection, from its opening to its loss.
    async fn connection(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Lost> {
        let opened = timeout(LISTEN_WITHIN, self.listen.dial("listen")).await;
        let (client, mut connection) = opened.map_err(|_| Lost::Silent)??;
        let messages = async {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(heard))) => self.shared.hear(heard.payload()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Lost::from(error),
                    None => return Lost::Closed,
                }
            }
        };
        // Both in this task: when the connection breaks, so do the questions asked on it.
        tokio::select! {
            biased;
            lost = messages => Err(lost),
            answer = self.attend(&client, backoff) => answer,
        }
    }

    /// Listens, proves it, and goes on proving it.
    async fn attend(&self, client: &Client, backoff: &mut Backoff) -> Result<std::convert::Infallible, Lost> {
        // A statement of its own, so that it has committed when the answer is here.
        let listened = timeout(LISTEN_WITHIN, client.batch_execute("listen rowcast")).await;
        listened
            .map_err(|_| Lost::Silent)?
            .map_err(|error| Lost::Refused(error.into()))?;
        let mut proven = false;
        loop {
            match self.probe().await {
                Ok(()) => {
                    proven = true;
                    backoff.reset();
                    self.shared.up(self.listen.server());
                }
                // That the main connections are busy or broken says nothing against this one.
                Err(Lost::Mute(error)) if proven && !matches!(error, PgError::Statement(_)) => {
                    tracing::debug!(%error, "the test notification could not be sent");
                }
                Err(lost) => {
                    // Behind a pooler the LISTEN stays with some server connection, whose next user would hear us.
                    let unlistened = pin!(client.batch_execute("unlisten rowcast"));
                    let _ = timeout(PING_WITHIN, unlistened).await;
                    return Err(lost);
                }
            }
            for _ in 0..PINGS_PER_PROBE {
                sleep(PING_INTERVAL).await;
                timeout(PING_WITHIN, client.simple_query("select 1"))
                    .await
                    .map_err(|_| Lost::Silent)??;
            }
        }
    }

    /// Sends a notification from another connection and waits until it is heard on this one.
    async fn probe(&self) -> Result<(), Lost> {
        let nonce: u64 = rand::random_range(1..=u64::MAX);
        self.shared.expected_probe.store(nonce, Ordering::Relaxed);
        let mut heard = self.shared.probe.subscribe();
        let session = self.main.pooled().await.map_err(Lost::Mute)?;
        let payload = format!("probe:{nonce}");
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&payload, Type::TEXT)];
        let sent = timeout(PROBE_WITHIN, session.read(NOTIFY, &params)).await;
        sent.unwrap_or(Err(PgError::TimedOut { waited: PROBE_WITHIN }))
            .map_err(Lost::Mute)?;
        match timeout(PROBE_WITHIN, heard.wait_for(|arrived| *arrived == nonce)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Lost::Deaf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_others_does_not_pass_for_ours_nor_hide_it() {
        let shared = Shared::new();
        shared.expected_probe.store(5, Ordering::Relaxed);
        shared.hear("probe:7");
        assert_eq!(*shared.probe.borrow(), 0);
        // Both in one packet: whoever waits looks only after the second.
        shared.hear("probe:5");
        shared.hear("probe:8");
        assert_eq!(*shared.probe.borrow(), 5);
    }
}
