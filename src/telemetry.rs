//! The log: for people on a terminal, JSON lines for everything else. It goes to stderr, so that stdout is the commands'. What
//! failed lately is kept, too ([`RecentLines`]).

mod recent;

use std::fmt::{self, Debug, Write as _};
use std::io::{IsTerminal as _, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use recent::{RecentLine, RecentLines};

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

/// A message, or ` name=value`, for people. What clients and the database say stays within its line and can't steer the
/// terminal: control characters are escaped. (In JSON they are anyway.)
fn write_field(out: &mut Writer<'_>, name: &str, value: &dyn Debug) -> fmt::Result {
    if name != "message" {
        write!(out, "{name}=")?;
    }
    write!(Escaping(out), "{value:?}")
}

/// Escapes control characters, and those that change the direction or the line of text (Unicode TR9, 2; line and
/// paragraph separator), as in Rust's strings.
struct Escaping<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let steers = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
        };
        let mut rest = text;
        while let Some(at) = rest.find(steers) {
            let (before, after) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = after.chars();
            if let Some(steering) = characters.next() {
                write!(self.0, "{}", steering.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// What others say, so that it stays within its line and can't steer a terminal.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // Writing to a string can't fail.
    let _ = Escaping(&mut safe).write_str(text);
    safe
}

/// Starts the log of this process, at `default_level` unless another is asked for. Its failures are kept in what is returned,
/// whatever is logged. Does nothing if there is a log.
pub fn start(args: &LogArgs, default_level: &str) -> Result<RecentLines, LogError> {
    let level = args.log_level.as_deref().unwrap_or(default_level);
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|source| LogError {
        value: level.to_owned(),
        source,
    })?;
    let recent = RecentLines::default();
    let log = tracing_subscriber::fmt::layer().with_writer(stderr);
    let human = match args.log_format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log = if human {
        log.with_ansi(stderr().is_terminal())
            .fmt_fields(debug_fn(|out, field, value| write_field(out, field.name(), value)).delimited(" "))
            .boxed()
    } else {
        log.json().flatten_event(true).with_span_list(false).boxed()
    };
    // An error here means that a log was started before: the tests' harness, or a program that embeds the library.
    let _ = tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(recent.layer())
        .try_init();
    Ok(recent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_stays_within_its_line() {
        let field = |name: &str, value: &dyn Debug| {
            let mut text = String::new();
            write_field(&mut Writer::new(&mut text), name, value).unwrap();
            text
        };
        let said = "a\nb\r\0\u{1b}[31m\u{7f}\u{9b}1m\u{202e}\u{2028}é🦀";
        let shown = "a\\nb\\r\\u{0}\\u{1b}[31m\\u{7f}\\u{9b}1m\\u{202e}\\u{2028}é🦀";
        assert_eq!(
            field("reason", &format_args!("{said}")),
            format!("reason={shown}")
        );
        assert_eq!(field("message", &format_args!("{said}")), shown);
        let quoted = field("room", &said);
        assert!(!quoted.contains(|c: char| c.is_control()), "{quoted}");
    }
}
