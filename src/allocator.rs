//! Memory of the program on Linux with glibc: jemalloc instead of the system's allocator.
//!
//! What thousands of clients take in the moment in which they connect lies between what stays of each. jemalloc keeps sizes
//! apart, so that whole pages come free, and gives them back to the system; glibc's allocator does neither, and keeps all when
//! the crowd has left.

use tikv_jemalloc_ctl::{Access as _, AsName as _};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How long free pages are kept for the next who need some: a delivery's come again at once, a storm's don't.
const KEPT_MS: isize = 1000;
/// Where that is written: for the arena that is there already, the main thread's, and for those that are made from now on.
const KEPT: [&[u8]; 2] = [b"arena.0.dirty_decay_ms\0", b"arenas.dirty_decay_ms\0"];

/// Has free pages given back after [`KEPT_MS`], also while nothing is going on: by a thread that sleeps otherwise.
pub fn give_back_soon() {
    // Without it the relay works as well, and takes more: no reason to say anything.
    for name in KEPT {
        let _ = name.name().write(KEPT_MS);
    }
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}
