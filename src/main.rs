//! The `rowcast` program: parse, run, exit code. An error is one line on stderr.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;

use std::process::ExitCode;

use rowcast::cli::{self, Invocation, InvocationError};

/// As shells and clap have it: the command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // Before there are threads, each of which takes the settings of that moment.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::give_back_soon();
    let invocation = match Invocation::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(InvocationError::Help(help)) => help.exit(),
        Err(error) => return fail(&error.to_string(), USAGE),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start the runtime: {error}"), 1),
    };
    let code = match runtime.block_on(cli::run(invocation)) {
        Ok(code) => code,
        Err(error) => fail(&error.to_string(), 1),
    };
    // A write to a pipe that nobody empties would be waited for.
    runtime.shutdown_background();
    code
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
