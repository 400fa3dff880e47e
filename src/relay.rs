//! The sources that this process follows, as the transports and the supervisor see them.

mod live;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::{Gauges, names};
use crate::pg::bell::ListenStatus;

pub use live::{LiveSource, Older, SourceLimits};

/// How long a round trip of a notification proves that bells are heard.
const PROOF_HOLDS: Duration = Duration::from_secs(60);

/// The relay is ready all the same: tails read by themselves.
const LISTENER_AWAY: &str = "listener away: polling only, since no bell can be heard: LISTEN fails, or a pooler in \
    transaction mode is in between (--listen-database-url goes past it); the log says which";

/// Every source by name.
pub struct Relay {
    sources: RwLock<Sources>,
    default_source: Option<String>,
    listening: watch::Receiver<ListenStatus>,
    database_away: AtomicBool,
    draining: Box<dyn Fn() -> bool + Send + Sync>,
}

#[derive(Default)]
struct Sources {
    live: BTreeMap<String, Arc<LiveSource>>,
    /// Registered, but not to be followed as they stand.
    broken: BTreeMap<String, BrokenSource>,
    /// What the schema check found, by source.
    findings: BTreeMap<String, Vec<String>>,
    /// Why nobody can be let read a source, by source.
    misfits: BTreeMap<String, String>,
}

impl Sources {
    /// The broken ones that have no tail.
    fn never_followed(&self) -> impl Iterator<Item = &BrokenSource> {
        let broken = self
            .broken
            .iter()
            .filter(|(name, _)| !self.live.contains_key(*name));
        broken.map(|(_, broken)| broken)
    }
}

/// A registered source that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenSource {
    /// Its place in the order of attaching.
    pub ordinal: i64,
    /// Why not, in words.
    pub reason: String,
}

/// Why there is no source of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSource {
    /// None is attached under it.
    Unknown,
    /// It is attached, but its table can't be followed as it stands.
    Broken,
}

/// What keeps a relay from being ready, and what it would like to have mended meanwhile, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Not ready while there is any.
    pub reasons: Vec<String>,
    /// Rows arrive all the same.
    pub notes: Vec<String>,
    /// How long ago a notification last came through; `None` while none does.
    pub round_trip: Option<Duration>,
}

