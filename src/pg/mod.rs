//! Everything that talks to PostgreSQL.

pub mod admin;
pub mod attach;
pub mod migrate;
pub mod script;
pub mod server;
pub mod source;
