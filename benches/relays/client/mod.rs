//! The load client: many subscribers in one thread, on an epoll loop of its own. It must cost much less than the servers it
//! measures: all connections read into one buffer, nothing is allocated for a delivery, the clock is read once a read.

mod answer;
mod connection;
mod crowd;
mod measured;

pub use crowd::{Crowd, Plan};
pub use measured::Measured;
