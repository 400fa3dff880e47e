//! The integration tests: one binary, against a real PostgreSQL that it starts itself.
//!
//! Run them with `make test` (plain `cargo test`: all tests are threads of one process and share one server). Every test
//! has a database of its own. `ROWCAST_PG_BIN` chooses the PostgreSQL; without one the tests fail, they never skip.

mod support;

mod attach;
mod bell;
mod bell_model;
mod cli;
mod demo;
mod guards;
mod launcher;
mod sessions;
mod tidy;