impl Relay {
    /// No sources yet. `default_source` is the operator's choice; `None`: the first attached. `draining` says whether
    /// the process is about to end.
    pub fn new(
        default_source: Option<String>,
        listening: watch::Receiver<ListenStatus>,
        draining: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            sources: RwLock::default(),
            default_source,
            listening,
            database_away: AtomicBool::new(false),
            draining: Box::new(draining),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Sources> {
        self.sources.read().expect("no holder of this lock panics")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Sources> {
        self.sources.write().expect("no holder of this lock panics")
    }

    /// A source by name, or the default one: the first attached, also while that one can't be followed, so that the
    /// same request never means another table.
    ///
    /// # Errors
    /// See [`NoSource`].
    pub fn source(&self, name: Option<&str>) -> Result<Arc<LiveSource>, NoSource> {
        let sources = self.read();
        let Some(name) = name.or(self.default_source.as_deref()) else {
            let live = sources
                .live
                .values()
                .min_by_key(|source| source.definition().ordinal);
            let broken = sources.never_followed().map(|broken| broken.ordinal).min();
            return match (live, broken) {
                (None, None) => Err(NoSource::Unknown),
                (Some(live), broken) if broken.is_none_or(|ordinal| live.definition().ordinal < ordinal) => {
                    Ok(live.clone())
                }
                _ => Err(NoSource::Broken),
            };
        };
        match sources.live.get(name) {
            Some(live) => Ok(live.clone()),
            None if sources.broken.contains_key(name) => Err(NoSource::Broken),
            None => Err(NoSource::Unknown),
        }
    }

    /// All sources that are followed.
    pub fn sources(&self) -> Vec<Arc<LiveSource>> {
        self.read().live.values().cloned().collect()
    }

    /// Those that are registered and can't be followed at all, by name, with why.
    pub fn never_followed(&self) -> Vec<(String, String)> {
        let sources = self.read();
        let names = sources.broken.iter();
        names
            .filter(|(name, _)| !sources.live.contains_key(*name))
            .map(|(name, broken)| (name.clone(), broken.reason.clone()))
            .collect()
    }

    /// Adds a source.
    pub fn insert(&self, source: Arc<LiveSource>) {
        let mut sources = self.write();
        let name = source.definition().name.clone();
        sources.broken.remove(&name);
        sources.live.insert(name, source);
    }

    /// Forgets a source.
    pub fn remove(&self, name: &str) -> Option<Arc<LiveSource>> {
        let mut sources = self.write();
        sources.findings.remove(name);
        sources.misfits.remove(name);
        sources.live.remove(name)
    }

    /// Notes which registered sources can't be followed at all.
    pub fn set_broken(&self, broken: BTreeMap<String, BrokenSource>) {
        self.write().broken = broken;
    }

    /// Notes what the schema check found about a source and says whether that is new.
    pub fn set_findings(&self, name: &str, findings: Vec<String>) -> bool {
        let mut sources = self.write();
        let known = sources.findings.entry(name.to_owned()).or_default();
        let changed = *known != findings;
        *known = findings;
        changed
    }

    /// Notes whether the database answers at all.
    pub fn set_database_away(&self, away: bool) {
        self.database_away.store(away, Ordering::Relaxed);
    }

    /// Adds the gauges of the sources, and whether bells are heard.
    pub fn collect(&self, gauges: &mut Gauges) {
        let ready = self.readiness().reasons.is_empty();
        gauges.set(names::READY, &[], f64::from(ready));
        let listening = self.listening.borrow().clone();
        let is_up = matches!(listening, ListenStatus::Up { .. });
        gauges.set(names::LISTENING, &[], f64::from(is_up));
        if let ListenStatus::Up { last_round_trip } = listening {
            let age = last_round_trip.elapsed().as_secs_f64();
            gauges.set(names::ROUND_TRIP_AGE, &[], age);
        }
        let sources = self.read();
        for (name, source) in &sources.live {
            source.metrics().collect(gauges);
            let labels = [("source", &**name)];
            let follows = source.trouble().is_none();
            gauges.set(names::FOLLOWING, &labels, f64::from(follows));
            gauges.set(names::RING_BYTES, &labels, source.hub().ring_bytes() as f64);
            gauges.set(names::ROOMS, &labels, source.hub().room_count() as f64);
        }
        let broken = sources.broken.keys();
        for name in broken.filter(|name| !sources.live.contains_key(*name)) {
            gauges.set(names::FOLLOWING, &[("source", name)], 0.0);
        }
    }

    /// Notes why nobody can be let read a source, or that they can; the reason, where it is a new one.
    pub fn set_misfit(&self, name: &str, misfit: Option<String>) -> Option<String> {
        let mut sources = self.write();
        match misfit {
            None => sources.misfits.remove(name).and(None),
            Some(reason) => {
                let known = sources.misfits.insert(name.to_owned(), reason.clone());
                (known.as_ref() != Some(&reason)).then_some(reason)
            }
        }
    }

    /// Why nobody can be let read sources, of each where it is so.
    pub fn misfits(&self) -> Vec<String> {
        self.read().misfits.values().cloned().collect()
    }

    /// Whether this relay should be sent requests, and why not.
    pub fn readiness(&self) -> Readiness {
        let sources = self.read();
        let mut readiness = Readiness::default();
        if (self.draining)() {
            readiness
                .reasons
                .push("draining: the process is about to end".to_owned());
        }
        for (name, source) in &sources.live {
            readiness.reasons.extend(
                source
                    .trouble()
                    .map(|trouble| format!("source {name}: {trouble}")),
            );
        }
        for (name, BrokenSource { reason, .. }) in &sources.broken {
            readiness.reasons.push(format!("source {name}: {reason}"));
        }
        for (name, reason) in &sources.misfits {
            readiness.reasons.push(format!("source {name}: {reason}"));
        }
        let everything_is_away = sources.live.values().all(|source| source.trouble().is_some());
        if everything_is_away && self.database_away.load(Ordering::Relaxed) {
            let reason = "database away: it does not answer; the log says why";
            readiness.reasons.push(reason.to_owned());
        }
        match *self.listening.borrow() {
            ListenStatus::Down { .. } => readiness.notes.push(LISTENER_AWAY.to_owned()),
            ListenStatus::Up { last_round_trip } => {
                let age = last_round_trip.elapsed();
                readiness.round_trip = Some(age);
                if age > PROOF_HOLDS {
                    let seconds = age.as_secs();
                    readiness.notes.push(format!(
                        "listener unproven: no notification has come through for {seconds} s; rows are read once a second \
                         at least"
                    ));
                }
            }
        }
        for (name, findings) in &sources.findings {
            readiness
                .notes
                .extend(findings.iter().map(|finding| format!("source {name}: {finding}")));
        }
        readiness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn relay(listening: ListenStatus) -> (watch::Sender<ListenStatus>, Relay) {
        let listening = watch::Sender::new(listening);
        let relay = Relay::new(None, listening.subscribe(), || false);
        (listening, relay)
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_trip_proves_for_a_minute_that_bells_are_heard() {
        let (listening, relay) = relay(ListenStatus::Up {
            last_round_trip: Instant::now(),
        });
        tokio::time::advance(PROOF_HOLDS).await;
        let readiness = relay.readiness();
        assert_eq!(readiness.round_trip, Some(PROOF_HOLDS));
        assert_eq!(readiness.notes, [] as [String; 0]);
        tokio::time::advance(Duration::from_secs(1)).await;
        let readiness = relay.readiness();
        let note = &readiness.notes[0];
        assert!(
            note.contains("listener unproven") && note.contains("61 s"),
            "{note}"
        );
        assert_eq!(readiness.reasons, [] as [String; 0], "tails read all the same");
        listening.send_replace(ListenStatus::Down {
            reason: "a test".to_owned(),
        });
        let readiness = relay.readiness();
        assert_eq!(readiness.round_trip, None);
        assert!(readiness.notes[0].starts_with("listener away"));
    }

    #[test]
    fn a_database_that_is_away_is_a_reason_without_any_source() {
        let (_listening, relay) = relay(ListenStatus::Down {
            reason: "a test".to_owned(),
        });
        assert_eq!(relay.readiness().reasons, [] as [String; 0]);
        relay.set_database_away(true);
        assert!(relay.readiness().reasons[0].starts_with("database away"));
    }
}
