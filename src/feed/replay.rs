//! Replays: pages of rows that subscribers missed, encoded once and read once for all who ask the same.
//!
//! A replay covers ids that the tail has closed, so that its pages may use different snapshots, and subscribers with
//! equal cursors and anchors can share one.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cursor::{CursorText, IdRange, OpenSet};
use crate::event::{self, Row};
use crate::hub::{Entry, Segment};
use crate::pg::PgError;
use crate::pg::store::{self, Store};
use crate::room::Room;

use super::FeedError;
use super::asked::{Answer, Asked};

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

/// Where do the newest so many rows begin?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Newest {
    rooms: Arc<[Room]>,
    ranges: Vec<IdRange>,
    count: usize,
}

/// Bytes of frames that scrolling back holds for one answer.
const PAGES_BYTES: usize = 4 << 20;

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

/// The replays of one source.
pub struct Replays {
    table: RwLock<Arc<dyn Table>>,
    /// How many read at a time.
    permits: Semaphore,
    pages: Arc<Asked<Request, Page>>,
    newest: Arc<Asked<Newest, Option<i64>>>,
}

impl Replays {
    /// At most `at_once` reads at a time.
    pub fn new(table: Arc<dyn Table>, at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            table: RwLock::new(table),
            permits: Semaphore::new(at_once),
            pages: Asked::new(),
            newest: Asked::new(),
        })
    }

    /// Goes on with other statements (a change of the columns that are sent).
    pub fn use_table(&self, table: Arc<dyn Table>) {
        *self.table.write().expect("no holder of this lock panics") = table;
    }

    fn table(&self) -> Arc<dyn Table> {
        self.table.read().expect("no holder of this lock panics").clone()
    }

    /// Forgets answers that nobody can share any more.
    pub fn sweep(&self, now: Instant) {
        self.pages.sweep(now);
        self.newest.sweep(now);
    }

    /// The page that `request` asks for, shared with equal requests of the same moment.
    pub fn page(self: &Arc<Self>, request: Request) -> Answer<Page> {
        let (replays, asked) = (Arc::clone(self), request.clone());
        self.pages.ask(request, async move { replays.read(&asked).await })
    }

    /// The pages of `request`, one after the other, and of them the newest that fit into [`PAGES_BYTES`]; true if
    /// older ones were left out.
    ///
    /// # Errors
    /// A page could not be read.
    pub async fn newest_pages(
        self: &Arc<Self>,
        mut request: Request,
    ) -> Result<(VecDeque<Arc<Segment>>, bool), Failed> {
        let (mut segments, mut bytes, mut left_out) = (VecDeque::<Arc<Segment>>::new(), 0, false);
        loop {
            let Page { segment, cut } = self.page(request.clone()).await?;
            let Some(segment) = segment else {
                return Ok((segments, left_out));
            };
            if let Some(last) = segment.entries.last() {
                request.wanted = OpenSet::clone(&last.open_after);
            }
            bytes += segment.bytes.len();
            segments.push_back(segment);
            while bytes > PAGES_BYTES && segments.len() > 1 {
                left_out = true;
                bytes -= segments.pop_front().map_or(0, |oldest| oldest.bytes.len());
            }
            if !cut {
                return Ok((segments, left_out));
            }
        }
    }

    /// Where the newest `count` rows in `ranges` begin: the lowest of their ids, `None` without rows. Shared like a page.
    pub fn nth_newest(
        self: &Arc<Self>,
        rooms: Arc<[Room]>,
        ranges: Vec<IdRange>,
        count: usize,
    ) -> Answer<Option<i64>> {
        let newest = Newest { rooms, ranges, count };
        let (replays, asked) = (Arc::clone(self), newest.clone());
        self.newest.ask(newest, async move {
            let _permit = replays.permit().await;
            let Newest { rooms, ranges, count } = asked;
            let found = replays.table().nth_newest(&rooms, &ranges, count).await;
            found.map_err(|error| failed(&error))
        })
    }

    /// See [`Store::ceiling`].
    pub async fn ceiling(&self) -> Result<i64, Failed> {
        let _permit = self.permit().await;
        self.table().ceiling().await.map_err(|error| failed(&error))
    }

    async fn permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.permits
            .acquire()
            .await
            .expect("this semaphore is never closed")
    }

    async fn read(&self, request: &Request) -> Result<Page, Failed> {
        let _permit = self.permit().await;
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
