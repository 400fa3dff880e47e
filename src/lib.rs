//! Rowcast relays the rows that an application commits to its PostgreSQL tables to subscribers over HTTP.

pub mod cursor;
pub mod demo;
pub mod event;
pub mod pg;
pub mod room;
pub mod tail;
