//! Replays: pages of rows that subscribers missed, encoded once and read once for all who ask the same.
//!
//! A replay covers ids that the tail has closed, so that its pages may use different snapshots, and subscribers with
//! equal cursors and anchors can share one.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use bytes::{Bytes, BytesMut};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::cursor::{CursorText, IdRange, OpenSet};
use crate::event::{self, Row};
use crate::hub::{Entry, Segment, Times};
use crate::metrics::ReplayCounters;
use crate::pg::{PgError, answer};
use crate::room::Room;

use super::FeedError;
use super::asked::{Answer, Asked};
use super::table::Table;
use super::turns::Turns;

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

impl Request {
    /// What stays open to the end: wanted ∩ base.
    fn kept(&self) -> OpenSet {
        self.wanted.intersection(&self.base)
    }

    /// The position of one who has a replayed row, by the rule of the seam:
    /// open = (wanted ∩ base) ∪ (wanted ∩ (row, ∞)).
    fn open_after(&self, id: i64, kept: &OpenSet) -> OpenSet {
        kept.union(&self.wanted.above_id(id))
    }
}

/// Which are the newest so many rows, up to a key, without those whose insertion is an unseen entry?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct List {
    rooms: Arc<[Room]>,
    unseen: Vec<IdRange>,
    highest: i64,
    count: usize,
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
pub enum Page {
    Events {
        /// `None` if there are none.
        segment: Option<Arc<Segment>>,
        /// Where to go on: the subscriber's open set after the last row that was read, event or not. `None`: the page was
        /// the last.
        rest: Option<OpenSet>,
    },
    /// Some of what it should cover is no longer kept.
    Expired,
}

/// The newest rows of a table whose journal is followed, each as the JSON of an event: rows as they stand have no
/// position among the journal's entries.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Oldest first.
    pub events: Arc<[Bytes]>,
    /// Older ones were left out.
    pub cut: bool,
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
    turns: Turns,
    counters: ReplayCounters,
    pages: Arc<Asked<Request, Page>>,
    newest: Arc<Asked<Newest, Option<i64>>>,
    listings: Arc<Asked<List, Listing>>,
}

