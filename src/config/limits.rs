//! Bounds on what clients may take, and whose word counts for who they are.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{ConfigError, values};

#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Connections at a time, in all [default: what the limit of descriptors leaves]
    #[arg(long, env = "ROWCAST_MAX_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_connections: Option<u32>,

    /// Connections at a time from one address [default: any number]
    #[arg(long, env = "ROWCAST_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_connections_per_address: Option<u32>,

    /// Streams and long polls at a time of one subject of tokens, without tokens of one address [default: any number]
    #[arg(long, env = "ROWCAST_MAX_SUBSCRIPTIONS_PER_SUBJECT", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_subscriptions_per_subject: Option<u32>,

    /// New connections in a second, from all addresses [default: any number]
    #[arg(long, env = "ROWCAST_MAX_NEW_CONNECTIONS_PER_SECOND", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_new_connections_per_second: Option<u32>,

    /// Requests for events, and publishing, in a second of one subject, without tokens of one address [default: any number]
    #[arg(long, env = "ROWCAST_MAX_REQUESTS_PER_SECOND", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_requests_per_second: Option<u32>,

    /// Tokens and tickets that are no good, in a second from one address; ten seconds' worth may come at once
    #[arg(long, env = "ROWCAST_MAX_FAILED_CREDENTIALS_PER_SECOND", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_failed_credentials_per_second: u32,

    /// Tickets that one subject of tokens gets in a second, without a subject one address; ten seconds' worth may come at once
    #[arg(long, env = "ROWCAST_MAX_TICKETS_PER_SECOND", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_tickets_per_second: u32,

    /// Rooms of one subscription
    #[arg(long, env = "ROWCAST_MAX_ROOMS", value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=100), help_heading = "Limits")]
    pub max_rooms: u16,

    /// Replays that wait for their turn (see --replays-at-once), of one source
    #[arg(long, env = "ROWCAST_MAX_WAITING_REPLAYS", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_waiting_replays: u32,

    /// Bytes that may wait in a connection until its client takes them
    #[arg(long, env = "ROWCAST_MAX_WAITING_BYTES", value_name = "SIZE", default_value = "64KiB",
          value_parser = values::waiting_bytes, help_heading = "Limits")]
    pub max_waiting_bytes: usize,

    /// Bytes of a request's head
    #[arg(long, env = "ROWCAST_MAX_HEAD_BYTES", value_name = "SIZE", default_value = "16KiB",
          value_parser = values::head_bytes, help_heading = "Limits")]
    pub max_head_bytes: usize,

    /// Bytes of a request's body
    #[arg(long, env = "ROWCAST_MAX_BODY_BYTES", value_name = "SIZE", default_value = "1MiB",
          value_parser = values::bytes, help_heading = "Limits")]
    pub max_body_bytes: usize,

    /// Time within which a request's head must come
    #[arg(long, env = "ROWCAST_HEAD_TIMEOUT", value_name = "DURATION", default_value = "10s",
          value_parser = values::positive_duration, help_heading = "Limits")]
    pub head_timeout: Duration,

    /// Time within which a request's body must come
    #[arg(long, env = "ROWCAST_BODY_TIMEOUT", value_name = "DURATION", default_value = "30s",
          value_parser = values::positive_duration, help_heading = "Limits")]
    pub body_timeout: Duration,

    /// Proxies whose Forwarded or X-Forwarded-For says where a request comes from: addresses and networks, as 10.0.0.0/8
    #[arg(long, env = "ROWCAST_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',',
          value_parser = values::network, help_heading = "Limits")]
    pub trusted_proxies: Vec<Network>,
}

/// A range of addresses: those whose first `bits` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub bits: u8,
}

impl Network {
    /// Whether `address` lies in it. An IPv4 address that is written as an IPv6 one is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(ours).checked_shr(shift) == u32::from(theirs).checked_shr(shift)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(ours).checked_shr(shift) == u128::from(theirs).checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// The bounds. `None` is no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `None`: what the limit of descriptors leaves.
    pub connections: Option<usize>,
    pub connections_per_address: Option<usize>,
    pub subscriptions_per_subject: Option<usize>,
    pub new_connections_per_second: Option<u32>,
    pub requests_per_second: Option<u32>,
    /// Of one address; ten seconds' worth may come at once.
    pub failed_credentials_per_second: u32,
    /// Of one subject, or address; ten seconds' worth may come at once.
    pub tickets_per_second: u32,
    /// Of one subscription.
    pub rooms: usize,
    /// Of one source.
    pub waiting_replays: usize,
    /// Of one connection.
    pub waiting_bytes: usize,
    pub head_bytes: usize,
    pub body_bytes: usize,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub trusted_proxies: Vec<Network>,
}

impl Default for Limits {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            connections: None,
            connections_per_address: None,
            subscriptions_per_subject: None,
            new_connections_per_second: None,
            requests_per_second: None,
            failed_credentials_per_second: 10,
            tickets_per_second: 10,
            rooms: 100,
            waiting_replays: 10_000,
            waiting_bytes: 64 << 10,
            head_bytes: 16 << 10,
            body_bytes: 1 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
        }
    }
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let count = |limit: Option<u32>| limit.map(|limit| limit as usize);
        Self {
            connections: count(args.max_connections),
            connections_per_address: count(args.max_connections_per_address),
            subscriptions_per_subject: count(args.max_subscriptions_per_subject),
            new_connections_per_second: args.max_new_connections_per_second,
            requests_per_second: args.max_requests_per_second,
            failed_credentials_per_second: args.max_failed_credentials_per_second,
            tickets_per_second: args.max_tickets_per_second,
            rooms: args.max_rooms.into(),
            waiting_replays: args.max_waiting_replays as usize,
            waiting_bytes: args.max_waiting_bytes,
            head_bytes: args.max_head_bytes,
            body_bytes: args.max_body_bytes,
            head_timeout: args.head_timeout,
            body_timeout: args.body_timeout,
            trusted_proxies: args.trusted_proxies,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// Serve TLS (HTTP/1.1 and HTTP/2): a file with the certificate and its chain (PEM), read again when it changes
    #[arg(long, env = "ROWCAST_TLS_CERT", value_name = "FILE", help_heading = "HTTP")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, env = "ROWCAST_TLS_KEY", value_name = "FILE", help_heading = "HTTP")]
    pub tls_key: Option<PathBuf>,
}

/// The files that TLS is served with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Both, or `None`.
    ///
    /// # Errors
    /// One without the other.
    pub fn new(args: TlsArgs) -> Result<Option<Self>, ConfigError> {
        match (args.tls_cert, args.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            _ => Err(ConfigError::HalfTls),
        }
    }
}
