//! stub
use super::{PgError, Session};
pub async fn raise(_: &Session, _bell: u32) -> Result<(), PgError> {
    Ok(())
}
pub async fn lower(_: &Session, _bell: u32, _source: &str) -> Result<(), PgError> {
    Ok(())
}
pub async fn note_next_xid(_: &Session) -> Result<u64, PgError> {
    Ok(0)
}
pub async fn table_xmin(_: &Session, _relation: u32) -> Result<Option<u64>, PgError> {
    Ok(Some(0))
}