impl Replays {
    /// At most `at_once` reads at a time; once `max_waiting` wait for their turn, [`Replays::has_room`] says no.
    pub fn new(
        table: Arc<dyn Table>,
        at_once: usize,
        max_waiting: usize,
        counters: ReplayCounters,
    ) -> Arc<Self> {
        Arc::new(Self {
            table: RwLock::new(table),
            turns: Turns::new(at_once, max_waiting),
            counters,
            pages: Asked::new(),
            newest: Asked::new(),
            listings: Asked::new(),
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
        self.listings.sweep(now);
    }

    /// The page that `request` asks for, shared with equal requests of the same moment.
    pub fn page(self: &Arc<Self>, request: Request) -> Answer<Page> {
        self.counters.served.increment(1);
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
            let Page::Events { segment, rest } = self.page(request.clone()).await? else {
                // Pruned under way: what is left is the newest all the same.
                return Ok((segments, true));
            };
            if let Some(segment) = segment {
                bytes += segment.bytes.len();
                segments.push_back(segment);
            }
            while bytes > PAGES_BYTES && segments.len() > 1 {
                left_out = true;
                bytes -= segments.pop_front().map_or(0, |oldest| oldest.bytes.len());
            }
            match rest {
                Some(rest) => request.wanted = rest,
                None => return Ok((segments, left_out)),
            }
        }
    }

    /// Whether [`Replays::list`] has an answer: the rows of the table have an order of their own, beside that of the
    /// journal that is followed.
    pub fn lists_rows(&self) -> bool {
        self.table().lists_rows()
    }

    /// The newest `count` rows with a key of at most `highest`, without those whose insertion is an entry in `unseen`.
    /// Shared like a page.
    pub fn list(
        self: &Arc<Self>,
        rooms: Arc<[Room]>,
        unseen: Vec<IdRange>,
        highest: i64,
        count: usize,
    ) -> Answer<Listing> {
        let list = List {
            rooms,
            unseen,
            highest,
            count,
        };
        self.counters.served.increment(1);
        let (replays, asked) = (Arc::clone(self), list.clone());
        self.listings.ask(list, async move {
            let _permit = replays.turn().await;
            let List {
                rooms,
                unseen,
                highest,
                count,
            } = asked;
            // One more than asked for says whether older ones remain.
            let found = replays.table().newest(&rooms, &unseen, highest, count + 1).await;
            let found = found.map_err(|error| failed(&error))?.ok_or(Failed)?;
            Ok(listing(&found, count))
        })
    }

    /// Where the newest `count` rows in `ranges` begin: the lowest of their ids, `None` without rows. Shared like a page.
    pub fn nth_newest(
        self: &Arc<Self>,
        rooms: Arc<[Room]>,
        ranges: Vec<IdRange>,
        count: usize,
    ) -> Answer<Option<i64>> {
        let newest = Newest { rooms, ranges, count };
        self.counters.served.increment(1);
        let (replays, asked) = (Arc::clone(self), newest.clone());
        self.newest.ask(newest, async move {
            let _permit = replays.turn().await;
            let Newest { rooms, ranges, count } = asked;
            let found = replays.table().nth_newest(&rooms, &ranges, count).await;
            found.map_err(|error| failed(&error))
        })
    }

    /// See [`Table::ceiling`].
    pub async fn ceiling(&self) -> Result<i64, Failed> {
        let _permit = self.turns.take().await;
        self.table().ceiling().await.map_err(|error| failed(&error))
    }

    /// Whether one more may queue. Who asks what others wait for already does not queue, but is not told apart here.
    pub fn has_room(&self) -> bool {
        self.turns.has_room()
    }

    /// A turn to put one of the questions that are shared.
    async fn turn(&self) -> SemaphorePermit<'_> {
        let permit = self.turns.take().await;
        self.counters.queries.increment(1);
        permit
    }

    async fn read(&self, request: &Request) -> Result<Page, Failed> {
        let _permit = self.turn().await;
        let ranges = request.wanted.difference(&request.base);
        let page = self
            .table()
            .replay(&request.rooms, &ranges, request.max_rows)
            .await;
        let page = page.map_err(|error| failed(&error))?.ok_or(Failed)?;
        if ranges.first().is_some_and(|range| range.low <= page.kept_above) {
            return Ok(Page::Expired);
        }
        let last = page.rows.last().filter(|_| page.cut);
        Ok(Page::Events {
            segment: encode(request, &page.rows).map(Arc::new),
            rest: last.map(|last| request.open_after(last.id, &request.kept())),
        })
    }
}

fn failed(error: &PgError) -> Failed {
    tracing::warn!(%error, "a replay could not be read");
    Failed
}

/// The rows as a segment, each with its position.
fn encode(request: &Request, rows: &[Row]) -> Option<Segment> {
    let kept = request.kept();
    let mut bytes = BytesMut::new();
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(room) = row.audience() else { continue };
        let open = request.open_after(row.id, &kept);
        let json = event::write_frame(
            &mut bytes,
            CursorText {
                epoch: request.epoch,
                open: &open,
            },
            |out| {
                event::write_json(out, Some(row.id), room, row);
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
        times: Times::default(),
    })
}

/// The newest `count` of the rows that were found.
fn listing(found: &answer::Newest, count: usize) -> Listing {
    let surplus = found.rows.len().saturating_sub(count);
    let events = found.rows[surplus..].iter().filter_map(|row| {
        let room = row.audience()?;
        let mut json = BytesMut::new();
        event::write_json(&mut json, None, room, row);
        Some(json.freeze())
    });
    Listing {
        events: events.collect(),
        cut: found.cut,
    }
}
