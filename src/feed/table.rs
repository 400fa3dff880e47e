//! The table as replays read it, so that a model can stand in for a database.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::cursor::IdRange;
use crate::pg::PgError;
use crate::pg::answer;
use crate::pg::store::Store;
use crate::room::Room;

/// The table as replays read it. The database's own is [`Store`]; a model of the seam is another.
pub trait Table: Send + Sync {
    /// See [`Store::replay`].
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Option<answer::Page>, PgError>>;

    /// See [`Store::nth_newest`].
    fn nth_newest<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<i64>, PgError>>;

    /// See [`Store::ceiling`].
    fn ceiling(&self) -> BoxFuture<'_, Result<i64, PgError>>;

    /// See [`Store::lists_rows`]: not of a table that is followed itself.
    fn lists_rows(&self) -> bool {
        false
    }

    /// See [`Store::newest`].
    fn newest<'a>(
        &'a self,
        _rooms: &'a [Room],
        _unseen: &'a [IdRange],
        _highest: i64,
        _count: usize,
    ) -> BoxFuture<'a, Result<Option<answer::Newest>, PgError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

impl Table for Store {
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Option<answer::Page>, PgError>> {
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

    fn lists_rows(&self) -> bool {
        self.lists_rows()
    }

    fn newest<'a>(
        &'a self,
        rooms: &'a [Room],
        unseen: &'a [IdRange],
        highest: i64,
        count: usize,
    ) -> BoxFuture<'a, Result<Option<answer::Newest>, PgError>> {
        self.newest(rooms, unseen, highest, count).boxed()
    }
}
