//! What processes and the kernel use, as Linux tells (proc(5)).

use std::fs;

use anyhow::Context as _;

/// Ticks of a second in /proc/PID/stat (sysconf _SC_CLK_TCK; 100 on every Linux that is of interest).
const TICKS: f64 = 100.0;

/// Bytes of a page, in which /proc/net/sockstat counts.
const PAGE: u64 = 4096;

/// Processor time of these processes, all their threads, in seconds, to a hundredth (`stat`, fields 14 and 15). A process
/// that has ended counts no more.
pub fn processor_seconds(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0.0;
    for pid in pids {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The second field is the program's name in brackets, which may have spaces.
        let (_, fields) = text.rsplit_once(')').context("no program in /proc/PID/stat")?;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
    }
    Ok(ticks / TICKS)
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
