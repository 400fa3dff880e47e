//! The reads of one source: what the tail sees, what a replay sends, and the saved position.
//!
//! The statements stand in `sql/`; names of tables and columns, quoted by the server, are put in once per source.

use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::{ToSql, Type};

use crate::cursor::{IdRange, OpenSet};
use crate::event::RowBody;
use crate::room::Room;

use super::answer::{Header, Newest, Page, Read, rows_from_sql};
use super::source::Source;
use super::statements::{Scoped, Statements};
use super::{Database, PgError, Session, flag};

/// Bounds of what one statement brings back.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// The largest JSON text of a row that is sent, in bytes (`--max-event-bytes`).
    pub event_bytes: usize,
    /// Contents of one read or page, in bytes: the row that crosses it is the last one.
    pub page_bytes: usize,
}

/// The statements of one source.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    source_name: String,
    revision: i64,
    followed_oid: u32,
    id_sequence_oid: u32,
    has_journal: bool,
    statements: Statements,
    limits: ReadLimits,
}

/// Contents of the newest rows of a table, in bytes: they are one answer, not pages.
const NEWEST_BYTES: i64 = 4 << 20;

/// A tail's saved position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPosition {
    pub open: OpenSet,
    /// The highest closed id that had been drawn from the sequence.
    pub highest_drawn: i64,
}

impl Store {
    /// The statements for `source`, run through `database`.
    pub fn new(database: Database, source: &Source, limits: ReadLimits) -> Self {
        Self {
            database,
            source_name: source.name.clone(),
            revision: source.revision,
            followed_oid: source.followed_oid(),
            id_sequence_oid: source.id_sequence_oid,
            has_journal: source.journal.is_some(),
            statements: Statements::new(source),
            limits,
        }
    }

