//! How the relay stands, as one JSON text: what the page shows, and what a program can read.
//!
//! It is made only while somebody asks, and one text serves all who ask within a second: many who look cost what one does, and who
//! comes later has rates at once.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

use super::Surroundings;
use super::rates::Rates;
use crate::http::Limits;
use crate::metrics::Transport;
use crate::relay::{LiveSource, Readiness, Relay};
use crate::room::Room;
use crate::telemetry::RecentLine;

/// Rooms that are shown.
const ROOMS: usize = 100;

/// A text that is no older is not made anew: a little less than the pause between two events of a stream.
const FRESH: Duration = Duration::from_millis(900);

/// What is looked at, and how it was at the last looks.
pub(super) struct Overview {
    relay: Arc<Relay>,
    limits: Arc<Limits>,
    surroundings: Surroundings,
    started: Instant,
    looks: Mutex<Looks>,
}

/// The last looks.
struct Looks {
    /// The newest text, and of when.
    newest: Option<(Instant, Arc<str>)>,
    /// Of each source.
    rows: Rates<String>,
    deliveries: Rates<String>,
    /// Of each room, by its source.
    events: Rates<(String, Room)>,
}

#[derive(Serialize)]
struct Text {
    version: &'static str,
    uptime_seconds: u64,
    /// The words of `/health/ready`.
    status: &'static str,
    reasons: Vec<String>,
    notes: Vec<String>,
    connections: Connections,
    database: DatabaseText,
    sources: Vec<SourceText>,
    rooms: Vec<RoomText>,
    /// Rooms in memory, shown or not.
    rooms_held: usize,
    errors: Vec<ErrorText>,
}

#[derive(Serialize)]
struct Connections {
    open: usize,
    /// `null`: as many as come.
    most: Option<usize>,
    /// Streams and polls that are open, by transport.
    subscribers: Vec<Subscribers>,
}

#[derive(Serialize)]
struct Subscribers {
    transport: &'static str,
    open: u64,
}

#[derive(Serialize)]
struct DatabaseText {
    pools: Vec<PoolText>,
    /// `null` while bells can't be heard.
    notify_round_trip_seconds_ago: Option<f64>,
    /// From 0 to 1; `null` while it is not known.
    notification_queue_usage: Option<f64>,
}

#[derive(Serialize)]
struct PoolText {
    name: &'static str,
    open: usize,
    most: usize,
    in_use: usize,
    waiting: usize,
}

/// Of a source that can't be followed at all only the name and the trouble is known.
#[derive(Default, Serialize)]
struct SourceText {
    name: String,
    relation: Option<String>,
    /// Why its rows are not read, in words.
    trouble: Option<String>,
    mode: Option<&'static str>,
    lag_seconds: Option<f64>,
    rows_per_second: Option<f64>,
    deliveries_per_second: Option<f64>,
    gaps: Option<usize>,
    /// `null` also where there is no gap.
    oldest_gap_seconds: Option<f64>,
    rooms: usize,
    subscriptions: usize,
    ring_bytes: usize,
}

#[derive(Clone, Serialize)]
struct RoomText {
    source: String,
    /// `null`: all rooms of the source at once.
    room: Option<String>,
    subscribers: usize,
    events_per_second: Option<f64>,
    ring_bytes: usize,
}

#[derive(Serialize)]
struct ErrorText {
    number: u64,
    level: &'static str,
    target: &'static str,
    source: Option<String>,
    message: String,
    /// Its other fields.
    details: String,
    count: u64,
    /// Milliseconds since 1970.
    first: u64,
    last: u64,
}

impl Overview {
    /// Nobody has looked yet.
    pub(super) fn new(relay: Arc<Relay>, limits: Arc<Limits>, surroundings: Surroundings) -> Self {
        let now = Instant::now();
        Self {
            relay,
            limits,
            surroundings,
            started: now,
            looks: Mutex::new(Looks {
                newest: None,
                rows: Rates::new(now),
                deliveries: Rates::new(now),
                events: Rates::new(now),
            }),
        }
    }

