//! Keys that signatures are verified with. Which algorithms a key is used with is settled when it is loaded, from what it
//! is and what the configuration accepts. A token names one of them, and never adds any: a public key is no HMAC secret
//! here whatever a token says (RFC 8725, 2.1 and 3.1).
//!
//! The signatures are aws-lc's work. The parts around it are ours rather than a JWT crate's, because those at hand read
//! tokens more generously than this one may: repeated members, unknown `crit`, claims of the wrong type.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use crate::config::{JwtAlgorithm, Secret};

/// Modulus sizes of RSA, in bits: at least what RFC 7518, 3.3 asks for, at most what is verified in reasonable time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bits of RSA's exponent at most. It is 65,537 nearly everywhere; the longer, the slower (BoringSSL's bound, too).
const MAX_EXPONENT_BITS: usize = 33;

/// Why the configured keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key shorter than the hash's output (RFC 7518, 3.2).
    #[error("--jwt-secret (ROWCAST_JWT_SECRET) must have {bytes} bytes or more for {algorithm}")]
    ShortSecret { bytes: usize, algorithm: String },
    /// The file of the public key can't be read.
    #[error("--jwt-public-key (ROWCAST_JWT_PUBLIC_KEY): {file} can't be read: {reason}")]
    Unreadable {
        file: String,
        reason: std::io::ErrorKind,
    },
    /// The file holds a private key, which has no business here.
    #[error(
        "--jwt-public-key (ROWCAST_JWT_PUBLIC_KEY): {file} holds a private key; give the public one alone: openssl \
         pkey -in {file} -pubout"
    )]
    Private { file: String },
    /// The file holds no public key of a kind that we know.
    #[error(
        "--jwt-public-key (ROWCAST_JWT_PUBLIC_KEY): {file} holds no public key in PEM (\"BEGIN PUBLIC KEY\") that is RSA \
         of 2,048 to 8,192 bits, P-256, P-384 or Ed25519"
    )]
    NoPublicKey { file: String },
    /// An algorithm is accepted that the key can't be used with.
    #[error(
        "--jwt-algorithms (ROWCAST_JWT_ALGORITHMS): {algorithm} does not go with the key of --jwt-public-key \
         (ROWCAST_JWT_PUBLIC_KEY), which is for {possible}"
    )]
    Mismatch { algorithm: String, possible: String },
    /// No client for the JWKS endpoint.
    #[error(
        "--jwks-url (ROWCAST_JWKS_URL): requests can't be prepared; are the system's CA certificates installed?"
    )]
    Client(#[source] reqwest::Error),
}

/// Why a key of a JWKS is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwkError {
    #[error("it is not a JSON object, or has a member twice")]
    Malformed,
    #[error("it is a private or a secret key")]
    Private,
    #[error("it is not for verifying signatures (use, key_ops)")]
    OtherUse,
    #[error("its type, curve or alg is none that is accepted")]
    NotAccepted,
    #[error("its parameters are unusable")]
    Unusable,
}

/// The name of an algorithm, as tokens have it.
pub(super) fn name(algorithm: JwtAlgorithm) -> String {
    let value = algorithm.to_possible_value();
    value.expect("no algorithm is hidden").get_name().to_owned()
}

/// The algorithm of that name, in exactly these letters.
pub(super) fn algorithm(name: &str) -> Option<JwtAlgorithm> {
    JwtAlgorithm::from_str(name, false).ok()
}

/// Verifies signatures with the algorithms that it was loaded for.
pub(super) struct Key(Vec<(JwtAlgorithm, Check)>);

enum Check {
    Mac(Box<hmac::Key>),
    Signature(Box<ParsedPublicKey>),
}

