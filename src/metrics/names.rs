//! Every metric: its name and what it says. Base units; counters end in `_total`.

/// A metric's name and its line of help.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
}

const fn metric(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help }
}

pub const SUBSCRIBERS: Metric = metric("rowcast_subscribers", "Streams and polls that are open now.");
pub const CONNECTS: Metric = metric(
    "rowcast_connects_total",
    "Streams and polls that began: requests for events that were admitted.",
);
pub const ENDS: Metric = metric(
    "rowcast_ends_total",
    "Streams and polls that ended, by reason: client_left, shutting_down, token_expired, forbidden, unknown_source (it was \
     detached), answered (of polls), failed (of polls: reset, or the database is away).",
);
pub const DELIVERED: Metric = metric(
    "rowcast_events_delivered_total",
    "Events handed to clients' connections, one for each client, replayed ones included.",
);
pub const REPLAYED: Metric = metric(
    "rowcast_events_replayed_total",
    "Of the events delivered those that were read from the table for clients that had missed them.",
);
pub const SENT_BYTES: Metric = metric(
    "rowcast_sent_bytes_total",
    "Bytes of streams and of polls' answers, handed to clients' connections; before compression and TLS.",
);
pub const RESETS: Metric = metric(
    "rowcast_resets_total",
    "Clients that were told that their cursor can't be resumed, by code.",
);
pub const EVENTS_READ: Metric = metric(
    "rowcast_events_read_total",
    "Rows (of a journal: entries) that the tail read, whether anybody subscribes to their rooms or not.",
);
pub const READ_DURATION: Metric = metric(
    "rowcast_read_duration_seconds",
    "One read of the tail, from its statement until what it brought stands in the rings.",
);
pub const COMMIT_TO_SOCKET: Metric = metric(
    "rowcast_commit_to_socket_seconds",
    "The relay's clock when an event is first handed to a client's connection, minus the row's time: of the column that attach \
     --time names (usually when its transaction began), of a journal when its entry was written. Once for each room that a \
     read brings events to; not of replays, nor of rows a day or more old; below 0 counts as 0.",
);
pub const BELLS: Metric = metric(
    "rowcast_bells_total",
    "Bells heard: transactions that notified since the tail was armed.",
);
pub const TAIL_MODE: Metric = metric(
    "rowcast_tail_mode",
    "1 for the tail's mode. armed: it waits for the bell; polling: it reads by itself; arming: in between; poll_only: it can't \
     hear bells, or is told not to.",
);
pub const TAIL_LAG: Metric = metric(
    "rowcast_tail_lag_seconds",
    "All that was committed longer ago than this has been read: the time since the last read began that took everything there \
     was. Armed and quiet it goes up to 1 s; it grows while the database is away or the tail can't keep up.",
);
pub const FOLLOWING: Metric = metric(
    "rowcast_source_following",
    "1 while the source's rows are read, 0 while they can't be; /health/ready says why.",
);
pub const OPEN_GAPS: Metric = metric(
    "rowcast_open_gaps",
    "Ranges of ids that were drawn, but neither seen nor proven to be rolled back: transactions under way.",
);
pub const OLDEST_GAP_AGE: Metric = metric(
    "rowcast_oldest_gap_age_seconds",
    "How long the oldest of the open gaps has been open; 0 without any.",
);
pub const RING_BYTES: Metric = metric("rowcast_ring_bytes", "Bytes of events kept in memory.");
pub const ROOMS: Metric = metric(
    "rowcast_rooms",
    "Rooms that have subscribers, or had some a moment ago.",
);
pub const REPLAY_QUERIES: Metric = metric(
    "rowcast_replay_queries_total",
    "Queries for what clients missed: pages of replays, and where the newest rows begin.",
);
pub const REPLAYS_SERVED: Metric = metric(
    "rowcast_replays_served_total",
    "Clients' questions that those queries answered. Divided by the queries: how many subscribers each one served.",
);
pub const LIMIT_HITS: Metric = metric(
    "rowcast_limit_hits_total",
    "Requests and connections that a limit refused, or cut off.",
);
pub const CONNECTIONS: Metric = metric("rowcast_connections", "Connections of clients that are open now.");
pub const CONNECTIONS_MAX: Metric = metric(
    "rowcast_connections_max",
    "Connections of clients that may be open at a time.",
);
pub const POOL_CONNECTIONS: Metric = metric(
    "rowcast_pool_connections",
    "Connections to PostgreSQL that a pool has open.",
);
pub const POOL_CONNECTIONS_MAX: Metric = metric(
    "rowcast_pool_connections_max",
    "Connections to PostgreSQL that a pool may open.",
);
pub const POOL_AVAILABLE: Metric = metric(
    "rowcast_pool_available_connections",
    "Open connections of a pool that nobody uses now.",
);
pub const POOL_WAITING: Metric = metric(
    "rowcast_pool_waiting",
    "Those who wait for a connection of a pool now.",
);
pub const LISTENING: Metric = metric(
    "rowcast_listening",
    "1 while bells can be heard, proven by a notification that came through.",
);
pub const ROUND_TRIP_AGE: Metric = metric(
    "rowcast_notify_round_trip_age_seconds",
    "Since a notification sent to itself last came through; absent before the first, and while bells can't be heard.",
);
pub const QUEUE_USAGE: Metric = metric(
    "rowcast_notification_queue_usage_ratio",
    "pg_notification_queue_usage(): how full PostgreSQL's queue of notifications is, of all databases; at 1 commits fail. \
     Asked every 10 s; absent while the database is away.",
);
pub const READY: Metric = metric(
    "rowcast_ready",
    "1 while /health/ready answers 200, 0 while it does not.",
);
pub const BUILD_INFO: Metric = metric("rowcast_build_info", "1; the version stands in the label.");
pub const START_TIME: Metric = metric(
    "process_start_time_seconds",
    "When the process started, since 1970.",
);
pub const RESIDENT_MEMORY: Metric = metric(
    "process_resident_memory_bytes",
    "Memory of the process that is in RAM.",
);
pub const OPEN_FDS: Metric = metric("process_open_fds", "Descriptors that the process has open.");

/// The histograms with the upper bounds of their buckets, in seconds. A read of one range takes 0.14 ms, one that walks
/// 20,000 gaps 24 ms; an event under way for more than a second waited for something.
pub const HISTOGRAMS: [(Metric, &[f64]); 2] = [
    (
        READ_DURATION,
        &[
            0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
        ],
    ),
    (
        COMMIT_TO_SOCKET,
        &[
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        ],
    ),
];
