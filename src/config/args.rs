//! The options of `rowcast serve`: every one a flag and an environment variable.

use std::time::Duration;

use clap::Args;

use super::access::AccessArgs;
use super::limits::{LimitArgs, TlsArgs};
use super::observe::ObserveArgs;
use super::values;

#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database, as postgresql://user:password@host:5432/name
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Database"
    )]
    pub database_url: Option<String>,
}

/// How a relay connects, and who looks at a database in its place.
#[derive(Args, Clone, Debug)]
pub struct SessionArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The same database past its connection pooler, for LISTEN [default: --database-url]
    #[arg(
        long,
        env = "ROWCAST_LISTEN_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Database"
    )]
    pub listen_database_url: Option<String>,

    /// Connections for replays and polls; each source takes one more
    #[arg(long, env = "ROWCAST_POOL_SIZE", value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Database")]
    pub pool_size: u16,
}

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    pub sessions: SessionArgs,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub access: AccessArgs,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub observe: ObserveArgs,

    /// Address and port to serve HTTP on; port 0 picks one, the bound address is logged
    #[arg(
        long,
        env = "ROWCAST_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        help_heading = "HTTP"
    )]
    pub listen: String,

    /// An origin whose pages may read streams (CORS), exact, as `https://app.example.org`; repeatable, or a comma between
    #[arg(long = "allow-origin", env = "ROWCAST_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
          value_parser = values::origin, help_heading = "HTTP")]
    pub allow_origins: Vec<String>,

    /// Path that all paths of the relay stand under [default: none]
    #[arg(long, env = "ROWCAST_BASE_PATH", value_name = "PATH", default_value = "", hide_default_value = true,
          value_parser = values::base_path, help_heading = "HTTP")]
    pub base_path: String,

    /// Let clients insert rows by POST, with the database role's rights
    #[arg(long, env = "ROWCAST_ALLOW_PUBLISH", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "HTTP")]
    pub allow_publish: bool,

    /// Let clients follow all rooms of a source at once, with `room=*`
    #[arg(long, env = "ROWCAST_ALLOW_FIREHOSE", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "HTTP")]
    pub allow_firehose: bool,

    /// The source that /v1/rooms and /v1/events mean [default: the first attached]
    #[arg(long, env = "ROWCAST_DEFAULT_SOURCE", value_name = "NAME", value_parser = values::source_name, help_heading = "HTTP")]
    pub default_source: Option<String>,

    /// Pause between heartbeats on a quiet stream
    #[arg(long, env = "ROWCAST_HEARTBEAT", value_name = "DURATION", default_value = "15s",
          value_parser = values::positive_duration, help_heading = "HTTP")]
    pub heartbeat: Duration,

    /// What browsers are told to wait before they reconnect [default: random, 1s to 3s]
    #[arg(long, env = "ROWCAST_RETRY", value_name = "DURATION", value_parser = values::duration, help_heading = "HTTP")]
    pub retry: Option<Duration>,

    /// Time over which streams are ended at SIGTERM
    #[arg(long, env = "ROWCAST_GRACE_PERIOD", value_name = "DURATION", default_value = "10s",
          value_parser = values::duration, help_heading = "HTTP")]
    pub grace_period: Duration,

    /// A row whose event would be larger is sent as "row":null,"truncated":true
    #[arg(long, env = "ROWCAST_MAX_EVENT_BYTES", value_name = "SIZE", default_value = "1MiB",
          value_parser = values::bytes, help_heading = "HTTP")]
    pub max_event_bytes: usize,

    /// Bells in a second, held for half a second, above which a source is polled instead
    #[arg(long, env = "ROWCAST_BUSY_BELLS_PER_SECOND", value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Following")]
    pub busy_bells_per_second: u32,

    /// Pause between reads while a source is polled
    #[arg(long, env = "ROWCAST_POLL_INTERVAL", value_name = "DURATION", default_value = "2ms",
          value_parser = values::positive_duration, help_heading = "Following")]
    pub poll_interval: Duration,

    /// How long rows must be rare before a polled source waits for its bell again
    #[arg(long, env = "ROWCAST_QUIET_AFTER", value_name = "DURATION", default_value = "1s",
          value_parser = values::positive_duration, help_heading = "Following")]
    pub quiet_after: Duration,

    /// How often journals are looked at for entries that need not be kept any longer
    #[arg(long, env = "ROWCAST_PRUNE_INTERVAL", value_name = "DURATION", default_value = "10s",
          value_parser = values::positive_duration, help_heading = "Following")]
    pub prune_interval: Duration,

    /// Newest events of a room that are kept in memory
    #[arg(long, env = "ROWCAST_RING_EVENTS", value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Memory")]
    pub ring_events: u32,

    /// Bytes of a room's events that are kept in memory
    #[arg(long, env = "ROWCAST_RING_BYTES", value_name = "SIZE", default_value = "1MiB",
          value_parser = values::bytes, help_heading = "Memory")]
    pub ring_bytes: usize,

    /// Bytes of the events of all rooms of one source
    #[arg(long, env = "ROWCAST_RING_TOTAL_BYTES", value_name = "SIZE", default_value = "256MiB",
          value_parser = values::bytes, help_heading = "Memory")]
    pub ring_total_bytes: usize,

    /// Time that a room is kept in memory after its last subscriber
    #[arg(long, env = "ROWCAST_ROOM_LINGER", value_name = "DURATION", default_value = "30s",
          value_parser = values::duration, help_heading = "Memory")]
    pub room_linger: Duration,

    /// Replays that read the table at a time
    #[arg(long, env = "ROWCAST_REPLAYS_AT_ONCE", value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Memory")]
    pub replays_at_once: u16,
}
