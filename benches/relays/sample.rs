//! What processes and the kernel use, as Linux tells (proc(5)).

use std::collections::HashMap;
use std::fs;

use anyhow::Context as _;

/// Bytes of a page, in which /proc/net/sockstat counts.
const PAGE: u64 = 4096;

/// Processor time that each thread of some processes had used at a moment, in nanoseconds (`task/TID/schedstat`; `stat`
/// would be in hundredths of a second, a tenth of what a quiet run takes).
pub struct Processor(HashMap<u32, u64>);

impl Processor {
    /// Of these processes now. A process that has ended has used nothing.
    pub fn of(pids: &[u32]) -> Self {
        let threads = pids.iter().flat_map(|pid| {
            fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten()
        });
        let used = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let nanoseconds = text.split(' ').next()?.parse().ok()?;
            Some((thread.file_name().to_str()?.parse().ok()?, nanoseconds))
        });
        Self(used.collect())
    }

    /// Seconds used since `before`. A thread that has ended meanwhile is not in it: the servers keep theirs.
    pub fn seconds_since(&self, before: &Self) -> f64 {
        let used = self.0.iter().map(|(thread, after)| {
            let before = before.0.get(thread).copied().unwrap_or(0);
            after.saturating_sub(before)
        });
        used.sum::<u64>() as f64 / 1e9
    }
}

/// Memory of these processes in user space, in bytes: their proportional share (`smaps_rollup`, Pss), so that what
/// workers share counts once.
pub fn user_bytes(pids: &[u32]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            bytes += kilobytes(&text, "Pss:")? * 1024;
        }
    }
    Ok(bytes)
}

/// Memory of the kernel that grows with sockets, in bytes, of the whole machine: buffers of TCP and the slabs. Both ends of
/// a connection are on this machine, and both are in it.
pub fn kernel_bytes() -> anyhow::Result<u64> {
    let slab = kilobytes(&fs::read_to_string("/proc/meminfo")?, "Slab:")? * 1024;
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let pages: u64 = sockets
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.split_whitespace().skip_while(|word| *word != "mem").nth(1))
        .context("no TCP memory in /proc/net/sockstat")?
        .parse()?;
    Ok(slab + pages * PAGE)
}

fn kilobytes(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| format!("no {name}"))?.parse()?)
}
