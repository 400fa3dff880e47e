//! TLS on both sides: towards PostgreSQL (`sslmode` and its companions), and towards clients (`--tls-cert`).

mod clients;
mod database;
mod files;
mod renewal;
mod server;
