//! Rowcast relays the rows that an application commits to its PostgreSQL tables to subscribers over HTTP.

pub mod app;
pub mod cli;
pub mod config;
pub mod cursor;
pub mod demo;
pub mod event;
pub mod feed;
pub mod http;
pub mod hub;
pub mod pg;
pub mod relay;
pub mod room;
pub mod shutdown;
pub mod tail;
pub mod telemetry;
