//! The `rowcast` program: parse, run, exit code. An error is one line on stderr.

use std::process::ExitCode;

use clap::Parser as _;
use rowcast::cli::{self, Cli};

/// As shells and clap have it: the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => match cli::usage_error(&error) {
            Some(line) => return fail(&line, USAGE),
            None => error.exit(),
        },
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start the runtime: {error}"), 1),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn fail(line: &str, code: u8) -> ExitCode {
    let line: Vec<&str> = line
        .lines()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    eprintln!("rowcast: {}", line.join(" "));
    ExitCode::from(code)
}
