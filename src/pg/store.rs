//! The reads of one source: what the tail sees, what a replay sends, and the saved position.
//!
//! The statements stand in `sql/`; names of tables and columns, quoted by the server, are put in once per source.

use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::Type;

use crate::cursor::{IdRange, OpenSet};
use crate::event::{Row, RowBody};
use crate::room::Room;

use super::source::Source;
use super::template::fill_template;
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
    relation_oid: u32,
    read: String,
    replay: String,
    nth_newest: String,
    ceiling: String,
    limits: ReadLimits,
}

/// What a read reports beside its rows, all of one snapshot. Transaction ids are 64 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub epoch: i64,
    /// Every id up to here is closed in this epoch.
    pub start_id: i64,
    pub never_ring: bool,
    /// The id sequence is the one that the epoch began with.
    pub sequence_is_same: bool,
    /// The relay's role may see the id sequence's value. If not, the next field means nothing.
    pub sequence_is_readable: bool,
    /// The id sequence's last value, 0 before its first.
    pub sequence_last: i64,
    pub snapshot_xmin: u64,
    /// The next unassigned transaction id, read after `sequence_last`.
    pub next_xid: u64,
    /// The bell's flag is 1: ring.
    pub must_ring: bool,
    pub in_recovery: bool,
}

/// One read of the tail.
#[derive(Debug)]
pub struct Read {
    pub header: Header,
    /// By id.
    pub rows: Vec<Row>,
    /// A limit stopped it: more may stand behind the last row.
    pub cut: bool,
}

