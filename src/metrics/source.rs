//! What is counted of one source. Every counter is fetched once, when the source is followed, so that counting is an
//! addition: nothing is looked up, and nothing is allocated, for a delivery.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Histogram};
use tokio::time::Instant;

use super::{Gauges, Metrics, Tally, names};

/// How events reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Sse,
    Ndjson,
    LongPoll,
    Poll,
}

impl Transport {
    /// Those that stay open first.
    pub const ALL: [Self; 4] = [Self::Sse, Self::Ndjson, Self::LongPoll, Self::Poll];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::LongPoll => "long_poll",
            Self::Poll => "poll",
        }
    }

    pub(super) fn ends(self) -> &'static [End] {
        match self {
            Self::Sse | Self::Ndjson => &End::ALL[..5],
            Self::LongPoll | Self::Poll => &End::ALL,
        }
    }
}

/// Why a stream or a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nobody ended it here: the connection is gone.
    ClientLeft,
    ShuttingDown,
    TokenExpired,
    Forbidden,
    /// It was detached.
    UnknownSource,
    /// A poll has its answer.
    Answered,
    /// A poll has a problem for an answer.
    Failed,
}

impl End {
    /// Those of streams first.
    const ALL: [Self; 7] = [
        Self::ClientLeft,
        Self::ShuttingDown,
        Self::TokenExpired,
        Self::Forbidden,
        Self::UnknownSource,
        Self::Answered,
        Self::Failed,
    ];

    /// The label; of those that a client is told, also their `code`.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ShuttingDown => "shutting_down",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::UnknownSource => "unknown_source",
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}

/// Why a cursor could not be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    CursorAhead,
    Epoch,
    Truncated,
    Expired,
}

impl Reset {
    /// In the order of their declaration.
    pub(super) const ALL: [Self; 4] = [Self::CursorAhead, Self::Epoch, Self::Truncated, Self::Expired];

    /// The label, and the `code` that a client is told.
    pub fn label(self) -> &'static str {
        match self {
            Self::CursorAhead => "cursor_ahead",
            Self::Epoch => "epoch",
            Self::Truncated => "truncated",
            Self::Expired => "expired",
        }
    }
}

/// The tail's mode as an operator needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailMode {
    /// It waits for the bell.
    Armed,
    /// It reads by itself.
    Polling,
    /// In between.
    Arming,
    /// It can't hear bells, or is told not to.
    PollOnly,
}

impl TailMode {
    const LABELS: [&str; 4] = ["armed", "polling", "arming", "poll_only"];

    fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// What is counted of one source.
pub struct SourceMetrics {
    name: String,
    metrics: Metrics,
    transports: [TransportMetrics; Transport::ALL.len()],
    resets: [Counter; Reset::ALL.len()],
    events_read: Tally,
    bells: Counter,
    read_duration: Histogram,
    /// Once an event has a time.
    commit_to_socket: OnceLock<Histogram>,
    tail: Mutex<TailLook>,
}

struct TransportMetrics {
    open: AtomicU64,
    connects: Counter,
    /// By the order of [`End::ALL`].
    ends: Vec<Counter>,
    delivered: Tally,
    replayed: Counter,
    bytes: Counter,
}

/// How a tail stood after its last read.
#[derive(Clone, Copy)]
struct TailLook {
    mode: TailMode,
    gaps: usize,
    oldest_gap: Option<Instant>,
    /// When the last read began that took all there was.
    caught_up: Instant,
}

/// The same for those who look: as it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The label of its [`TailMode`].
    pub mode: &'static str,
    /// All that was committed longer ago than this has been read.
    pub lag: Duration,
    pub gaps: usize,
    /// The age of the oldest gap.
    pub oldest_gap: Option<Duration>,
}

/// What replays count.
#[derive(Clone)]
pub struct ReplayCounters {
    pub queries: Counter,
    pub served: Counter,
}

impl Default for ReplayCounters {
    /// Counts nothing.
    fn default() -> Self {
        Self {
            queries: Counter::noop(),
            served: Counter::noop(),
        }
    }
}

impl SourceMetrics {
    /// The counters of the source `name`: the same ones, should it have been followed before.
    pub fn new(metrics: &Metrics, name: &str) -> Arc<Self> {
        let labels = [("source", name)];
        Arc::new(Self {
            transports: Transport::ALL.map(|transport| TransportMetrics::new(metrics, name, transport)),
            resets: Reset::ALL
                .map(|reset| metrics.counter(names::RESETS, &[("source", name), ("code", reset.label())])),
            events_read: metrics.tally(names::EVENTS_READ, &labels),
            bells: metrics.counter(names::BELLS, &labels),
            read_duration: metrics.histogram(names::READ_DURATION, &labels),
            commit_to_socket: OnceLock::new(),
            tail: Mutex::new(TailLook {
                mode: TailMode::Polling,
                gaps: 0,
                oldest_gap: None,
                caught_up: Instant::now(),
            }),
            name: name.to_owned(),
            metrics: metrics.clone(),
        })
    }

    /// The counters of its replays.
    pub fn replays(&self) -> ReplayCounters {
        let labels = [("source", &*self.name)];
        ReplayCounters {
            queries: self.metrics.counter(names::REPLAY_QUERIES, &labels),
            served: self.metrics.counter(names::REPLAYS_SERVED, &labels),
        }
    }

