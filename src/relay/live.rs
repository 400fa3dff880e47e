//! One source that is followed, as transports use it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cursor::{Cursor, OpenSet};
use crate::feed::{Batch, Feed, FeedError, Listing, Replays, Request, Subscription};
use crate::hub::{Hub, HubLimits, Joined, Subscriber};
use crate::metrics::{Metrics, SourceMetrics};
use crate::pg::publish::{self, NewRow, PublishError, Published};
use crate::pg::source::Source;
use crate::pg::store::ReadLimits;
use crate::pg::{Database, PgError};
use crate::room::Room;
use crate::tail::{Control, Mark, Plan, State};

/// Bounds and sizes of each source.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    pub hub: HubLimits,
    pub reads: ReadLimits,
    /// Replays of one source that read at a time.
    pub replays_at_once: usize,
    /// Replays of one source that may wait for that.
    pub waiting_replays: usize,
}

/// One source that is followed: its definition, its hub, its tail's control, its replays.
pub struct LiveSource {
    database: Database,
    hub: Arc<Hub>,
    control: Arc<Control>,
    replays: Arc<Replays>,
    metrics: Arc<SourceMetrics>,
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
    /// A source whose tail is not running yet. It is counted in `metrics`.
    pub fn new(database: Database, definition: Source, limits: SourceLimits, metrics: &Metrics) -> Arc<Self> {
        let metrics = SourceMetrics::new(metrics, &definition.name);
        let plan = Plan::new(&database, definition, limits.reads);
        Arc::new(Self {
            database,
            hub: Hub::new(limits.hub),
            control: Arc::default(),
            replays: Replays::new(
                plan.store.clone(),
                limits.replays_at_once,
                limits.waiting_replays,
                metrics.replays(),
            ),
            metrics,
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

    /// What is counted of it.
    pub fn metrics(&self) -> &Arc<SourceMetrics> {
        &self.metrics
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
    pub fn trouble(&self) -> Option<String> {
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
        self.sync_since(self.mark()).await
    }

    /// The same for what was committed before `mark`: at once where such a read is done.
    ///
    /// # Errors
    /// As [`LiveSource::sync`].
    pub async fn sync_since(&self, mark: Mark) -> Result<(), FeedError> {
        let synced = self.control.sync_since(mark).await;
        synced.map_err(|_| match self.control.state() {
            State::Gone => FeedError::Gone,
            _ => FeedError::Unavailable,
        })
    }

    /// Now, among the tail's reads.
    pub fn mark(&self) -> Mark {
        self.control.mark()
    }

    /// Whether the tail has got as far as one who has this cursor, which another relay may have made.
    pub fn has_reached(&self, cursor: &Cursor) -> bool {
        self.hub.has_reached(cursor)
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
        if !self.replays.has_room() {
            return Err(FeedError::Overloaded);
        }
        let subscriber = Subscriber::new(self.hub.clone(), rooms);
        let Joined::At { epoch, present, .. } = subscriber.join() else {
            return Err(FeedError::Unavailable);
        };
        if self.replays.lists_rows() {
            return self
                .rows_before(
                    rooms,
                    below,
                    limit,
                    Cursor {
                        epoch,
                        open: OpenSet::clone(&present.open),
                    },
                )
                .await;
        }
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

    /// The newest `limit` rows with a key below `below`, as they stand in the table whose journal is followed.
    async fn rows_before(
        &self,
        rooms: &[Room],
        below: i64,
        limit: usize,
        cursor: Cursor,
    ) -> Result<Older, FeedError> {
        let unseen = cursor.open.ranges().collect();
        let highest = below.saturating_sub(1);
        let Listing { events, cut } = self.replays.list(rooms.into(), unseen, highest, limit).await?;
        let events = (!events.is_empty()).then(|| Batch::listed(cursor.epoch, events));
        Ok(Older {
            events,
            cursor,
            more: cut,
        })
    }

    /// Whether a listing of the newest rows is one answer of rows as they stand, which has no position within.
    pub fn lists_rows(&self) -> bool {
        self.replays.lists_rows()
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

    /// Deletes at most `batch` entries that the journal need not keep any longer, and returns how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn prune(&self, batch: i64) -> Result<i64, PgError> {
        let store = self.plan.borrow().store.clone();
        store.prune(batch).await
    }

    /// Inserts a row into the table, in `room`.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, room: &Room, row: &NewRow) -> Result<Published, PublishError> {
        publish::publish(&self.database, &self.definition(), room, row).await
    }

    /// Replays from another table than the database's, for tests without one.
    #[cfg(test)]
    pub(crate) fn use_table(&self, table: Arc<dyn crate::feed::Table>) {
        self.replays.use_table(table);
    }
}
