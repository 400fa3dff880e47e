//! What the tests of the hub's parts begin with.

use std::sync::Arc;
use std::time::Duration;

use crate::cursor::OpenSet;
use crate::event::{Row, RowBody};
use crate::room::Room;

use super::{Hub, HubLimits, RingLimits, Subscriber};

/// A hub in epoch 7 whose rings hold so many events, and that forgets a room as soon as nobody is in it.
pub(super) fn hub(events: usize) -> Arc<Hub> {
    let hub = Hub::new(HubLimits {
        ring: RingLimits {
            events,
            bytes: usize::MAX,
        },
        total_bytes: usize::MAX,
        linger: Duration::ZERO,
    });
    hub.restart(7, OpenSet::above(0));
    hub
}

/// A read with one row of `room` for each id, written at the time of that number. Where nothing else is published, row `id` is
/// delivery `id` + 1.
pub(super) fn publish(hub: &Hub, room: &str, ids: std::ops::RangeInclusive<i64>) {
    hub.publish(|publication| {
        for id in ids.clone() {
            let body = RowBody::Json(format!("{{\"n\":{id}}}"));
            let mut row = Row::inserted(id, Some(Room::canonical(room)), body);
            row.time = Some(id);
            publication.deliver(&row, &OpenSet::above(id));
        }
        OpenSet::above(*ids.end())
    });
}

/// One more subscriber of a room.
pub(super) fn enter(hub: &Arc<Hub>, room: &str) -> Subscriber {
    Subscriber::new(hub.clone(), &[Room::canonical(room)])
}
