//! Tokens: without the secret none verifies; with it, what verifies says what was signed.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use rowcast::auth::{Claims, TokenError, Verifier};
use rowcast::config::{JwtConfig, KeySource, Secret};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Seconds since 1970, at every attempt.
const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let config = JwtConfig {
        keys: KeySource::Secret(Secret::from(SECRET.to_owned())),
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
    };
    Verifier::new(&config).expect("the secret is long enough")
});

fn verify(token: &str) -> Result<Claims, TokenError> {
    let verdict = VERIFIER.verify_at(token, UNIX_EPOCH + Duration::from_secs(NOW));
    verdict.now_or_never().expect("a fixed key needs no waiting")
}

fuzz_target!(|data: &[u8]| {
    // The first line is a token, or a header; what follows is signed with it as its payload.
    if let Ok(text) = str::from_utf8(data) {
        assert!(verify(text).is_err(), "{text}");
    }
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(payload)) = (parts.next(), parts.next()) else {
        return;
    };
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Ok(claims) = verify(&token) {
        assert_eq!(claims.json.get().as_bytes(), payload.trim_ascii());
        assert!(claims.expires_at > UNIX_EPOCH + Duration::from_secs(NOW - 30));
    }
});
