//! The sources that this process follows, as the transports and the supervisor see them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cursor::{Cursor, OpenSet};
use crate::feed::{Batch, Feed, FeedError, Replays, Request, Subscription};
use crate::hub::{Hub, HubLimits, Joined, Subscriber};
use crate::pg::Database;
use crate::pg::bell::ListenStatus;
use crate::pg::publish::{self, NewRow, PublishError};
use crate::pg::source::Source;
use crate::pg::store::ReadLimits;
use crate::room::Room;
use crate::tail::{Control, Plan, State};

/// Bounds and sizes of each source.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    pub hub: HubLimits,
    pub reads: ReadLimits,
    /// Replays of one source that read at a time.
    pub replays_at_once: usize,
}

/// Every source by name.
pub struct Relay {
    sources: RwLock<Sources>,
    default_source: Option<String>,
    listening: watch::Receiver<ListenStatus>,
    draining: Box<dyn Fn() -> bool + Send + Sync>,
}

#[derive(Default)]
struct Sources {
    live: BTreeMap<String, Arc<LiveSource>>,
    /// Registered, but not to be followed as they stand.
    broken: BTreeMap<String, BrokenSource>,
    /// What the schema check found, by source.
    findings: BTreeMap<String, Vec<String>>,
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

    /// Whether this relay should be sent requests, and why not.
    pub fn readiness(&self) -> Readiness {
        let sources = self.read();
        let mut readiness = Readiness::default();
        if (self.draining)() {
            readiness.reasons.push("the process is about to end".to_owned());
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
        if matches!(*self.listening.borrow(), ListenStatus::Down { .. }) {
            let note = "polling only, since no bell can be heard: LISTEN fails, or a pooler in transaction mode is in \
                        between; the log says which";
            readiness.notes.push(note.to_owned());
        }
        for (name, findings) in &sources.findings {
            readiness
                .notes
                .extend(findings.iter().map(|finding| format!("source {name}: {finding}")));
        }
        readiness
    }
}

/// One source that is followed: its definition, its hub, its tail's control, its replays.
pub struct LiveSource {
    database: Database,
    hub: Arc<Hub>,
    control: Arc<Control>,
    replays: Arc<Replays>,
    limits: SourceLimits,
    plan: watch::Sender<Plan>,
    stop: OnceLock<CancellationToken>,
}

/// What stands before a row in its rooms.
#[derive(Debug)]
pub struct Older {
    /// Oldest first; `None`: there are none.
    pub events: Option<Batch>,
    /// The position of one who has seen all below that row.
    pub cursor: Cursor,
    /// Older ones remain.
    pub more: bool,
}

impl LiveSource {
    /// A source whose tail is not running yet.
    pub fn new(database: Database, definition: Source, limits: SourceLimits) -> Arc<Self> {
        let plan = Plan::new(&database, definition, limits.reads);
        Arc::new(Self {
            database,
            hub: Hub::new(limits.hub),
            control: Arc::default(),
            replays: Replays::new(plan.store.clone(), limits.replays_at_once),
            limits,
            plan: watch::Sender::new(plan),
            stop: OnceLock::new(),
        })
    }

    /// The table and columns as they are followed now.
    pub fn definition(&self) -> Arc<Source> {
        self.plan.borrow().definition.clone()
    }

    /// The signal that ends its tail: with `all`, or alone when the source is detached.
    pub fn stopped_with(&self, all: &CancellationToken) -> CancellationToken {
        self.stop.get_or_init(|| all.child_token()).clone()
    }

    /// The source was detached: its tail ends, and its subscribers are told.
    pub fn detached(&self) {
        if let Some(stop) = self.stop.get() {
            stop.cancel();
        }
        self.control.set_state(State::Gone);
        self.hub.close();
    }

    /// The plan now and whenever it changes.
    pub fn plans(&self) -> watch::Receiver<Plan> {
        self.plan.subscribe()
    }