/// One page of a replay.
#[derive(Debug)]
pub struct Page {
    /// By id.
    pub rows: Vec<Row>,
    /// A limit stopped it: more may stand behind the last row.
    pub cut: bool,
}

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
        let payload = match &source.payload_columns {
            None => "pg_catalog.row_to_json(picked.r)".to_owned(),
            Some(columns) => {
                let list = columns
                    .iter()
                    .map(|column| format!("(picked.r).{column}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                format!("(select pg_catalog.row_to_json(chosen) from (select {list}) chosen)")
            }
        };
        // One pass over the template: a name put in may itself look like a place holder.
        let fill = |template: &str| {
            fill_template(template, |name| match name {
                "id" => Some(source.id_column.as_str()),
                "room" => Some(&source.room_column),
                "relation" => Some(&source.relation),
                "room_type" => Some(source.room_sql_type()),
                "payload" => Some(&payload),
                _ => None,
            })
        };
        Self {
            database,
            source_name: source.name.clone(),
            relation_oid: source.relation_oid,
            read: fill(include_str!("../../sql/read.sql")),
            replay: fill(include_str!("../../sql/replay.sql")),
            nth_newest: fill(include_str!("../../sql/nth_newest.sql")),
            ceiling: fill(include_str!("../../sql/ceiling.sql")),
            limits,
        }
    }

    /// The source's name.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// The tail's read: what became visible in `open`, at most `max_rows`, on the tail's own session. `None`: the
    /// source is no longer registered.
    pub async fn read(
        &self,
        session: &Session,
        open: &OpenSet,
        max_rows: usize,
        with_contents: bool,
    ) -> Result<Option<Read>, PgError> {
        let (lows, highs) = bounds(open.ranges());
        let max_rows = max_rows as i64;
        let (event_bytes, page_bytes) = self.byte_limits();
        let found = session
            .read(
                &self.read,
                &[
                    (&self.source_name, Type::TEXT),
                    (&lows, Type::INT8_ARRAY),
                    (&highs, Type::INT8_ARRAY),
                    (&max_rows, Type::INT8),
                    (&with_contents, Type::BOOL),
                    (&event_bytes, Type::INT8),
                    (&page_bytes, Type::INT8),
                ],
            )
            .await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let header = Header::from_sql(first)?;
        let (rows, cut) = rows_from_sql(&found, max_rows)?;
        Ok(Some(Read { header, rows, cut }))
    }

    /// One page of a replay: the rows of `rooms` with ids in `ranges`, at most `max_rows`.
    pub async fn replay(&self, rooms: &[Room], ranges: &[IdRange], max_rows: usize) -> Result<Page, PgError> {
        let rooms: Vec<&str> = rooms.iter().map(Room::as_str).collect();
        let (lows, highs) = bounds(ranges.iter().copied());
        let max_rows = max_rows as i64;
        let (event_bytes, page_bytes) = self.byte_limits();
        let session = self.database.pooled().await?;
        let found = session
            .read(
                &self.replay,
                &[
                    (&rooms, Type::TEXT_ARRAY),
                    (&lows, Type::INT8_ARRAY),
                    (&highs, Type::INT8_ARRAY),
                    (&max_rows, Type::INT8),
                    (&event_bytes, Type::INT8),
                    (&page_bytes, Type::INT8),
                ],
            )
            .await?;
        let (rows, cut) = rows_from_sql(&found, max_rows)?;
        Ok(Page { rows, cut })
    }

    /// The lowest id among the newest `count` rows of `rooms` with ids in `ranges`; `None` if there are no rows.
    pub async fn nth_newest(
        &self,
        rooms: &[Room],
        ranges: &[IdRange],
        count: usize,
    ) -> Result<Option<i64>, PgError> {
        let rooms: Vec<&str> = rooms.iter().map(Room::as_str).collect();
        let (lows, highs) = bounds(ranges.iter().copied());
        let count = count as i64;
        let session = self.database.pooled().await?;
        let found = session
            .read(
                &self.nth_newest,
                &[
                    (&rooms, Type::TEXT_ARRAY),
                    (&lows, Type::INT8_ARRAY),
                    (&highs, Type::INT8_ARRAY),
                    (&count, Type::INT8),
                ],
            )
            .await?;
        found.first().map_or(Ok(None), |row| Ok(row.try_get("id")?))
    }

    /// The highest id that can have been seen by anyone: of the sequence or of the table, as they are now.
    pub async fn ceiling(&self) -> Result<i64, PgError> {
        let session = self.database.pooled().await?;
        let found = session
            .read(&self.ceiling, &[(&self.source_name, Type::TEXT)])
            .await?;
        found.first().map_or(Ok(0), |row| Ok(row.try_get("ceiling")?))
    }

    /// Ends `epoch` because the id sequence began anew. No effect if someone else did.
    pub async fn raise_epoch(&self, session: &Session, epoch: i64) -> Result<(), PgError> {
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

    /// The lowest transaction id among those who write the table; see [`flag::table_xmin`].
    pub async fn table_xmin(&self, session: &Session) -> Result<u64, PgError> {
        flag::table_xmin(session, self.relation_oid).await
    }

    fn byte_limits(&self) -> (i64, i64) {
        (self.limits.event_bytes as i64, self.limits.page_bytes as i64)
    }
}

impl Header {
    fn from_sql(row: &SqlRow) -> Result<Self, PgError> {
        let registered: u32 = row.try_get("registered_filenode")?;
        let current: u32 = row.try_get("sequence_filenode")?;
        let flag: i64 = row.try_get("flag")?;
        let xmax: i64 = row.try_get("snapshot_xmax")?;
        Ok(Self {
            epoch: row.try_get("epoch")?,
            start_id: row.try_get("start_id")?,
            never_ring: row.try_get("never_ring")?,
            sequence_is_same: registered == current,
            sequence_is_readable: row.try_get("sequence_is_readable")?,
            sequence_last: row.try_get("sequence_last")?,
            snapshot_xmin: row.try_get::<_, i64>("snapshot_xmin")? as u64,
            next_xid: widen_next_xid(row.try_get("transaction_age")?, xmax as u64),
            must_ring: flag == 1,
            in_recovery: row.try_get("in_recovery")?,
        })
    }
}

/// The next transaction id in 64 bits. `age_of_3` is `age('3'::xid)`, its distance from transaction 3 in 32 bits;
/// `snapshot_xmax` is in 64 bits, at or a little below it.
fn widen_next_xid(age_of_3: i32, snapshot_xmax: u64) -> u64 {
    let next = (age_of_3 as u32).wrapping_add(3);
    snapshot_xmax + u64::from(next.wrapping_sub(snapshot_xmax as u32))
}

/// The rows of an answer, and whether a limit cut it: on their number (all candidates are counted) or on their bytes.
fn rows_from_sql(found: &[SqlRow], max_rows: i64) -> Result<(Vec<Row>, bool), PgError> {
    let mut rows = Vec::with_capacity(found.len());
    let mut candidates = 0;
    for row in found {
        // A read without rows is its header alone.
        let Some(id) = row.try_get::<_, Option<i64>>("id")? else {
            continue;
        };
        let room: Option<&str> = row.try_get("room")?;
        let content: Option<String> = row.try_get("content")?;
        let bytes: Option<i64> = row.try_get("content_bytes")?;
        let body = match (content, bytes) {
            (Some(text), _) => RowBody::Json(text),
            (None, Some(_)) => RowBody::TooLarge,
            (None, None) => RowBody::NotRead,
        };
        candidates = row.try_get("candidates")?;
        rows.push(Row {
            id,
            room: room.map(Room::canonical),
            body,
        });
    }
    let cut = candidates >= max_rows || candidates > rows.len() as i64;
    Ok((rows, cut))
}

fn bounds(ranges: impl Iterator<Item = IdRange>) -> (Vec<i64>, Vec<i64>) {
    ranges.map(|range| (range.low, range.high)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_transaction_id_is_widened_beside_the_snapshots() {
        assert_eq!(widen_next_xid(730, 733), 733);
        assert_eq!(widen_next_xid(739, 733), 742);
        let wrap = 5_u64 << 32;
        assert_eq!(
            widen_next_xid(-10, wrap - 20),
            wrap - 7,
            "ages beyond 2^31 come as negative numbers"
        );
        assert_eq!(
            widen_next_xid(4, wrap - 20),
            wrap + 7,
            "the snapshot is behind the turn of 32 bits"
        );
    }
}
