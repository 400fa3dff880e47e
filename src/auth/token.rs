//! Tokens: JSON Web Tokens in their compact form (RFC 7519; RFC 7515, 7.1), verified.
//!
//! The order is the safety: size, form, algorithm (of the configuration's, before any key is looked for), key, signature,
//! and only then the claims. Of the header `alg`, `kid` and `crit` are read; keys that a token brings along or points to
//! (`jwk`, `jku`, `x5c`, `x5u`) are ignored, like everything else in it.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::{Claims, Rules};
use super::json;
use super::jwks::Jwks;
use super::keys::{self, Key, KeyError};
use crate::config::{JwtAlgorithm, JwtConfig, KeySource};

/// Bytes of a token at most. What carries it, a header or a cookie, is seldom allowed more.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why a token is refused. The texts are stable, and contain nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or one with a part or claim that is not what it must be: which.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// No key made its signature.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its `alg` is not accepted, or not with its key.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// `iss` is not the configured one.
    #[error("the token is of another issuer")]
    Issuer,
    /// `aud` does not contain the configured one, or there is one and none is configured.
    #[error("the token is for another audience")]
    Audience,
    /// Its issuer publishes no key with its `kid`.
    #[error("the token's key is unknown")]
    KeyUnknown,
    /// The issuer's keys can't be had: not the token's fault.
    #[error("the keys of tokens can't be fetched at present")]
    KeysUnavailable,
}

/// Verifies tokens as the configuration wants them.
pub struct Verifier {
    keys: Keys,
    rules: Rules,
}

/// Where the keys are.
enum Keys {
    /// Of the configuration.
    Fixed(Key),
    /// Of the issuer.
    Published(Box<Jwks>),
}

impl Verifier {
    /// Loads the configured key. Keys of a JWKS are fetched by [`Verifier::refresh_forever`].
    ///
    /// # Errors
    /// The key can't be read or used, in one line that names its flag and variable.
    pub fn new(config: &JwtConfig) -> Result<Self, KeyError> {
        let keys = match &config.keys {
            KeySource::Secret(secret) => Keys::Fixed(Key::from_secret(secret, &config.algorithms)?),
            KeySource::PublicKey(file) => Keys::Fixed(Key::from_file(file, &config.algorithms)?),
            KeySource::Jwks(url) => Keys::Published(Box::new(Jwks::new(url, &config.algorithms)?)),
        };
        Ok(Self {
            keys,
            rules: Rules::new(config),
        })
    }

    /// Keeps the keys of a JWKS fresh; never returns. Without it they are never fetched, and all tokens are refused with
    /// [`TokenError::KeysUnavailable`]. With a fixed key it only waits. To be run once.
    pub async fn refresh_forever(&self) {
        match &self.keys {
            Keys::Fixed(_) => std::future::pending().await,
            Keys::Published(jwks) => jwks.refresh_forever().await,
        }
    }

    /// What the token says, if all of it is good now. Waits only for keys of a JWKS, when they are not there or its `kid`
    /// is unknown: no longer than a request to the issuer may take (5 s).
    ///
    /// # Errors
    /// The first rule that the token breaks. [`TokenError::KeysUnavailable`] says nothing about the token.
    pub async fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.verify_at(token, SystemTime::now()).await
    }

    /// [`Verifier::verify`], at a time of the caller's.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_at(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let token = Token::parse(token)?;
        match &self.keys {
            Keys::Fixed(key) => token.verify(std::iter::once(key))?,
            Keys::Published(jwks) if !jwks.accepts(token.algorithm) => return Err(TokenError::Algorithm),
            Keys::Published(jwks) => {
                let kid = token.kid.as_deref();
                token.verify(jwks.keys(kid).await?.with(kid))?;
            }
        }
        self.rules.check(token.payload, now)
    }
}

/// A token that has the form of one. Nothing of it is true yet.
struct Token<'a> {
    algorithm: JwtAlgorithm,
    kid: Option<String>,
    /// What is signed: header and payload, as they came.
    message: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn parse(text: &'a str) -> Result<Self, TokenError> {
        let malformed = |part| move || TokenError::Malformed(part);
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it is longer than 8 KiB"));
        }
        // More dots end up in the payload, whose alphabet has none.
        let (message, signature) = text.rsplit_once('.').ok_or_else(malformed("its form"))?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed("its form"))?;
        let header = decode(header)
            .and_then(|bytes| json::object(&bytes))
            .ok_or_else(malformed("its header"))?;
        // What the signer deems critical we would have to understand (RFC 7515, 4.1.11); there is nothing we do.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed("its crit"));
        }
        let name = header
            .get("alg")
            .and_then(Value::as_str)
            .ok_or_else(malformed("its alg"))?;
        let kid = header
            .get("kid")
            .map(|kid| kid.as_str().ok_or_else(malformed("its kid")))
            .transpose()?;
        Ok(Self {
            algorithm: keys::algorithm(name).ok_or(TokenError::Algorithm)?,
            kid: kid.map(str::to_owned),
            message,
            payload: decode(payload).ok_or_else(malformed("its payload"))?,
            signature: decode(signature).ok_or_else(malformed("its signature"))?,
        })
    }

    /// # Errors
    /// None of the keys may be used with its algorithm, or none made its signature.
    fn verify<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Result<(), TokenError> {
        let mut error = TokenError::Algorithm;
        for key in keys.filter(|key| key.allows(self.algorithm)) {
            if key.verifies(self.algorithm, self.message.as_bytes(), &self.signature) {
                return Ok(());
            }
            error = TokenError::Signature;
        }
        Err(error)
    }
}

/// Base64url without padding, and with only one text for the same bytes (RFC 7515, 2; RFC 4648, 3.5).
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
