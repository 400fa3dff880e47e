//! What the statements of one source answer: rows, and what the tail needs to know beside them.

use tokio_postgres::Row as SqlRow;

use crate::cursor::OpenSet;
use crate::event::{Op, Row, RowBody};
use crate::room::Room;

use super::PgError;

/// What a read reports beside its rows, all of one snapshot. Transaction ids are 64 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub epoch: i64,
    /// The registered definition is the one that these statements were made of. If not, the rows mean nothing.
    pub revision_is_same: bool,
    /// Every id up to here is closed in this epoch.
    pub start_id: i64,
    /// Of a journal: entries up to here may have been pruned. 0 for a table.
    pub kept_above: i64,
    /// Of a journal: a partition of its table was truncated in this epoch.
    pub truncated: bool,
    /// Of a journal: its trigger had to skip changes, because a column was missing or of another type.
    pub skipped: Option<Skipped>,
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

/// A journal is not complete: its trigger could not read rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// So many changes in this epoch; more than were skipped if their transactions rolled back.
    pub count: i64,
    /// The columns of the key and the room are as they were attached (again).
    pub columns_fit: bool,
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
    /// As in [`Header`], of the page's snapshot: what lies below may be missing in it.
    pub kept_above: i64,
    /// A limit stopped it: more may stand behind the last row.
    pub cut: bool,
}

/// The newest rows of a table.
#[derive(Debug)]
pub struct Newest {
    /// By key, which stands as their id.
    pub rows: Vec<Row>,
    /// A limit stopped it: older ones may stand below the first row.
    pub cut: bool,
}

impl Header {
    /// What is open to a tail that has seen nothing of this epoch. Where `start_id` is −1, nobody knows what is closed; but what
    /// a journal may have pruned can't be read.
    pub fn open_at_start(&self) -> OpenSet {
        OpenSet::above(match self.kept_above {
            0 => self.start_id,
            kept_above => self.start_id.max(kept_above),
        })
    }

    pub(super) fn from_sql(row: &SqlRow, revision: i64) -> Result<Self, PgError> {
        let registered: u32 = row.try_get("registered_filenode")?;
        let current: u32 = row.try_get("sequence_filenode")?;
        let flag: i64 = row.try_get("flag")?;
        let xmax: i64 = row.try_get("snapshot_xmax")?;
        Ok(Self {
            epoch: row.try_get("epoch")?,
            revision_is_same: row.try_get::<_, i64>("revision")? == revision,
            start_id: row.try_get("start_id")?,
            kept_above: row.try_get("kept_above")?,
            truncated: row.try_get("truncated")?,
            skipped: match row.try_get("columns_fit")? {
                Some(columns_fit) => Some(Skipped {
                    count: row.try_get("skipped")?,
                    columns_fit,
                }),
                None => None,
            },
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
/// No contents mean that they are gone.
pub(super) fn rows_from_sql(found: &[SqlRow], max_rows: usize) -> Result<(Vec<Row>, bool), PgError> {
    let mut rows = Vec::with_capacity(found.len());
    let mut candidates = 0;
    for row in found {
        // An answer without rows is its header alone.
        let Some(id) = row.try_get::<_, Option<i64>>("id")? else {
            continue;
        };
        let room: Option<&str> = row.try_get("room")?;
        let content: Option<String> = row.try_get("content")?;
        let bytes: Option<i64> = row.try_get("content_bytes")?;
        let body = match (content, bytes) {
            (Some(text), _) => RowBody::Json(text),
            (None, Some(_)) => RowBody::TooLarge,
            (None, None) => RowBody::Gone,
        };
        candidates = row.try_get("candidates")?;
        rows.push(Row {
            id,
            op: Op::from_letter(row.try_get("op")?).ok_or(PgError::UnknownOperation)?,
            room: room.map(Room::canonical),
            key: row.try_get("key")?,
            time: row.try_get("written")?,
            body,
        });
    }
    let cut = candidates >= max_rows as i64 || candidates > rows.len() as i64;
    Ok((rows, cut))
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
