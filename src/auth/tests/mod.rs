//! Tests of tokens as a whole: what is signed here is verified there.

mod algorithms;
mod asking;
mod endpoint;
mod published;
mod random;
mod rules;
mod signer;

use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Claims, TokenError, Verifier};
use crate::config::{JwtConfig, KeySource, Secret};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// When all of this happens, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// The configuration that gives no more than the keys.
fn config(keys: KeySource) -> JwtConfig {
    JwtConfig {
        keys,
        algorithms: Vec::new(),
        issuer: None,
        audience: None,
        leeway: Duration::from_secs(30),
        rooms_claim: "rooms".to_owned(),
        cookie: None,
        query_token: false,
        ticket_lifetime: Duration::from_secs(30),
        authorize_sql: None,
        reauthorize_interval: Duration::from_secs(60),
    }
}

fn with_secret() -> JwtConfig {
    config(KeySource::Secret(Secret::from(SECRET.to_owned())))
}

fn with_file(path: &Path) -> JwtConfig {
    config(KeySource::PublicKey(path.to_owned()))
}

/// The least that a good token says.
fn claims() -> Value {
    json!({ "exp": NOW + 60 })
}

/// Verifies at [`now`] with a key that is there.
fn verify(verifier: &Verifier, token: &str) -> Result<Claims, TokenError> {
    let verdict = verifier.verify_at(token, now()).now_or_never();
    verdict.expect("nobody waits for a key that is there")
}
