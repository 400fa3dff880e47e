//! Replays: pages of rows that subscribers missed, encoded once and read once for all who ask the same.
//!
//! A replay covers ids that the tail has closed, so that its pages may use different snapshots, and subscribers with
//! equal cursors and anchors can share one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared, ready};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cursor::{CursorText, IdRange, OpenSet};
use crate::event::{self, Row};
use crate::hub::{Entry, Segment};
use crate::pg::PgError;
use crate::pg::store::{self, Store};
use crate::room::Room;

use super::FeedError;

/// What one page of a replay is to cover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub epoch: i64,
    pub rooms: Arc<[Room]>,
    /// What the subscriber has not seen.
    pub wanted: OpenSet,
    /// What the tail had not seen at the position from which the subscriber will follow: not replayed.
    pub base: OpenSet,
    pub max_rows: usize,
}

/// One page of a replay, encoded.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events; `None` if there are none.
    pub segment: Option<Arc<Segment>>,
    /// More may stand behind the last event.
    pub cut: bool,
}

/// The table as replays read it. The database's own is [`Store`]; a model of the seam is another.
pub trait Table: Send + Sync {
    /// See [`Store::replay`].
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<store::Page, PgError>>;

    /// See [`Store::nth_newest`].
    fn nth_newest<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<i64>, PgError>>;

    /// See [`Store::ceiling`].
    fn ceiling(&self) -> BoxFuture<'_, Result<i64, PgError>>;
}

impl Table for Store {
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<store::Page, PgError>> {
        self.replay(rooms, ranges, max_rows).boxed()
    }

    fn nth_newest<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<i64>, PgError>> {
        self.nth_newest(rooms, ranges, count).boxed()
    }

    fn ceiling(&self) -> BoxFuture<'_, Result<i64, PgError>> {
        self.ceiling().boxed()
    }
}

/// A replay's read failed; the database's words are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl From<Failed> for FeedError {
    fn from(Failed: Failed) -> Self {
        Self::Unavailable
    }
}

type Reading = BoxFuture<'static, Result<Page, Failed>>;

/// A page that was asked for a moment ago.
enum Recent {
    /// Only those who wait for it hold it: a read that all have left ends, and gives its permit back.
    UnderWay(WeakShared<Reading>),
    Read(Page),
}

impl Recent {
    /// The page for one more subscriber; `None` if all who waited for it have left.
    fn share(&self) -> Option<Shared<Reading>> {
        match self {
            Self::UnderWay(reading) => reading.upgrade(),
            Self::Read(page) => Some(ready(Ok(page.clone())).boxed().shared()),
        }
    }
}

/// The replays of one source.
pub struct Replays {
    table: RwLock<Arc<dyn Table>>,
    /// How many read at a time.
    permits: Semaphore,
    /// With the moment when each was asked for.
    recent: Mutex<HashMap<Request, (Recent, Instant)>>,
    queries: AtomicU64,
    served: AtomicU64,
}

/// How long a page may be shared, from the moment its read was asked for: a crowd that comes back within a fifth of a
/// second costs a handful of reads, and nobody sees a row older than that.
const SHARE_FOR: Duration = Duration::from_millis(50);