impl Key {
    /// A shared secret: the bytes of its text. HS256 alone unless other algorithms are configured.
    ///
    /// # Errors
    /// It is too short for one of them.
    pub(super) fn from_secret(secret: &Secret, configured: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        let secret = secret.expose().as_bytes();
        let check = |algorithm| {
            let hash = match algorithm {
                JwtAlgorithm::Hs384 => hmac::HMAC_SHA384,
                JwtAlgorithm::Hs512 => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            if secret.len() < hash.tag_len() {
                return Err(KeyError::ShortSecret {
                    bytes: hash.tag_len(),
                    algorithm: name(algorithm),
                });
            }
            Ok((algorithm, Check::Mac(Box::new(hmac::Key::new(hash, secret)))))
        };
        or_default(configured, &[JwtAlgorithm::Hs256])
            .iter()
            .filter(|algorithm| algorithm.is_symmetric())
            .map(|algorithm| check(*algorithm))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The public key of a PEM file. The first of its kind's algorithms alone unless others are configured.
    ///
    /// # Errors
    /// What is wrong with the file, or an algorithm that does not go with the key.
    pub(super) fn from_file(path: &Path, configured: &[JwtAlgorithm]) -> Result<Self, KeyError> {
        let file = path.display().to_string();
        let pem = std::fs::read(path).map_err(|error| KeyError::Unreadable {
            file: file.clone(),
            reason: error.kind(),
        })?;
        if memchr::memmem::find(&pem, b"PRIVATE KEY-----").is_some() {
            return Err(KeyError::Private { file });
        }
        let Some(public) = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
            .ok()
            .and_then(|der| Public::from_spki(&der))
        else {
            return Err(KeyError::NoPublicKey { file });
        };
        let possible = public.algorithms();
        let accepted = or_default(configured, &possible[..1]);
        if let Some(wrong) = accepted.iter().find(|algorithm| !possible.contains(algorithm)) {
            let names: Vec<_> = possible.iter().map(|algorithm| name(*algorithm)).collect();
            return Err(KeyError::Mismatch {
                algorithm: name(*wrong),
                possible: names.join(", "),
            });
        }
        public.key(accepted).ok_or(KeyError::NoPublicKey { file })
    }

    /// A key of a JWKS (RFC 7517, 4), for those of the `accepted` algorithms that its `kty`, `crv` and `alg` allow.
    ///
    /// # Errors
    /// Why it can't be used.
    pub(super) fn from_jwk(jwk: &Map<String, Value>, accepted: &[JwtAlgorithm]) -> Result<Self, JwkError> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        // One that anyone can read can't tell who signed.
        if jwk.contains_key("d") || text("kty") == Some("oct") {
            return Err(JwkError::Private);
        }
        let other_use = jwk.get("use").is_some_and(|purpose| purpose != "sig");
        let other_operations = jwk.get("key_ops").is_some_and(|operations| {
            operations
                .as_array()
                .is_none_or(|list| !list.iter().any(|operation| operation == "verify"))
        });
        if other_use || other_operations {
            return Err(JwkError::OtherUse);
        }
        let bytes = |name| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        let public = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => bytes("n").zip(bytes("e")).map(|(n, e)| Public::Rsa(n, e)),
            (Some("EC"), Some("P-256")) => point(bytes("x"), bytes("y"), 32).map(Public::P256),
            (Some("EC"), Some("P-384")) => point(bytes("x"), bytes("y"), 48).map(Public::P384),
            (Some("OKP"), Some("Ed25519")) => bytes("x").filter(|x| x.len() == 32).map(Public::Ed25519),
            _ => return Err(JwkError::NotAccepted),
        };
        let public = public.ok_or(JwkError::Unusable)?;
        let own: Vec<_> = public
            .algorithms()
            .iter()
            .copied()
            .filter(|possible| accepted.contains(possible))
            .filter(|possible| jwk.get("alg").is_none_or(|only| *only == name(*possible)))
            .collect();
        if own.is_empty() {
            return Err(JwkError::NotAccepted);
        }
        public.key(&own).ok_or(JwkError::Unusable)
    }

    /// Whether it may be used with the algorithm.
    pub(super) fn allows(&self, algorithm: JwtAlgorithm) -> bool {
        self.0.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether `signature` is this key's of `message`, by `algorithm`. The time that it takes tells nothing of a secret.
    pub(super) fn verifies(&self, algorithm: JwtAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|(own, check)| {
            *own == algorithm
                && match check {
                    Check::Mac(key) => hmac::verify(key, message, signature).is_ok(),
                    Check::Signature(key) => key.verify_sig(message, signature).is_ok(),
                }
        })
    }
}

fn or_default<'a>(configured: &'a [JwtAlgorithm], default: &'a [JwtAlgorithm]) -> &'a [JwtAlgorithm] {
    match configured.is_empty() {
        true => default,
        false => configured,
    }
}

/// An uncompressed point (SEC 1, 2.3.3) of coordinates that have all of their bytes (RFC 7518, 6.2.1.2).
fn point(x: Option<Vec<u8>>, y: Option<Vec<u8>>, bytes: usize) -> Option<Vec<u8>> {
    let (x, y) = x.zip(y)?;
    (x.len() == bytes && y.len() == bytes).then(|| [&[4][..], &x, &y].concat())
}

/// A public key, in the form that aws-lc reads.
enum Public {
    /// Modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Public {
    /// A SubjectPublicKeyInfo (RFC 5280, 4.1); `None` for a kind that we do not know.
    fn from_spki(der: &[u8]) -> Option<Self> {
        if let Ok(key) = rsa::PublicKey::from_der(der) {
            let RsaPublicKeyComponents { n, e } = (&key).into();
            return Some(Self::Rsa(n, e));
        }
        [Self::P256, Self::P384, Self::Ed25519]
            .into_iter()
            .map(|kind| kind(der.to_owned()))
            .find(|public| public.key(&public.algorithms()[..1]).is_some())
    }

    /// What such a key can be used with, its default first.
    fn algorithms(&self) -> &'static [JwtAlgorithm] {
        use JwtAlgorithm::*;
        match self {
            Self::Rsa(..) => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Self::P256(_) => &[Es256],
            Self::P384(_) => &[Es384],
            Self::Ed25519(_) => &[EdDsa],
        }
    }

    /// The key for these of its algorithms; `None` where it is no valid key (not on its curve, of a wrong size).
    fn key(&self, algorithms: &[JwtAlgorithm]) -> Option<Key> {
        let check = |algorithm| {
            let parsed = match self {
                Self::Rsa(n, e) => {
                    let (n, e) = (without_zeros(n), without_zeros(e));
                    // aws-lc looks at neither before it verifies. With 1 for its exponent anybody signs.
                    let is_exponent = e.last().is_some_and(|last| last % 2 == 1) && e != [1];
                    if !RSA_BITS.contains(&bits(n)) || !is_exponent || bits(e) > MAX_EXPONENT_BITS {
                        return None;
                    }
                    RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?)
                }
                Self::P256(key) => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key),
                Self::P384(key) => ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, key),
                Self::Ed25519(key) => ParsedPublicKey::new(&signature::ED25519, key),
            };
            Some((algorithm, Check::Signature(Box::new(parsed.ok()?))))
        };
        let checks: Option<_> = algorithms.iter().map(|algorithm| check(*algorithm)).collect();
        checks.map(Key)
    }
}

/// A big-endian number without the zeros before it.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The length of such a number.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    8 * number.len() - unused as usize
}

fn rsa_parameters(algorithm: JwtAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        JwtAlgorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        JwtAlgorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        JwtAlgorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        JwtAlgorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        JwtAlgorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        JwtAlgorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}
