//! Stand-in for helper `bell`'s module: sessions to the database.

pub mod publish;
pub mod source;

use std::ops::Deref;

use tokio_postgres::error::SqlState;

#[derive(Clone)]
pub struct Database {}

impl Database {
    pub async fn host_session(&self) -> Result<Session, PgError> {
        Err(PgError::PoolTimeout)
    }
}

pub struct Session {
    client: deadpool_postgres::Object,
}

impl Deref for Session {
    type Target = tokio_postgres::Client;
    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PgError {
    #[error("no connection was free in time")]
    PoolTimeout,
    #[error("the statement returned no row")]
    NoRow,
    #[error("the database refused a statement")]
    Postgres(#[from] tokio_postgres::Error),
}

impl PgError {
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::PoolTimeout)
    }
    pub fn sqlstate(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }
}
