//! stub
pub mod source;
pub mod store;
#[derive(Clone, Debug)]
pub struct Database;
pub struct Session;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PgError(#[from] tokio_postgres::Error);
impl Database { pub async fn pooled(&self) -> Result<Session, PgError> { todo!() } }
impl Session { pub async fn read(&self, _sql: &str, _params: &[(&(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type)]) -> Result<Vec<tokio_postgres::Row>, PgError> { todo!() } }
