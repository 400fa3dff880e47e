//! TLS on both sides: towards PostgreSQL (`sslmode` and its companions), and towards clients (`--tls-cert`).

mod clients;
mod database;
mod files;
mod impostors;
mod renewal;
mod server;
