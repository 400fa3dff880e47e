//! Publishing one read of the tail: encode what someone listens to, append, raise the number, wake.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use bytes::BytesMut;

use crate::cursor::{CursorText, OpenSet};
use crate::event::{self, Row, RowBody};
use crate::room::Room;

use super::{Entry, Hub, Phase, Position, Ring, RoomCell, Segment, State, Times};

/// One read on its way into the rings. The hub is locked meanwhile, so that nobody joins between two of its events.
pub struct Publication<'a> {
    state: MutexGuard<'a, State>,
    epoch: i64,
    number: u64,
    drafts: HashMap<Room, Draft>,
    /// For the followers of all rooms; `None` where there are none.
    all: Option<Draft>,
}

/// What one read brings to one room, or to the followers of all.
struct Draft {
    cell: Arc<RoomCell>,
    bytes: BytesMut,
    entries: Vec<Entry>,
    /// Of rows that have one: see [`Times`].
    times: Vec<i64>,
    /// A row came without its contents, so the ring has to begin anew behind this read.
    incomplete: bool,
}

impl Hub {
    /// Takes the rows of one read: `fill` calls [`Publication::deliver`] for each in delivery order and returns the
    /// tail's open set at the end of the read. Does nothing before [`Hub::restart`] or after [`Hub::close`].
    pub fn publish(&self, fill: impl FnOnce(&mut Publication<'_>) -> OpenSet) {
        let state = self.lock();
        let Phase::Following { epoch, present } = &state.phase else {
            return;
        };
        let (epoch, number) = (*epoch, present.number);
        let all = state.rooms.get(Room::ALL).cloned().map(Draft::new);
        let mut publication = Publication {
            state,
            epoch,
            number,
            drafts: HashMap::new(),
            all,
        };
        let open = fill(&mut publication);
        let Publication {
            mut state,
            number,
            drafts,
            all,
            ..
        } = publication;
        let present = Position {
            number,
            open: Arc::new(open),
        };
        let dirty = drafts
            .into_values()
            .chain(all)
            .filter(Draft::is_touched)
            .map(|draft| self.append(&mut state, draft, &present))
            .collect::<Vec<_>>();
        state.phase = Phase::Following { epoch, present };
        self.bound_total(&mut state);
        self.published.store(number, Ordering::Release);
        drop(state);
        dirty
            .iter()
            .for_each(|(cell, number)| self.announce(cell, *number));
    }

    /// Returns the room, and the delivery number of what is new there.
    fn append(&self, state: &mut State, draft: Draft, present: &Position) -> (Arc<RoomCell>, u64) {
        let Draft {
            cell,
            bytes,
            entries,
            mut times,
            incomplete,
        } = draft;
        if cell.population() == 0 {
            // Whoever comes back for them was away: that says nothing of the relay.
            times.clear();
        }
        let mut ring = cell.ring_mut();
        let newest = if incomplete {
            state.bytes -= ring.bytes();
            *ring = Ring::new(present.clone());
            present.number
        } else {
            cell.count(entries.len());
            let segment = Segment {
                entries,
                bytes: bytes.freeze(),
                times: Times::new(times),
            };
            let newest = segment.last_number();
            state.oldest.push_back((cell.clone(), newest));
            state.bytes += segment.bytes.len();
            state.bytes -= ring.push(segment, self.limits.ring);
            newest
        };
        drop(ring);
        (cell, newest)
    }

    /// Drops the oldest events of all rooms until the bound over all of them holds.
    fn bound_total(&self, state: &mut State) {
        while state.bytes > self.limits.total_bytes || state.oldest.len() > MAX_SEGMENTS {
            let Some((cell, number)) = state.oldest.pop_front() else {
                return;
            };
            let mut ring = cell.ring_mut();
            if ring.holds(number) {
                state.bytes -= ring.drop_oldest();
            }
        }
    }
}

/// Segments over all rooms: each costs some hundred bytes beside its frames.
const MAX_SEGMENTS: usize = 1 << 20;

impl Publication<'_> {
    /// The next row in delivery order; `open` is the tail's open set after it.
    pub fn deliver(&mut self, row: &Row, open: &OpenSet) {
        self.number += 1;
        let Some(room) = row.audience() else { return };
        let one = match self.drafts.entry(room.clone()) {
            MapEntry::Occupied(occupied) => Some(occupied.into_mut()),
            MapEntry::Vacant(vacant) => {
                let cell = self.state.rooms.get(room).cloned();
                cell.map(|cell| vacant.insert(Draft::new(cell)))
            }
        };
        let one = one.and_then(|draft| draft.admitting(row));
        let all = self.all.as_mut().and_then(|draft| draft.admitting(row));
        match (one, all) {
            (Some(one), Some(all)) => {
                one.add(self.epoch, self.number, row, room, open);
                all.add_newest_of(one);
            }
            (Some(draft), None) | (None, Some(draft)) => {
                draft.add(self.epoch, self.number, row, room, open);
            }
            (None, None) => {}
        }
    }
}

impl Draft {
    fn new(cell: Arc<RoomCell>) -> Self {
        Self {
            cell,
            bytes: BytesMut::new(),
            entries: Vec::new(),
            times: Vec::new(),
            incomplete: false,
        }
    }

    /// Whether a row came for it.
    fn is_touched(&self) -> bool {
        self.incomplete || !self.entries.is_empty()
    }

    /// Itself, if the row's event can be added.
    fn admitting(&mut self, row: &Row) -> Option<&mut Self> {
        self.incomplete |= row.body == RowBody::NotRead;
        (!self.incomplete).then_some(self)
    }

    fn add(&mut self, epoch: i64, number: u64, row: &Row, room: &Room, open: &OpenSet) {
        let json = event::write_frame(&mut self.bytes, CursorText { epoch, open }, |out| {
            event::write_json(out, Some(row.id), room, row);
        });
        let frame_end = self.bytes.len();
        self.entries.push(Entry {
            number,
            id: row.id,
            json,
            frame_end,
            open_after: Arc::new(open.clone()),
        });
        self.times.extend(row.time);
    }

    /// Adds the newest event of `other`, whose frame is the same here. Copied, not shared: the frames of a segment lie
    /// side by side, and a slice of the other's bytes would pin all of them when that one's ring has dropped them.
    fn add_newest_of(&mut self, other: &Self) {
        let (newest, from) = match &other.entries[..] {
            [.., before, newest] => (newest, before.frame_end),
            [newest] => (newest, 0),
            [] => return,
        };
        self.entries.push(newest.moved(from, self.bytes.len()));
        self.bytes.extend_from_slice(&other.bytes[from..newest.frame_end]);
    }
}
