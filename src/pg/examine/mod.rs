//! What `rowcast doctor` asks the database: facts, read and never written, one statement for each kind. What they mean is for
//! `doctor` to say.
//!
//! Each runs like a read of the relay: under the pinned settings, which bound how long it waits for a lock, and without anything
//! that a pooler would lose.

mod plans;
mod server;
mod sources;

pub use plans::{Plans, Scan, plans};
pub use server::{
    Connections, Server, Setting, Transaction, clock, connections, functions, queue_usage, server, settings,
    shares_processes, transactions, whereabouts,
};
pub use sources::{Ids, Lacking, Remark, Trigger, ids, lacking, remarks, triggers};

/// The name that an SQL identifier stands for, as the catalog has it.
pub fn unquoted(identifier: &str) -> String {
    super::statements::unquoted(identifier)
}
