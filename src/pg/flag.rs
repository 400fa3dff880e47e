//! The flag of a bell and what a tail must know of the writers: one statement each, each alone in its transaction.
//!
//! They are functions of their own, and not one, because that is what makes arming exact: the next transaction id is
//! asked for after `setval` returned, and the table's locks are looked at after that.

use tokio_postgres::types::Type;

use super::{PgError, Session};

const RAISE_FLAG: &str = include_str!("../../sql/raise_flag.sql");
const LOWER_FLAG: &str = include_str!("../../sql/lower_flag.sql");
const NOTE_NEXT_XID: &str = include_str!("../../sql/note_next_xid.sql");
const TABLE_XMIN: &str = include_str!("../../sql/table_xmin.sql");

/// Sets the flag of the bell (its sequence's oid) to 1: writers ring.
///
/// # Errors
///
/// As [`Session::read`]; without UPDATE on the sequence PostgreSQL refuses.
pub async fn raise_flag(session: &Session, bell_oid: u32) -> Result<(), PgError> {
    session.read(RAISE_FLAG, &[(&bell_oid, Type::OID)]).await?;
    Ok(())
}

/// Sets the flag to 0 and tells every relay that somebody polls `source`.
///
/// # Errors
///
/// As [`raise_flag`]. The flag may be 0 although this failed: an armed relay finds that at its backstop.
pub async fn lower_flag(session: &Session, bell_oid: u32, source: &str) -> Result<(), PgError> {
    session
        .read(LOWER_FLAG, &[(&bell_oid, Type::OID), (&source, Type::TEXT)])
        .await?;
    Ok(())
}

/// The next transaction id that PostgreSQL will assign, 64 bits wide; none is consumed.
///
/// # Errors
///
/// As [`Session::read`].
pub async fn note_next_xid(session: &Session) -> Result<u64, PgError> {
    let rows = session.read(NOTE_NEXT_XID, &[]).await?;
    let next_xid: i64 = rows.first().ok_or(PgError::NoAnswer)?.try_get(0)?;
    Ok(next_xid.cast_unsigned())
}

/// The lowest transaction id among those who write the table (its oid) or a partition of it; `u64::MAX` if nobody does.
/// It says something about those who began before this call only.
///
/// # Errors
///
/// As [`Session::read`].
pub async fn table_xmin(session: &Session, relation_oid: u32) -> Result<u64, PgError> {
    let rows = session.read(TABLE_XMIN, &[(&relation_oid, Type::OID)]).await?;
    let xmin: Option<i64> = rows.first().ok_or(PgError::NoAnswer)?.try_get(0)?;
    Ok(xmin.map_or(u64::MAX, i64::cast_unsigned))
}
