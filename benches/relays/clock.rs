//! Clocks and limits, as Linux has them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now: nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
pub fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Processor time of the calling thread, in seconds.
pub fn thread_seconds() -> f64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime)) as f64 / 1e9
}

fn nanoseconds(time: Timespec) -> u64 {
    // Neither is negative for these clocks.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until this moment of [`now`]; a moment that is over is no sleep.
pub fn sleep_until(moment: u64) {
    if let Some(rest) = moment.checked_sub(now()).filter(|rest| *rest > 0) {
        std::thread::sleep(std::time::Duration::from_nanos(rest));
    }
}

/// Raises the limit of descriptors as far as this process may, for itself and the servers that it starts.
/// Returns how many that are.
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}