    /// Takes another definition, if it differs in what the statements are made of, and says whether it does.
    pub fn redefine(&self, definition: Source) -> bool {
        let same = self.plan.borrow().definition.has_same_shape(&definition);
        if !same {
            let plan = Plan::new(&self.database, definition, self.limits.reads);
            self.replays.use_table(plan.store.clone());
            self.plan.send_replace(plan);
        }
        !same
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Whether rows are read at the moment, or will be in one.
    ///
    /// # Errors
    /// Why not.
    pub fn available(&self) -> Result<(), FeedError> {
        match self.control.state() {
            State::Following | State::Starting => Ok(()),
            State::Away { .. } | State::Broken { .. } => Err(FeedError::Unavailable),
            State::Gone => Err(FeedError::Gone),
        }
    }

    /// What keeps rows from being read, in words.
    fn trouble(&self) -> Option<String> {
        match self.control.state() {
            State::Following => None,
            State::Starting => Some("catching up for the first time".to_owned()),
            State::Away { reason } | State::Broken { reason } => Some(reason.to_owned()),
            State::Gone => Some("detached".to_owned()),
        }
    }

    /// Completes when the tail has finished a read that began after this call: what was committed before it is seen.
    ///
    /// # Errors
    /// [`FeedError::Unavailable`] while the tail can't read.
    pub async fn sync(&self) -> Result<(), FeedError> {
        self.control.sync().await.map_err(|_| match self.control.state() {
            State::Gone => FeedError::Gone,
            _ => FeedError::Unavailable,
        })
    }

    /// A subscriber's feed.
    pub fn feed(&self, subscription: Subscription) -> Feed {
        Feed::new(&self.hub, &self.replays, subscription)
    }

    /// The newest `limit` events of `rooms` below a row's id.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn before(&self, rooms: &[Room], below: i64, limit: usize) -> Result<Older, FeedError> {
        let subscriber = Subscriber::new(self.hub.clone(), rooms);
        let Joined::At { epoch, present, .. } = subscriber.join() else {
            return Err(FeedError::Unavailable);
        };
        let base = present.open.union(&OpenSet::above(below.saturating_sub(1)));
        let cursor = Cursor {
            epoch,
            open: base.clone(),
        };
        let older = OpenSet::above(0).difference(&base);
        let found = self.replays.nth_newest(rooms.into(), older, limit + 1).await?;
        let Some(lowest) = found else {
            return Ok(Older {
                events: None,
                cursor,
                more: false,
            });
        };
        let request = Request {
            epoch,
            rooms: rooms.into(),
            wanted: base.union(&OpenSet::above(lowest - 1)),
            base,
            max_rows: limit + 1,
        };
        let (pages, left_out) = self.replays.newest_pages(request).await?;
        let (events, more) = Batch::newest(epoch, pages, limit);
        Ok(Older {
            events,
            cursor,
            more: more || left_out,
        })
    }

    /// Forgets rooms that nobody has been in for long, and replays that are over. Call every few seconds, also while
    /// the database is away.
    pub fn sweep(&self, now: Instant) {
        self.replays.sweep(now);
        let forgotten = self.hub.sweep(now);
        if forgotten > 0 {
            let (rooms, subscriptions) = self.hub.population();
            let ring_bytes = self.hub.ring_bytes();
            tracing::debug!(source = %self.definition().name, forgotten, rooms, subscriptions, ring_bytes, "rooms were forgotten");
        }
    }

    /// Inserts a row into the table, in `room`, and returns its id.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, room: &Room, row: &NewRow) -> Result<i64, PublishError> {
        publish::publish(&self.database, &self.definition(), room, row).await
    }

    /// Replays from another table than the database's, for tests without one.
    #[cfg(test)]
    pub(crate) fn use_table(&self, table: Arc<dyn crate::feed::Table>) {
        self.replays.use_table(table);
    }
}
