//! stub
use super::{PgError, Session};
pub async fn raise(_: &Session, _bell: u32) -> Result<(), PgError> { todo!() }
pub async fn lower(_: &Session, _bell: u32, _source: &str) -> Result<(), PgError> { todo!() }
pub async fn note_next_xid(_: &Session) -> Result<u64, PgError> { todo!() }
pub async fn table_xmin(_: &Session, _relation: u32) -> Result<Option<u64>, PgError> { todo!() }
