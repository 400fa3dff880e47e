//! `doctor`: what would go wrong between a relay and this database.
//!
//! Findings go to stdout, as text or JSON; while it works, a terminal's stderr says at what.

mod text;

use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::config::{self, SessionArgs};
use crate::doctor::{Options, Report, examine};

#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print JSON: {"findings": […], "summary": {…}}
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub sessions: SessionArgs,

    /// The relay lets clients insert rows
    #[arg(long, env = "ROWCAST_ALLOW_PUBLISH", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_publish: bool,

    /// What the relay has as --authorize-sql
    #[arg(
        long,
        env = "ROWCAST_AUTHORIZE_SQL",
        value_name = "QUERY",
        hide_env_values = true
    )]
    pub authorize_sql: Option<String>,

    /// The age from which on an open transaction is a finding
    #[arg(long, env = "ROWCAST_LONG_TRANSACTION", value_name = "DURATION", default_value = "1m", value_parser = config::duration)]
    pub long_transaction: Duration,
}

/// Examines the database and prints what was found. The exit code is that of the worst finding.
pub async fn doctor(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let options = Options {
        database_url: args.sessions.database.url()?.to_owned(),
        listen_database_url: given(args.sessions.listen_database_url),
        pool_size: args.sessions.pool_size.into(),
        allow_publish: args.allow_publish,
        authorize_sql: given(args.authorize_sql),
        long_transaction: args.long_transaction,
    };
    let mut progress = Progress::default();
    let report = examine(&options, &mut |what| progress.show(what)).await;
    progress.end();
    let report = report?;
    match print(&report, args.json) {
        // Whoever reads (`| head`) has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(ExitCode::from(report.summary().exit_code))
}

fn print(report: &Report, is_json: bool) -> std::io::Result<()> {
    // It leaves colours away where stdout is no terminal or NO_COLOR is set.
    let mut out = anstream::stdout().lock();
    if is_json {
        let report = json!({"findings": report.findings, "summary": report.summary()});
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)
    } else {
        write!(out, "{}", text::of(report))
    }
}

/// One line on a terminal, which each step overwrites.
#[derive(Default)]
struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Back to the beginning of the line, and clears it (ECMA-48: EL).
    const CLEAR: &str = "\r\x1b[2K";

    fn show(&mut self, what: &str) {
        let mut stderr = stderr();
        if stderr.is_terminal() {
            let line: String = text::printable(what).chars().take(text::WIDTH - 12).collect();
            // A terminal that is gone is no reason to fail.
            let _ = write!(stderr, "{}Looking at {line}", Self::CLEAR);
            let _ = stderr.flush();
            self.is_shown = true;
        }
    }

    fn end(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "{}", Self::CLEAR);
        }
    }
}
