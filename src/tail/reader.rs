//! One read after the other: what the tail has seen, the epoch it stands in, and the hub it publishes to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cursor::OpenSet;
use crate::hub::Hub;
use crate::pg::answer::{Header, Read};
use crate::pg::store::{SavedPosition, Store};
use crate::pg::{PgError, Session};
use crate::room::Room;

use super::TABLE_XMIN_INTERVAL;
use super::seen::{Look, Seen};

/// Rows of one read while it follows: an upper bound of what is encoded at once.
const FOLLOW_ROWS: usize = 2_000;

/// Rows of one read while it catches up, without contents: 16 bytes each.
const CATCH_UP_ROWS: usize = 20_000;

/// Of a read without contents.
const NO_ROOMS: Option<&[Room]> = Some(&[]);

/// Why a read did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Database(#[from] PgError),
    /// On a standby, what decides that a transaction is over is not known: the read is thrown away.
    #[error("the database is a standby; rows can be followed on the primary only")]
    InRecovery,
    /// PostgreSQL 17 and later hide a sequence's value instead of refusing it: nothing can be told from such a read.
    #[error("the relay's role may not read the id sequence: grant select on it")]
    SequenceHidden,
    /// It was attached anew with another table, key, room or kind: these statements read the wrong thing.
    #[error("the source was attached anew")]
    Replanned,
    /// The journal's trigger skips changes.
    #[error(
        "a column of the key or the room was renamed, dropped or retyped: changes are not noted; attach it again"
    )]
    Skipping,
    /// The source is no longer registered.
    #[error("the source was detached")]
    Gone,
}

/// What a read brought, as far as the tail's pace and mode need it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub header: Header,
    pub rows: usize,
    /// More is there: read again at once.
    pub cut: bool,
    pub took: Duration,
}

/// The reading half of a tail.
pub struct Reader {
    store: Arc<Store>,
    hub: Arc<Hub>,
    place: Option<Place>,
    /// How many changes the journal's trigger had skipped by the last read.
    skipped: i64,
    /// How far a catching up came that failed.
    partial: Option<Place>,
    saved: Option<(i64, SavedPosition)>,
}

/// Where the tail stands.
struct Place {
    epoch: i64,
    seen: Seen,
    /// The highest id that is closed and was drawn from the sequence by then. A sequence that stands lower began anew.
    /// (A crash may set a sequence back over numbers that nobody committed; those were never closed.)
    highest_drawn: i64,
}

impl Place {
    fn new(epoch: i64, open: &OpenSet) -> Self {
        Self {
            epoch,
            seen: Seen::from_open(open),
            highest_drawn: 0,
        }
    }

    /// After a read that reported `sequence_last`.
    fn note_drawn(&mut self, sequence_last: i64) {
        let closed = self.seen.open().highest_closed(sequence_last);
        self.highest_drawn = self.highest_drawn.max(closed);
    }
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(store: Arc<Store>, hub: Arc<Hub>) -> Self {
        Self {
            store,
            hub,
            place: None,
            skipped: 0,
            partial: None,
            saved: None,
        }
    }

    /// Goes on with other statements (a change of the columns that are sent).
    pub fn use_store(&mut self, store: Arc<Store>) {
        self.store = store;
    }

