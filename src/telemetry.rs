//! The log: for people on a terminal, JSON lines for everything else. It goes to stderr, so that stdout is the commands'.

use std::io::{IsTerminal as _, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// human on a terminal, json otherwise
    Auto,
    /// A line for people
    Human,
    /// One JSON object a line
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How the log on stderr is written
    #[arg(long, global = true, env = "ROWCAST_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, help_heading = "Log")]
    pub log_format: LogFormat,

    /// Least level that is logged, as info or rowcast=debug,hyper=warn [default: info; of the demo: warn]
    #[arg(
        long,
        global = true,
        env = "ROWCAST_LOG_LEVEL",
        value_name = "FILTER",
        help_heading = "Log"
    )]
    pub log_level: Option<String>,
}

/// Libraries whose talk at `info` is of no use to an operator; a filter that names them wins.
const QUIET: &str = "refinery_core=warn,tokio_postgres=warn,deadpool.postgres=error";

/// The filter can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level (ROWCAST_LOG_LEVEL) {value:?} is no filter, like info or rowcast=debug: {source}")]
pub struct LogError {
    value: String,
    source: ParseError,
}

/// Starts the log of this process, at `default_level` unless another is asked for. Does nothing if there is one.
pub fn start(args: &LogArgs, default_level: &str) -> Result<(), LogError> {
    let level = args.log_level.as_deref().unwrap_or(default_level);
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|source| LogError {
        value: level.to_owned(),
        source,
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    let human = match args.log_format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    // An error here means that a log was started before: the tests' harness, or a program that embeds the library.
    let _ = if human {
        log.with_ansi(stderr().is_terminal()).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    Ok(())
}
