//! PostgreSQL's queue of notifications, which all databases of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::Client;

/// How full it is, 0 to 1. It fills up while some session listens within a transaction that does not end; when it is full,
/// commits that notify fail.
///
/// # Errors
/// What the database says.
pub async fn usage(client: &Client) -> Result<f64, tokio_postgres::Error> {
    let sql = include_str!("../../sql/notification_queue.sql");
    client.query_typed_one(sql, &[]).await?.try_get("usage")
}

/// How full it was when it was last asked. Clones are the same.
#[derive(Clone, Debug)]
pub struct QueueUsage(Arc<AtomicU64>);

impl QueueUsage {
    /// Not known yet.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }

    /// Notes the answer; `None`: it is not known any longer.
    pub fn note(&self, usage: Option<f64>) {
        let usage = usage.unwrap_or(f64::NAN);
        self.0.store(usage.to_bits(), Ordering::Relaxed);
    }

    /// The answer, where there is one.
    pub fn known(&self) -> Option<f64> {
        let usage = f64::from_bits(self.0.load(Ordering::Relaxed));
        (!usage.is_nan()).then_some(usage)
    }
}

impl Default for QueueUsage {
    fn default() -> Self {
        Self::new()
    }
}