    /// The source's name.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// The tail's read: what became visible in `open`, at most `max_rows`, on the tail's own session, with the contents of the
    /// rows of `rooms`, or of all. `None`: the source is no longer registered.
    pub async fn read(
        &self,
        session: &Session,
        open: &OpenSet,
        max_rows: usize,
        rooms: Option<&[Room]>,
    ) -> Result<Option<Read>, PgError> {
        let (lows, highs) = bounds(open.ranges());
        let most_rows = max_rows as i64;
        let event_bytes = self.limits.event_bytes as i64;
        let page_bytes = self.limits.page_bytes as i64;
        let names: Option<Vec<&[u8]>> =
            rooms.map(|rooms| rooms.iter().map(|room| room.as_str().as_bytes()).collect());
        let found = session
            .read(
                &self.statements.read,
                &[
                    (&self.source_name, Type::TEXT),
                    (&lows, Type::INT8_ARRAY),
                    (&highs, Type::INT8_ARRAY),
                    (&most_rows, Type::INT8),
                    (&event_bytes, Type::INT8),
                    (&page_bytes, Type::INT8),
                    (&names, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let header = Header::from_sql(first, self.revision)?;
        let (mut rows, cut) = rows_from_sql(&found, max_rows)?;
        // Only what a journal names can be gone. In doubt it was not read, which costs those who want it a replay.
        let is_wanted = |room: &Room| rooms.is_none_or(|rooms| rooms.contains(room));
        for row in &mut rows {
            let is_gone = self.has_journal && row.room.as_ref().is_some_and(is_wanted);
            if row.body == RowBody::Gone && !is_gone {
                row.body = RowBody::NotRead;
            }
        }
        Ok(Some(Read { header, rows, cut }))
    }

    /// One page of a replay: the rows of `rooms` with ids in `ranges`, at most `max_rows`. `None`: the source is no longer
    /// registered.
    pub async fn replay(
        &self,
        rooms: &[Room],
        ranges: &[IdRange],
        max_rows: usize,
    ) -> Result<Option<Page>, PgError> {
        let page_bytes = self.limits.page_bytes as i64;
        let found = self
            .ask(&self.statements.replay, rooms, ranges, max_rows, page_bytes, None)
            .await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let kept_above = first.try_get("kept_above")?;
        let (rows, cut) = rows_from_sql(&found, max_rows)?;
        Ok(Some(Page {
            rows,
            kept_above,
            cut,
        }))
    }

    /// The lowest id among the newest `count` rows of `rooms` with ids in `ranges`; `None` if there are no rows.
    pub async fn nth_newest(
        &self,
        rooms: &[Room],
        ranges: &[IdRange],
        count: usize,
    ) -> Result<Option<i64>, PgError> {
        let found = self
            .ask(&self.statements.nth_newest, rooms, ranges, count, 0, None)
            .await?;
        found.first().map_or(Ok(None), |row| Ok(row.try_get("id")?))
    }

    /// The newest rows of `rooms` by the order of their keys, as they stand in the table whose journal is followed, with a
    /// key of at most `highest`: at most `count`, those with the lowest keys first, their key as id. A row whose insertion
    /// is an entry in `unseen` is left out. `None` where the keys have no order (see [`Source::lists_rows`]).
    pub async fn newest(
        &self,
        rooms: &[Room],
        unseen: &[IdRange],
        highest: i64,
        count: usize,
    ) -> Result<Option<Newest>, PgError> {
        let Some(statements) = &self.statements.newest else {
            return Ok(None);
        };
        let keys = IdRange {
            low: i64::MIN,
            high: highest,
        };
        let found = self
            .ask(statements, rooms, &[keys], count, NEWEST_BYTES, Some(unseen))
            .await?;
        let (rows, cut) = rows_from_sql(&found, count)?;
        Ok(Some(Newest { rows, cut }))
    }

    /// Runs a statement over rooms and ranges, through the pool; `unseen` where it takes that, too.
    async fn ask(
        &self,
        statement: &Scoped,
        rooms: &[Room],
        ranges: &[IdRange],
        max_rows: usize,
        page_bytes: i64,
        unseen: Option<&[IdRange]>,
    ) -> Result<Vec<SqlRow>, PgError> {
        let all = *rooms == [Room::all()];
        let names: Vec<&str> = rooms.iter().filter(|_| !all).map(Room::as_str).collect();
        let (lows, highs) = bounds(ranges.iter().copied());
        let max_rows = max_rows as i64;
        let event_bytes = self.limits.event_bytes as i64;
        let (unseen_lows, unseen_highs) = bounds(unseen.unwrap_or_default().iter().copied());
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&self.source_name, Type::TEXT),
            (&lows, Type::INT8_ARRAY),
            (&highs, Type::INT8_ARRAY),
            (&max_rows, Type::INT8),
            (&event_bytes, Type::INT8),
            (&page_bytes, Type::INT8),
            (&names, Type::TEXT_ARRAY),
        ];
        if unseen.is_some() {
            params.push((&unseen_lows, Type::INT8_ARRAY));
            params.push((&unseen_highs, Type::INT8_ARRAY));
        }
        let statement = if all { &statement.all } else { &statement.rooms };
        self.database.pooled().await?.read(statement, &params).await
    }

    /// Whether [`Store::newest`] has an answer.
    pub fn lists_rows(&self) -> bool {
        self.statements.newest.is_some()
    }

    /// The highest id that can have been seen by anyone: of the sequence or of the table, as they are now.
    pub async fn ceiling(&self) -> Result<i64, PgError> {
        let session = self.database.pooled().await?;
        let found = session
            .read(&self.statements.ceiling, &[(&self.source_name, Type::TEXT)])
            .await?;
        found.first().map_or(Ok(0), |row| Ok(row.try_get("ceiling")?))
    }

    /// Deletes at most `batch` of the oldest entries that the journal need not keep, and returns how many. None of a direct
    /// source, and none while another relay is at it.
    pub async fn prune(&self, batch: i64) -> Result<i64, PgError> {
        if !self.has_journal {
            return Ok(0);
        }
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.source_name, Type::TEXT), (&batch, Type::INT8)];
        let session = self.database.pooled().await?;
        let found = session.read(include_str!("../../sql/prune.sql"), &params).await?;
        found.first().map_or(Ok(0), |row| Ok(row.try_get("deleted")?))
    }

    /// Ends `epoch` because the id sequence began anew, or a journal has a hole. No effect if someone else did.
    pub async fn raise_epoch(&self, session: &Session, epoch: i64) -> Result<(), PgError> {
        if let Some(forget) = &self.statements.forget_entries {
            session
                .read(forget, &[(&self.id_sequence_oid, Type::OID)])
                .await?;
        }
        let statement = include_str!("../../sql/raise_epoch.sql");
        session
            .read(
                statement,
                &[(&self.source_name, Type::TEXT), (&epoch, Type::INT8)],
            )
            .await?;
        Ok(())
    }

    /// The newest saved position in `epoch`, by whichever relay.
    pub async fn load_position(
        &self,
        session: &Session,
        epoch: i64,
    ) -> Result<Option<SavedPosition>, PgError> {
        let statement = include_str!("../../sql/load_position.sql");
        let found = session
            .read(
                statement,
                &[(&self.source_name, Type::TEXT), (&epoch, Type::INT8)],
            )
            .await?;
        let Some(row) = found.first() else { return Ok(None) };
        let (lows, highs): (Vec<i64>, Vec<i64>) = (row.try_get("gap_lows")?, row.try_get("gap_highs")?);
        let gaps = lows
            .into_iter()
            .zip(highs)
            .map(|(low, high)| IdRange { low, high });
        let open = OpenSet::new(row.try_get("high")?, gaps);
        Ok(Some(SavedPosition {
            open,
            highest_drawn: row.try_get("highest_drawn")?,
        }))
    }

    /// Saves a position, unabridged. No effect in an epoch that is over.
    pub async fn save_position(
        &self,
        session: &Session,
        epoch: i64,
        position: &SavedPosition,
    ) -> Result<(), PgError> {
        let (lows, highs) = bounds(position.open.gaps().iter().copied());
        session
            .read(
                include_str!("../../sql/save_position.sql"),
                &[
                    (&self.source_name, Type::TEXT),
                    (&epoch, Type::INT8),
                    (&position.open.high(), Type::INT8),
                    (&lows, Type::INT8_ARRAY),
                    (&highs, Type::INT8_ARRAY),
                    (&position.highest_drawn, Type::INT8),
                ],
            )
            .await?;
        Ok(())
    }

    /// The lowest transaction id among those who write what is followed; see [`flag::table_xmin`].
    pub async fn table_xmin(&self, session: &Session) -> Result<u64, PgError> {
        flag::table_xmin(session, self.followed_oid).await
    }
}

fn bounds(ranges: impl Iterator<Item = IdRange>) -> (Vec<i64>, Vec<i64>) {
    ranges.map(|range| (range.low, range.high)).unzip()
}
