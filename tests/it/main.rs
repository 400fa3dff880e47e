//! The integration tests: one binary, against a real PostgreSQL that it starts itself.
//!
//! Run them with `make test` (plain `cargo test`: all tests are threads of one process and share one server). Every test
//! has a database of its own. `ROWCAST_PG_BIN` chooses the PostgreSQL; without one the tests fail, they never skip.

mod support;

mod access;
mod access_sql;
mod admin;
mod attach;
mod bad_input;
mod bell;
mod bell_model;
mod cli;
mod crowd;
mod demo;
mod doctor;
mod faults;
mod gaps_time;
mod guards;
mod health;
mod hub;
mod interface;
mod journal;
mod launcher;
mod lifecycle;
mod limits;
mod logs;
mod marks;
mod metrics;
mod openapi;
mod roles;
mod seam_model;
mod sessions;
mod settings;
mod tail_command;
mod tidy;
mod tls;
mod torture;
