//! What a backend uses while it runs a statement, as Linux tells it: processor time and private memory.
//!
//! Not `VmHWM`: it counts the pages of the shared buffers that the backend has touched, which says nothing about it.

use std::fs;
use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;

use crate::server::Server;

/// The pause between two looks.
const GLANCE: Duration = Duration::from_millis(5);

/// The most that was seen of one backend.
pub struct Peak {
    pid: i32,
    before_bytes: u64,
    most_bytes: u64,
    most_temporary_bytes: u64,
}

impl Peak {
    /// Begins with what the backend has now.
    pub fn of(pid: i32) -> anyhow::Result<Self> {
        let now = private_bytes(pid)?;
        Ok(Self {
            pid,
            before_bytes: now,
            most_bytes: now,
            most_temporary_bytes: 0,
        })
    }

    /// Looks every few milliseconds until the statement is over.
    pub async fn while_running<T>(
        &mut self,
        server: &Server,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> anyhow::Result<T> {
        let mut statement = std::pin::pin!(statement);
        loop {
            tokio::select! {
                outcome = &mut statement => return Ok(outcome?),
                () = tokio::time::sleep(GLANCE) => {
                    self.most_bytes = self.most_bytes.max(private_bytes(self.pid)?);
                    self.most_temporary_bytes = self.most_temporary_bytes.max(server.temporary_bytes());
                }
            }
        }
    }

    /// At its peak beyond what it was before.
    pub fn memory_bytes(&self) -> u64 {
        self.most_bytes - self.before_bytes
    }

    /// Of the server's temporary files; nobody else makes any.
    pub fn temporary_bytes(&self) -> u64 {
        self.most_temporary_bytes
    }
}

/// Processor time that a process of one thread has used, in seconds (proc(5), `schedstat`, to the nanosecond). On a machine that
/// does other things, too, it says more than the time on the clock.
pub fn processor_seconds(pid: i32) -> anyhow::Result<f64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/schedstat")).context("this benchmark needs Linux's /proc")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}

/// Processor time of a process's children that have ended, in seconds (proc(5), `stat`, fields 16 and 17, in hundredths).
pub fn ended_children_seconds(pid: u32) -> anyhow::Result<f64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).context("this benchmark needs Linux's /proc")?;
    // The second field is the program's name in brackets, which may have spaces.
    let (_, fields) = text.rsplit_once(')').context("no program in /proc/PID/stat")?;
    let ticks = fields.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// Memory of a process that no other shares (proc(5), `RssAnon`).
fn private_bytes(pid: i32) -> anyhow::Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("this benchmark needs Linux's /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .context("no RssAnon in /proc/PID/status")?;
    Ok(kilobytes * 1024)
}
