//! A table in memory, for replays.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::cursor::IdRange;
use crate::event::Row;
use crate::feed::Table;
use crate::pg::PgError;
use crate::pg::answer::{Newest, Page};
use crate::room::Room;

#[derive(Default)]
pub(super) struct MemoryTable {
    rows: Mutex<Vec<Row>>,
    /// Whether reads fail.
    pub(super) away: AtomicBool,
    /// Whether its rows have an order beside that of a journal that is followed.
    pub(super) lists: AtomicBool,
    /// Whether reads of pages, and of where they begin, wait.
    pub(super) held: watch::Sender<bool>,
    /// Pages that were read.
    pub(super) pages: AtomicUsize,
}

impl MemoryTable {
    pub(super) fn insert(&self, rows: &[Row]) {
        self.rows.lock().unwrap().extend_from_slice(rows);
    }

    fn once_let_go<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, T> {
        let mut held = self.held.subscribe();
        async move {
            let _ = held.wait_for(|held| !held).await;
            answer
        }
        .boxed()
    }

    fn select(&self, rooms: &[Room], ranges: &[IdRange]) -> Result<Vec<Row>, PgError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(PgError::TimedOut {
                waited: Duration::ZERO,
            });
        }
        let wanted = |row: &&Row| {
            row.room
                .as_ref()
                .is_some_and(|room| rooms == [Room::all()] || rooms.contains(room))
                && contains(ranges, row.id)
        };
        Ok(self.rows.lock().unwrap().iter().filter(wanted).cloned().collect())
    }
}

fn contains(ranges: &[IdRange], id: i64) -> bool {
    ranges.iter().any(|range| (range.low..=range.high).contains(&id))
}

impl Table for MemoryTable {
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Option<Page>, PgError>> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let page = self.select(rooms, ranges).map(|mut rows| {
            let cut = rows.len() > max_rows;
            rows.truncate(max_rows);
            Some(Page {
                rows,
                kept_above: 0,
                cut,
            })
        });
        self.once_let_go(page)
    }

    fn nth_newest<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<i64>, PgError>> {
        let found = self
            .select(rooms, ranges)
            .map(|rows| rows.get(rows.len().saturating_sub(count)).map(|row| row.id));
        self.once_let_go(found)
    }

    fn lists_rows(&self) -> bool {
        self.lists.load(Ordering::Relaxed)
    }

    fn newest<'a>(
        &'a self,
        rooms: &'a [Room],
        unseen: &'a [IdRange],
        highest: i64,
        count: usize,
    ) -> BoxFuture<'a, Result<Option<Newest>, PgError>> {
        let up_to = IdRange {
            low: 1,
            high: highest,
        };
        let found = self.select(rooms, &[up_to]).map(|mut rows| {
            rows.retain(|row| !contains(unseen, row.id));
            let cut = rows.len() > count;
            rows.drain(..rows.len().saturating_sub(count));
            Some(Newest { rows, cut })
        });
        self.once_let_go(found)
    }

    fn ceiling(&self) -> BoxFuture<'_, Result<i64, PgError>> {
        let highest = self.rows.lock().unwrap().last().map_or(0, |row| row.id);
        std::future::ready(Ok(highest)).boxed()
    }
}
