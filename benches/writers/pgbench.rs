//! One run of pgbench, the program that comes with PostgreSQL: transactions a second, and what they cost the server.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use crate::process::ended_children_seconds;
use crate::server::Server;

/// What pgbench found.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Transactions a second.
    pub per_second: f64,
    /// Processor time of its sessions' backends for one transaction. The relay's and its own are not in it.
    pub processor_microseconds: f64,
}

/// Runs a script of `sql/` over the Unix socket, with prepared statements.
///
/// Errors: there is no pgbench, or one of its sessions failed.
pub async fn run(
    server: &Server,
    database: &str,
    script: &str,
    clients: u32,
    seconds: u32,
) -> anyhow::Result<Run> {
    let postmaster = server.postgres.pid().context("the server runs")?;
    let processor_before = ended_children_seconds(postmaster)?;
    let (output, backends) = tokio::join!(
        command(server, database, script, clients, seconds)?.output(),
        async {
            sleep(Duration::from_secs(seconds.into()) / 2).await;
            server.pgbench_backends().await
        }
    );
    let (per_second, transactions) = figures(&output?)?;
    // What a process has used is added to its parent's children when that has taken note of its end.
    for backend in backends? {
        while Path::new(&format!("/proc/{backend}")).exists() {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let processor_seconds = ended_children_seconds(postmaster)? - processor_before;
    Ok(Run {
        per_second,
        processor_microseconds: processor_seconds * 1e6 / transactions,
    })
}

fn command(
    server: &Server,
    database: &str,
    script: &str,
    clients: u32,
    seconds: u32,
) -> anyhow::Result<tokio::process::Command> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/writers/sql");
    let mut command = tokio::process::Command::new(program(server)?);
    command
        .args(["-n", "-M", "prepared", "-U", "postgres"])
        .arg("-h")
        .arg(server.postgres.socket_dir())
        .args(["-p", &server.postgres.port().to_string()])
        .args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()])
        .args(["-T", &seconds.to_string()])
        .arg("-f")
        .arg(scripts.join(script))
        .arg(database)
        .stdin(Stdio::null())
        .process_group(server.postgres.process_group())
        .kill_on_drop(true);
    Ok(command)
}

/// Transactions a second, and transactions in all.
fn figures(output: &Output) -> anyhow::Result<(f64, f64)> {
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "pgbench failed: {}{said}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let figure = |name: &str| -> Option<f64> {
        let line = said.lines().rev().find_map(|line| line.strip_prefix(name))?;
        line.split(['/', ' ']).next()?.parse().ok()
    };
    figure("tps = ")
        .zip(figure("number of transactions actually processed: "))
        .with_context(|| format!("no figures in what pgbench said:\n{said}"))
}

/// pgbench as it comes with this server. npm's packages bring none.
fn program(server: &Server) -> anyhow::Result<PathBuf> {
    let directory = server.postgres.bin_dir();
    let program = directory.join("pgbench");
    if !program.is_file() {
        bail!(
            "no pgbench in {}: let ROWCAST_PG_BIN name a PostgreSQL that has one",
            directory.display()
        );
    }
    Ok(program)
}