impl Replays {
    /// At most `at_once` reads at a time.
    pub fn new(table: Arc<dyn Table>, at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            table: RwLock::new(table),
            permits: Semaphore::new(at_once),
            recent: Mutex::new(HashMap::new()),
            queries: AtomicU64::new(0),
            served: AtomicU64::new(0),
        })
    }

    /// Goes on with other statements (a change of the columns that are sent).
    pub fn use_table(&self, table: Arc<dyn Table>) {
        *self.table.write().expect("no holder of this lock panics") = table;
    }

    fn table(&self) -> Arc<dyn Table> {
        self.table.read().expect("no holder of this lock panics").clone()
    }

    /// The page that `request` asks for, shared with equal requests of the same moment.
    pub fn page(self: &Arc<Self>, request: Request) -> Shared<Reading> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut recent = self.recent.lock().expect("no holder of this lock panics");
        recent.retain(|_, (_, since)| now.duration_since(*since) < SHARE_FOR);
        if let Some(page) = recent.get(&request).and_then(|(page, _)| page.share()) {
            return page;
        }
        let (replays, asked) = (Arc::clone(self), request.clone());
        let reading = async move {
            let page = replays.read(&asked).await?;
            replays.keep(&asked, now, &page);
            Ok(page)
        };
        let reading = reading.boxed().shared();
        if let Some(weak) = reading.downgrade() {
            recent.insert(request, (Recent::UnderWay(weak), now));
        }
        reading
    }

    /// Keeps a page that was read for those who ask within the same moment.
    fn keep(&self, request: &Request, asked: Instant, page: &Page) {
        let mut recent = self.recent.lock().expect("no holder of this lock panics");
        if let Some((kept, since)) = recent.get_mut(request)
            && *since == asked
        {
            *kept = Recent::Read(page.clone());
        }
    }

    /// All pages of `request`, one after the other.
    ///
    /// # Errors
    /// A page could not be read.
    pub async fn all_pages(self: &Arc<Self>, mut request: Request) -> Result<Vec<Arc<Segment>>, Failed> {
        let mut segments = Vec::new();
        loop {
            let Page { segment, cut } = self.page(request.clone()).await?;
            let Some(segment) = segment else {
                return Ok(segments);
            };
            if let Some(last) = segment.entries.last() {
                request.wanted = OpenSet::clone(&last.open_after);
            }
            segments.push(segment);
            if !cut {
                return Ok(segments);
            }
        }
    }

    /// Where the newest `count` rows outside `open` begin: the lowest of their ids, `None` without rows.
    pub async fn nth_newest(
        &self,
        rooms: &[Room],
        ranges: &[IdRange],
        count: usize,
    ) -> Result<Option<i64>, Failed> {
        let _permit = self.permit().await;
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.table()
            .nth_newest(rooms, ranges, count)
            .await
            .map_err(|error| failed(&error))
    }

    /// See [`Store::ceiling`].
    pub async fn ceiling(&self) -> Result<i64, Failed> {
        let _permit = self.permit().await;
        self.table().ceiling().await.map_err(|error| failed(&error))
    }

    /// Reads so far, and pages given to subscribers.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.queries.load(Ordering::Relaxed),
            self.served.load(Ordering::Relaxed),
        )
    }

    async fn permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.permits
            .acquire()
            .await
            .expect("this semaphore is never closed")
    }

    async fn read(&self, request: &Request) -> Result<Page, Failed> {
        let _permit = self.permit().await;
        self.queries.fetch_add(1, Ordering::Relaxed);
        let ranges = request.wanted.difference(&request.base);
        let page = self
            .table()
            .replay(&request.rooms, &ranges, request.max_rows)
            .await;
        let page = page.map_err(|error| failed(&error))?;
        Ok(Page {
            segment: encode(request, &page.rows).map(Arc::new),
            cut: page.cut,
        })
    }
}

fn failed(error: &PgError) -> Failed {
    tracing::warn!(%error, "a replay could not be read");
    Failed
}

/// The rows as a segment, each with the position of the rule of the seam:
/// open = (wanted ∩ base) ∪ (wanted ∩ (row, ∞)).
fn encode(request: &Request, rows: &[Row]) -> Option<Segment> {
    let kept = request.wanted.intersection(&request.base);
    let mut bytes = BytesMut::new();
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(room) = &row.room else { continue };
        let open = kept.union(&request.wanted.above_id(row.id));
        let json = event::write_frame(
            &mut bytes,
            CursorText {
                epoch: request.epoch,
                open: &open,
            },
            |out| {
                event::write_json(out, row.id, room, &row.body);
            },
        );
        let frame_end = bytes.len();
        entries.push(Entry {
            number: 0,
            id: row.id,
            json,
            frame_end,
            open_after: Arc::new(open),
        });
    }
    (!entries.is_empty()).then(|| Segment {
        entries,
        bytes: bytes.freeze(),
    })
}