    /// Counts a stream or a poll that begins. It ends when what is returned is dropped.
    pub fn subscriber(self: &Arc<Self>, transport: Transport) -> Subscriber {
        let counted = &self.transports[transport as usize];
        counted.open.fetch_add(1, Ordering::Relaxed);
        counted.connects.increment(1);
        Subscriber {
            source: self.clone(),
            transport,
            end: End::ClientLeft,
        }
    }

    /// `count` bells were heard.
    pub fn bells(&self, count: u64) {
        self.bells.increment(count);
    }

    /// A read of the tail ended that took `took` and brought `rows`; `complete`: no limit cut it.
    pub fn read(&self, rows: usize, took: Duration, complete: bool) {
        self.events_read.add(rows as u64);
        self.read_duration.record(took);
        if complete && let Some(began) = Instant::now().checked_sub(took) {
            self.look().caught_up = began;
        }
    }

    /// How the tail stands: its mode, how many gaps there are and since when the oldest.
    pub fn tail(&self, mode: TailMode, gaps: usize, oldest_gap: Option<Instant>) {
        let mut look = self.look();
        (look.mode, look.gaps, look.oldest_gap) = (mode, gaps, oldest_gap);
    }

    /// How the tail stands now.
    pub fn standing(&self) -> Standing {
        let look = *self.look();
        Standing {
            mode: look.mode.label(),
            lag: look.caught_up.elapsed(),
            gaps: look.gaps,
            oldest_gap: look.oldest_gap.map(|since| since.elapsed()),
        }
    }

    /// Streams and polls that are open now.
    pub fn open(&self, transport: Transport) -> u64 {
        self.transports[transport as usize].open.load(Ordering::Relaxed)
    }

    /// Rows that the tail has read.
    pub fn rows_read(&self) -> u64 {
        self.events_read.total()
    }

    /// Events that were handed to clients' connections, by any transport.
    pub fn delivered(&self) -> u64 {
        let transports = self.transports.iter();
        transports.map(|transport| transport.delivered.total()).sum()
    }

    /// Adds the gauges.
    pub fn collect(&self, gauges: &mut Gauges) {
        let source = &*self.name;
        for transport in Transport::ALL {
            let labels = [("source", source), ("transport", transport.label())];
            gauges.set(names::SUBSCRIBERS, &labels, self.open(transport) as f64);
        }
        let labels = [("source", source)];
        let Standing {
            mode,
            lag,
            gaps,
            oldest_gap,
        } = self.standing();
        gauges.set_one_of(names::TAIL_MODE, source, "mode", &TailMode::LABELS, mode);
        gauges.set(names::TAIL_LAG, &labels, lag.as_secs_f64());
        gauges.set(names::OPEN_GAPS, &labels, gaps as f64);
        let oldest = oldest_gap.unwrap_or_default();
        gauges.set(names::OLDEST_GAP_AGE, &labels, oldest.as_secs_f64());
    }

    fn look(&self) -> MutexGuard<'_, TailLook> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_to_socket(&self) -> &Histogram {
        self.commit_to_socket.get_or_init(|| {
            self.metrics
                .histogram(names::COMMIT_TO_SOCKET, &[("source", &*self.name)])
        })
    }
}

impl TransportMetrics {
    fn new(metrics: &Metrics, source: &str, transport: Transport) -> Self {
        let labels = [("source", source), ("transport", transport.label())];
        let ends = transport.ends().iter().map(|end| {
            let labels = [labels[0], labels[1], ("reason", end.label())];
            metrics.counter(names::ENDS, &labels)
        });
        Self {
            open: AtomicU64::new(0),
            connects: metrics.counter(names::CONNECTS, &labels),
            ends: ends.collect(),
            delivered: metrics.tally(names::DELIVERED, &labels),
            replayed: metrics.counter(names::REPLAYED, &labels),
            bytes: metrics.counter(names::SENT_BYTES, &labels),
        }
    }
}

/// One stream or poll that is counted.
pub struct Subscriber {
    source: Arc<SourceMetrics>,
    transport: Transport,
    end: End,
}

impl Subscriber {
    /// Events are handed to the connection; `replayed`: they were read for those who had missed them.
    pub fn delivered(&self, events: usize, replayed: bool) {
        let counted = self.counted();
        counted.delivered.add(events as u64);
        if replayed {
            counted.replayed.increment(events as u64);
        }
    }

    /// Events are handed over for the first time whose rows are of these times, in microseconds since 1970.
    pub fn first_delivered(&self, times: &[i64]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let histogram = self.source.commit_to_socket();
        for time in times {
            let micros = now.saturating_sub(*time).max(0);
            histogram.record(micros as f64 / 1e6);
        }
    }

    /// Bytes are handed to the connection.
    pub fn sent(&self, bytes: usize) {
        self.counted().bytes.increment(bytes as u64);
    }

    /// It is told of a reset.
    pub fn reset(&self, reset: Reset) {
        self.source.resets[reset as usize].increment(1);
    }

    /// Why it ends, if not because the client left.
    pub fn ends(&mut self, end: End) {
        self.end = end;
    }

    fn counted(&self) -> &TransportMetrics {
        &self.source.transports[self.transport as usize]
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let counted = self.counted();
        counted.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(ends) = counted.ends.get(self.end as usize) {
            ends.increment(1);
        }
    }
}
