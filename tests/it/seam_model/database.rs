//! The model's database: transactions, a sequence, snapshots, and the table as replays read it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rowcast::cursor::IdRange;
use rowcast::event::{Row, RowBody};
use rowcast::feed::Table;
use rowcast::pg::PgError;
use rowcast::pg::answer::Page;
use rowcast::room::Room;

/// Ids and rooms of committed rows.
pub type Rows = BTreeMap<i64, Room>;

/// What PostgreSQL keeps of one table.
pub struct Database(Mutex<State>);

struct State {
    rng: StdRng,
    next_xid: u64,
    /// By transaction id, the rows it inserted.
    running: BTreeMap<u64, Vec<(i64, Room)>>,
    sequence_last: i64,
    committed: Rows,
    /// What replays see instead of what is committed, once it was set: an earlier snapshot.
    stale: Option<Rows>,
    /// Replays are slow and fail at times.
    is_moody: bool,
}

/// What a statement of the tail sees.
pub struct Snapshot {
    pub rows: Rows,
    pub xmin: u64,
    pub next_xid: u64,
    pub sequence_last: i64,
}

impl Database {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(State {
            rng: StdRng::seed_from_u64(!seed),
            next_xid: 3,
            running: BTreeMap::new(),
            sequence_last: 0,
            committed: Rows::new(),
            stale: None,
            is_moody: true,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn begin(&self) {
        let mut state = self.lock();
        let xid = state.next_xid;
        state.next_xid += 1;
        state.running.insert(xid, Vec::new());
    }

    /// The transactions under way.
    pub fn running(&self) -> Vec<u64> {
        self.lock().running.keys().copied().collect()
    }

    /// A transaction inserts a row: its id is drawn.
    pub fn insert(&self, xid: u64, room: &Room) {
        let mut state = self.lock();
        state.sequence_last += 1;
        let id = state.sequence_last;
        state
            .running
            .get_mut(&xid)
            .expect("it is under way")
            .push((id, room.clone()));
    }

    pub fn end(&self, xid: u64, commit: bool) {
        let mut state = self.lock();
        let rows = state.running.remove(&xid).expect("it is under way");
        if commit {
            state.committed.extend(rows);
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            rows: state.committed.clone(),
            xmin: state.running.keys().next().copied().unwrap_or(state.next_xid),
            next_xid: state.next_xid,
            sequence_last: state.sequence_last,
        }
    }

    /// The lowest transaction that has written the table.
    pub fn table_xmin(&self) -> u64 {
        let state = self.lock();
        let writer = state.running.iter().find(|(_, rows)| !rows.is_empty());
        writer.map_or(u64::MAX, |(&xid, _)| xid)
    }

    /// From here on replays see what is committed now, until this is called again.
    pub fn hold_snapshot_of_replays(&self) {
        let mut state = self.lock();
        state.stale = Some(state.committed.clone());
    }

    /// Replays answer at once from here on.
    pub fn calm_down(&self) {
        self.lock().is_moody = false;
    }

    /// The rooms' rows within `ranges`, in a snapshot of the moment when the answer is ready.
    async fn select(&self, rooms: &[Room], ranges: &[IdRange]) -> Result<Vec<Row>, PgError> {
        self.take_time().await?;
        let state = self.lock();
        let is_wanted = |id: i64| ranges.iter().any(|range| (range.low..=range.high).contains(&id));
        let rows = state.stale.as_ref().unwrap_or(&state.committed).iter();
        Ok(rows
            .filter(|(id, room)| follows(rooms, room) && is_wanted(**id))
            .map(|(&id, room)| row(id, room))
            .collect())
    }

    /// Is pending for some polls, and fails at times.
    async fn take_time(&self) -> Result<(), PgError> {
        let mut polls = {
            let mut state = self.lock();
            if state.is_moody {
                state.rng.random_range(0..3)
            } else {
                0
            }
        };
        // Nobody is woken: the model polls whom it likes.
        poll_fn(|_| {
            let is_over = polls == 0;
            polls -= u32::from(!is_over);
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let mut state = self.lock();
        let fails = state.is_moody && state.rng.random_bool(0.05);
        if fails {
            Err(PgError::TimedOut {
                waited: Duration::ZERO,
            })
        } else {
            Ok(())
        }
    }
}

/// Whether a subscriber of `rooms` gets the rows of `room`.
pub fn follows(rooms: &[Room], room: &Room) -> bool {
    rooms == [Room::all()] || rooms.contains(room)
}

/// A row with its contents.
pub fn row(id: i64, room: &Room) -> Row {
    Row::inserted(id, Some(room.clone()), RowBody::Json("{}".into()))
}

impl Table for Database {
    fn replay<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Option<Page>, PgError>> {
        async move {
            let mut rows = self.select(rooms, ranges).await?;
            // As the database: a page that is full may be the last one all the same.
            let cut = rows.len() >= max_rows;
            rows.truncate(max_rows);
            Ok(Some(Page {
                rows,
                kept_above: 0,
                cut,
            }))
        }
        .boxed()
    }

    fn nth_newest<'a>(
        &'a self,
        rooms: &'a [Room],
        ranges: &'a [IdRange],
        count: usize,
    ) -> BoxFuture<'a, Result<Option<i64>, PgError>> {
        async move {
            let rows = self.select(rooms, ranges).await?;
            Ok(rows.get(rows.len().saturating_sub(count)).map(|row| row.id))
        }
        .boxed()
    }

    fn ceiling(&self) -> BoxFuture<'_, Result<i64, PgError>> {
        async move {
            self.take_time().await?;
            Ok(self.lock().sequence_last)
        }
        .boxed()
    }
}
