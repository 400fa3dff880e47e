//! PostgreSQL's queue of notifications, which all databases of a server share.

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
