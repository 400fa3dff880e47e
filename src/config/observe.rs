//! What operators see of a relay, and where.

use std::net::SocketAddr;

use clap::Args;

use super::{ConfigError, addresses};

#[derive(Args, Clone, Debug)]
pub struct ObserveArgs {
    /// Address and port for /health and /metrics, which are not on --listen then, and the page /admin; plain HTTP, asks nobody for a token
    #[arg(
        long,
        env = "ROWCAST_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        help_heading = "Operations"
    )]
    pub admin_listen: Option<String>,

    /// Log each request at its end: method, route, status, bytes, time, client; never its path
    #[arg(long, env = "ROWCAST_ACCESS_LOG", value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Operations")]
    pub access_log: bool,
}

/// What operators asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observe {
    /// Empty: health and metrics are on the public port. More than one address where a name has several; the first that can
    /// be bound is served.
    pub admin_listen: Vec<SocketAddr>,
    pub access_log: bool,
}

impl Observe {
    /// Looks `--admin-listen` up where it is a name.
    ///
    /// # Errors
    /// It is no address.
    pub(super) fn new(args: ObserveArgs) -> Result<Self, ConfigError> {
        let ObserveArgs {
            admin_listen,
            access_log,
        } = args;
        let admin_listen = admin_listen.filter(|value| !value.is_empty());
        let admin_listen = admin_listen
            .map(|value| addresses(&value).map_err(|reason| ConfigError::AdminListen { value, reason }));
        Ok(Self {
            admin_listen: admin_listen.transpose()?.unwrap_or_default(),
            access_log,
        })
    }
}