    /// Whether gaps outlived the last read.
    pub fn lingers(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.seen.lingers())
    }

    /// How many gaps there are, and since when the oldest: see [`Seen::ages`].
    pub fn gap_ages(&self) -> (usize, Option<Instant>) {
        let place = self.place.as_ref();
        place.map_or((0, None), |place| place.seen.ages())
    }

    /// Looks up the table's own xmin, takes it for the next read ([`Seen::note_table_xmin`]) and returns it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn note_table_xmin(&mut self, session: &Session) -> Result<u64, PgError> {
        let table_xmin = self.store.table_xmin(session).await?;
        if let Some(place) = &mut self.place {
            place.seen.note_table_xmin(table_xmin);
        }
        Ok(table_xmin)
    }

    /// Reads what became visible since the last read, and publishes it.
    ///
    /// # Errors
    /// See [`ReadError`]. Nothing was taken then; the next read brings it.
    pub async fn read(&mut self, session: &Session) -> Result<Outcome, ReadError> {
        let mut place = match self.place.take() {
            Some(place) => place,
            None => self.start(session).await?,
        };
        let result = self.read_from(session, &mut place).await;
        self.place = Some(place);
        result
    }

    async fn read_from(&mut self, session: &Session, place: &mut Place) -> Result<Outcome, ReadError> {
        let began = Instant::now();
        // Whoever enters another room meanwhile finds that its ring begins anew behind this read.
        let wanted = self.hub.wanted_rooms();
        let read = self
            .fetch(session, &place.seen.open(), FOLLOW_ROWS, wanted.as_deref())
            .await?;
        let Read { header, rows, cut } = read;
        if header.epoch != place.epoch {
            *place = self.enter_epoch(session, header).await?;
            return Ok(Outcome {
                header,
                rows: 0,
                cut: true,
                took: began.elapsed(),
            });
        }
        if began_anew(&header, place.highest_drawn) {
            tracing::warn!(
                source = self.store.source_name(),
                skipped = header.skipped.is_some(),
                truncated = header.truncated,
                "the id sequence began anew, a journal skipped changes, or a partition was truncated: cursors are reset"
            );
            self.store.raise_epoch(session, place.epoch).await?;
            return Ok(Outcome {
                header,
                rows: 0,
                cut: true,
                took: began.elapsed(),
            });
        }
        if header.kept_above > 0 && place.seen.open().lowest() <= header.kept_above {
            self.skip_pruned(place, header.kept_above);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let look = look(&header, &ids, cut);
        self.hub.publish(|publication| {
            let mut rows = rows.iter();
            place.seen.absorb(&look, &ids, |id, open| {
                // By id, not by place: of rows with the same id only the first is taken.
                if let Some(row) = rows.find(|row| row.id == id) {
                    publication.deliver(row, open);
                }
            });
            place.seen.open()
        });
        place.note_drawn(header.sequence_last);
        Ok(Outcome {
            header,
            rows: ids.len(),
            cut,
            took: began.elapsed(),
        })
    }

    /// What was pruned before this tail saw it will never come. Who follows has missed it, too, and is told: it joins again
    /// and can't be brought up to date from the journal.
    fn skip_pruned(&self, place: &mut Place, kept_above: i64) {
        tracing::warn!(
            source = self.store.source_name(),
            kept_above,
            "entries were pruned from the journal before this relay saw them"
        );
        place.seen = Seen::from_open(&place.seen.open().above_id(kept_above));
        self.hub.restart(place.epoch, place.seen.open());
    }

    /// From a saved position if there is one, else from where the epoch began. What was committed while no tail was
    /// there is taken as seen: it stands in the table for those who ask with an older cursor.
    async fn start(&mut self, session: &Session) -> Result<Place, ReadError> {
        loop {
            let header = self.fetch(session, &nothing_open(), 1, NO_ROOMS).await?.header;
            let saved = self.store.load_position(session, header.epoch).await?;
            if began_anew(&header, saved.as_ref().map_or(0, |saved| saved.highest_drawn)) {
                self.store.raise_epoch(session, header.epoch).await?;
                continue;
            }
            let open = saved.map_or_else(|| header.open_at_start(), |saved| saved.open);
            let place = self.catch_up(session, header, open).await?;
            self.hub.restart(place.epoch, place.seen.open());
            return Ok(place);
        }
    }

    /// The epoch changed under way. After a TRUNCATE every row is new; after a sequence that began anew nobody knows
    /// which are, and those that are visible count as seen.
    async fn enter_epoch(&mut self, session: &Session, header: Header) -> Result<Place, ReadError> {
        let open = header.open_at_start();
        let place = if header.start_id < 0 {
            self.catch_up(session, header, open).await?
        } else {
            Place::new(header.epoch, &open)
        };
        tracing::info!(
            source = self.store.source_name(),
            epoch = place.epoch,
            "a new epoch: subscribers are reset"
        );
        self.hub.restart(place.epoch, place.seen.open());
        Ok(place)
    }

    /// Takes everything visible in `open` as seen, without publishing it.
    async fn catch_up(
        &mut self,
        session: &Session,
        header: Header,
        open: OpenSet,
    ) -> Result<Place, ReadError> {
        let mut place = match self.partial.take() {
            Some(partial) if partial.epoch == header.epoch => partial,
            _ => Place::new(header.epoch, &open),
        };
        let mut next_look = Instant::now() + TABLE_XMIN_INTERVAL;
        loop {
            let fetched = self
                .fetch(session, &place.seen.open(), CATCH_UP_ROWS, NO_ROOMS)
                .await;
            let read = match fetched {
                Ok(read) => read,
                Err(error) => {
                    self.partial = Some(place);
                    return Err(error);
                }
            };
            if read.header.epoch != place.epoch {
                place = Place::new(read.header.epoch, &read.header.open_at_start());
                continue;
            }
            let ids: Vec<i64> = read.rows.iter().map(|row| row.id).collect();
            place
                .seen
                .absorb(&look(&read.header, &ids, read.cut), &ids, |_, _| {});
            place.note_drawn(read.header.sequence_last);
            if !read.cut {
                return Ok(place);
            }
            // A foreign transaction would otherwise let the gaps pile up, and every read walks all of them.
            if place.seen.lingers() && Instant::now() >= next_look {
                next_look = Instant::now() + TABLE_XMIN_INTERVAL;
                place.seen.note_table_xmin(self.store.table_xmin(session).await?);
            }
        }
    }

    /// Changes that were skipped can't be brought: once the columns are as attached, and no more are skipped from one read
    /// to the next (a pause apart, since this error ends the session), a new epoch tells the subscribers.
    fn check_skips(&mut self, header: &Header) -> Result<(), ReadError> {
        let Some(skipped) = header.skipped else {
            return Ok(());
        };
        let before = std::mem::replace(&mut self.skipped, skipped.count);
        if skipped.columns_fit && skipped.count == before {
            return Ok(());
        }
        Err(ReadError::Skipping)
    }

    async fn fetch(
        &mut self,
        session: &Session,
        open: &OpenSet,
        max_rows: usize,
        rooms: Option<&[Room]>,
    ) -> Result<Read, ReadError> {
        let read = self
            .store
            .read(session, open, max_rows, rooms)
            .await?
            .ok_or(ReadError::Gone)?;
        if read.header.in_recovery {
            return Err(ReadError::InRecovery);
        }
        if !read.header.sequence_is_readable {
            return Err(ReadError::SequenceHidden);
        }
        if !read.header.revision_is_same {
            return Err(ReadError::Replanned);
        }
        self.check_skips(&read.header)?;
        Ok(read)
    }

    /// Saves the position if it changed since it was saved last.
    ///
    /// # Errors
    /// What the database says; the next call tries again.
    pub async fn save(&mut self, session: &Session) -> Result<(), PgError> {
        let Some(place) = &self.place else { return Ok(()) };
        let position = SavedPosition {
            open: place.seen.open(),
            highest_drawn: place.highest_drawn,
        };
        let now = (place.epoch, position);
        if self.saved.as_ref() != Some(&now) {
            self.store.save_position(session, now.0, &now.1).await?;
            self.saved = Some(now);
        }
        Ok(())
    }
}

/// The sequence is another one than the epoch's, or stands lower than it once did: ids are used again. Or a journal has
/// a hole, or a partition was truncated.
fn began_anew(header: &Header, highest_drawn: i64) -> bool {
    !header.sequence_is_same
        || header.sequence_last < highest_drawn
        || header.skipped.is_some()
        || header.truncated
}

/// No id at all, for a read of the header alone.
fn nothing_open() -> OpenSet {
    OpenSet::above(i64::MAX)
}

fn look(header: &Header, ids: &[i64], cut: bool) -> Look {
    Look {
        xmin: header.snapshot_xmin,
        next_xid: header.next_xid,
        sequence_last: header.sequence_last,
        at: Some(Instant::now()),
        cut_at: if cut { ids.last().copied() } else { None },
    }
}