    /// How the relay stands, on one line.
    pub(super) fn json(&self) -> Arc<str> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((made, text)) = &looks.newest
            && now.duration_since(*made) < FRESH
        {
            return text.clone();
        }
        let text = serde_json::to_string(&self.look(&mut looks, now));
        let text: Arc<str> = text.expect("texts and numbers can be written").into();
        looks.newest = Some((now, text.clone()));
        text
    }

    fn look(&self, looks: &mut Looks, now: Instant) -> Text {
        looks.rows.begin(now);
        looks.deliveries.begin(now);
        looks.events.begin(now);
        let live = self.relay.sources();
        let mut rooms = Vec::new();
        let mut sources: Vec<SourceText> = live
            .iter()
            .map(|source| looks.source(source, &mut rooms))
            .collect();
        let broken = self.relay.never_followed().into_iter();
        sources.extend(broken.map(|(name, reason)| SourceText {
            name,
            trouble: Some(reason),
            ..SourceText::default()
        }));
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let Readiness {
            reasons,
            notes,
            round_trip,
        } = self.relay.readiness();
        Text {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            status: if reasons.is_empty() { "ready" } else { "not_ready" },
            reasons,
            notes,
            connections: self.connections(&live),
            database: self.database(round_trip),
            sources,
            rooms_held: rooms.len(),
            rooms: busiest(rooms),
            errors: self
                .surroundings
                .recent
                .list()
                .into_iter()
                .map(ErrorText::of)
                .collect(),
        }
    }

    fn connections(&self, live: &[Arc<LiveSource>]) -> Connections {
        let most = self.limits.most_connections();
        let subscribers = Transport::ALL.map(|transport| Subscribers {
            transport: transport.label(),
            open: live.iter().map(|source| source.metrics().open(transport)).sum(),
        });
        Connections {
            open: self.limits.open_connections(),
            most: (most < usize::MAX).then_some(most),
            subscribers: subscribers.into(),
        }
    }

    fn database(&self, round_trip: Option<Duration>) -> DatabaseText {
        let pools = self.surroundings.database.pools().map(|(name, pool)| PoolText {
            name,
            open: pool.open,
            most: pool.most,
            in_use: pool.open.saturating_sub(pool.available),
            waiting: pool.waiting,
        });
        DatabaseText {
            pools: pools.into(),
            notify_round_trip_seconds_ago: round_trip.map(|age| age.as_secs_f64()),
            notification_queue_usage: self.surroundings.queue.known(),
        }
    }
}

impl Looks {
    /// A source, and its rooms into `rooms`.
    fn source(&mut self, source: &LiveSource, rooms: &mut Vec<RoomText>) -> SourceText {
        let definition = source.definition();
        let name = &definition.name;
        let metrics = source.metrics();
        let standing = metrics.standing();
        let census = source.hub().census();
        let text = SourceText {
            name: name.clone(),
            relation: Some(definition.relation.to_string()),
            trouble: source.trouble(),
            mode: Some(standing.mode),
            lag_seconds: Some(standing.lag.as_secs_f64()),
            rows_per_second: self.rows.of(&**name, metrics.rows_read()),
            deliveries_per_second: self.deliveries.of(&**name, metrics.delivered()),
            gaps: Some(standing.gaps),
            oldest_gap_seconds: standing.oldest_gap.map(|age| age.as_secs_f64()),
            rooms: census.len(),
            subscriptions: census.iter().map(|room| room.subscribers).sum(),
            ring_bytes: source.hub().ring_bytes(),
        };
        rooms.extend(census.into_iter().map(|count| {
            let events_per_second = self.events.of(&(name.clone(), count.room.clone()), count.events);
            RoomText {
                source: name.clone(),
                room: (!count.room.is_all()).then(|| count.room.as_str().to_owned()),
                subscribers: count.subscribers,
                events_per_second,
                ring_bytes: count.ring_bytes,
            }
        }));
        text
    }
}

/// The busiest rooms first, by subscribers, then by rate; those that are as busy by name, so that they keep their places.
fn busiest(mut rooms: Vec<RoomText>) -> Vec<RoomText> {
    let order = |a: &RoomText, b: &RoomText| -> Ordering {
        let rate = |room: &RoomText| room.events_per_second.unwrap_or_default();
        b.subscribers
            .cmp(&a.subscribers)
            .then(rate(b).total_cmp(&rate(a)))
            .then_with(|| (&a.source, &a.room).cmp(&(&b.source, &b.room)))
    };
    if rooms.len() > ROOMS {
        rooms.select_nth_unstable_by(ROOMS, order);
        rooms.truncate(ROOMS);
    }
    rooms.sort_unstable_by(order);
    rooms
}

impl ErrorText {
    fn of(line: RecentLine) -> Self {
        let millis = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            number: line.number,
            level: line.level,
            target: line.target,
            source: line.source,
            message: line.message,
            details: line.details,
            count: line.count,
            first: millis(line.first),
            last: millis(line.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: usize, subscribers: usize, rate: Option<f64>) -> RoomText {
        RoomText {
            source: "messages".to_owned(),
            room: Some(name.to_string()),
            subscribers,
            events_per_second: rate,
            ring_bytes: 0,
        }
    }

    #[test]
    fn the_busiest_rooms_are_shown_by_subscribers_then_rate_then_name() {
        let rooms = [
            room(1, 0, Some(9.0)),
            room(2, 2, None),
            room(3, 2, Some(1.0)),
            room(5, 1, Some(1.0)),
            room(4, 1, Some(1.0)),
        ];
        let names: Vec<_> = busiest(rooms.into())
            .into_iter()
            .filter_map(|room| room.room)
            .collect();
        assert_eq!(names, ["3", "2", "4", "5", "1"]);
        let crowd: Vec<_> = (0..10 * ROOMS).map(|at| room(at, at, None)).collect();
        let shown = busiest(crowd);
        assert_eq!(
            (shown.len(), shown[0].subscribers, shown[ROOMS - 1].subscribers),
            (ROOMS, 999, 900)
        );
    }
}
