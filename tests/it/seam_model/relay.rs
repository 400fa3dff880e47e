//! One relay of the model: the project's own `Seen`, `Hub` and `Replays`, with a tail that reads when it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rowcast::cursor::OpenSet;
use rowcast::event::{Row, RowBody};
use rowcast::feed::{Feed, Replays, Start, Subscription};
use rowcast::hub::{Hub, HubLimits, RingLimits};
use rowcast::metrics::ReplayCounters;
use rowcast::room::Room;
use rowcast::tail::seen::{Look, Seen};
use tokio::time::Instant;

use super::database::{Database, row};
use super::{EPOCH, Flaw};

/// Sizes that differ from seed to seed.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub ring_events: usize,
    pub total_bytes: usize,
    pub replays_at_once: usize,
}

pub struct Relay {
    database: Arc<Database>,
    hub: Arc<Hub>,
    replays: Arc<Replays>,
    flaw: Flaw,
    seen: Seen,
    has_begun: bool,
    /// A statement's result that was not taken yet.
    fetched: Option<Fetched>,
    /// The order in which ids were delivered.
    pub order: HashMap<i64, usize>,
}

struct Fetched {
    look: Look,
    rows: Vec<Row>,
}

impl Relay {
    /// A relay whose tail will begin at `from`.
    pub fn new(database: &Arc<Database>, from: &OpenSet, sizes: Sizes, flaw: Flaw) -> Self {
        let ring = RingLimits {
            events: sizes.ring_events,
            bytes: 1 << 20,
        };
        let limits = HubLimits {
            ring,
            total_bytes: sizes.total_bytes,
            linger: Duration::ZERO,
        };
        Self {
            database: database.clone(),
            hub: Hub::new(limits),
            replays: Replays::new(
                database.clone(),
                sizes.replays_at_once,
                usize::MAX,
                ReplayCounters::default(),
            ),
            flaw,
            seen: Seen::from_open(from),
            has_begun: false,
            fetched: None,
            order: HashMap::new(),
        }
    }

    /// The tail's open set; `None` before it has begun.
    pub fn open(&self) -> Option<OpenSet> {
        self.has_begun.then(|| self.seen.open())
    }

    pub fn subscribe(&self, rooms: &[Room], start: Start, last: usize) -> Feed {
        let subscription = Subscription {
            rooms: rooms.to_vec(),
            start,
            last,
            page_rows: 2,
        };
        Feed::new(&self.hub, &self.replays, subscription)
    }

    /// The tail's statement, in a snapshot of now. Contents are asked for where anyone listens.
    pub fn fetch(&mut self, limit: usize) {
        if self.has_begun && self.fetched.is_none() {
            let mut fetched = self.read(limit);
            if let Some(wanted) = self.hub.wanted_rooms() {
                for row in &mut fetched.rows {
                    if !row.room.as_ref().is_some_and(|room| wanted.contains(room)) {
                        row.body = RowBody::NotRead;
                    }
                }
            }
            self.fetched = Some(fetched);
        }
    }

    /// Takes what was fetched. A relay that has not begun catches up and begins instead.
    pub fn publish(&mut self) {
        if !self.has_begun {
            return self.catch_up();
        }
        let Some(Fetched { look, rows }) = self.fetched.take() else {
            return;
        };
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut opens = Vec::new();
        self.seen.absorb(&look, &ids, |_, open| opens.push(open.clone()));
        let end = self.seen.open();
        for id in ids {
            let number = self.order.len();
            self.order.insert(id, number);
        }
        self.hub.publish(|publication| {
            for (row, open) in rows.iter().zip(&opens) {
                publication.deliver(
                    row,
                    if self.flaw == Flaw::EndOfReadOnEveryEvent {
                        &end
                    } else {
                        open
                    },
                );
            }
            end.clone()
        });
    }

    /// Looks at the table's locks, between two reads.
    pub fn look_at_locks(&mut self) {
        if self.fetched.is_none() {
            self.seen.note_table_xmin(self.database.table_xmin());
        }
    }

    pub fn sweep(&self) {
        self.hub.sweep(Instant::now());
    }

    fn catch_up(&mut self) {
        loop {
            let Fetched { look, rows } = self.read(3);
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            self.seen.absorb(&look, &ids, |_, _| {});
            if ids.len() < 3 {
                break;
            }
        }
        self.has_begun = true;
        self.hub.restart(EPOCH, self.seen.open());
    }

    fn read(&self, limit: usize) -> Fetched {
        let snapshot = self.database.snapshot();
        let open = self.seen.open();
        let visible = snapshot.rows.iter().filter(|(id, _)| open.contains(**id));
        let rows: Vec<Row> = visible.take(limit).map(|(&id, room)| row(id, room)).collect();
        let is_cut = rows.len() == limit && self.flaw != Flaw::CutIgnored;
        let look = Look {
            at: None,
            xmin: snapshot.xmin,
            next_xid: snapshot.next_xid,
            sequence_last: snapshot.sequence_last,
            cut_at: rows.last().filter(|_| is_cut).map(|row| row.id),
        };
        Fetched { look, rows }
    }
}
