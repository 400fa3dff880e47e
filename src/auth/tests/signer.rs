//! Signs tokens, with the crate `jsonwebtoken` where they are as they should be, and with keys of its own making.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::super::keys;
use crate::config::JwtAlgorithm;

/// A private key, or a secret, and its algorithm.
pub struct Signer {
    pub algorithm: JwtAlgorithm,
    key: EncodingKey,
    /// The public key: SubjectPublicKeyInfo. Of a secret nothing.
    pub spki: Vec<u8>,
    /// The public key: its own members of a JWK.
    pub jwk: Value,
}

/// RSA keys take a while to make: one does for all tests.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

impl Signer {
    pub fn secret(algorithm: JwtAlgorithm, secret: &[u8]) -> Self {
        Self {
            algorithm,
            key: EncodingKey::from_secret(secret),
            spki: Vec::new(),
            jwk: json!({ "kty": "oct", "k": encode(secret) }),
        }
    }

    /// A new key for the algorithm; RSA: always the same.
    pub fn new(algorithm: JwtAlgorithm) -> Self {
        match algorithm {
            JwtAlgorithm::Es256 => ec(algorithm, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            JwtAlgorithm::Es384 => ec(algorithm, &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            JwtAlgorithm::EdDsa => ed25519(),
            _ => rsa(algorithm, &RSA),
        }
    }

    /// A token, as the crate makes it.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(None, claims)
    }

    /// A token that names its key.
    pub fn sign_as(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.crates_algorithm());
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// Signs this header and this payload, whatever they are.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.crates_algorithm()).unwrap();
        format!("{message}.{signature}")
    }

    /// The public key as a file.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// The public key as a member of a JWKS, with further members.
    pub fn jwk(&self, kid: &str, more: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = kid.into();
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    fn crates_algorithm(&self) -> jsonwebtoken::Algorithm {
        keys::name(self.algorithm).parse().unwrap()
    }
}

/// The text of a part of a token.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7468.
pub fn pem(label: &str, der: &[u8]) -> String {
    let lines = STANDARD.encode(der);
    let lines: Vec<_> = lines
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn ec(algorithm: JwtAlgorithm, curve: &'static EcdsaSigningAlgorithm, crv: &str) -> Signer {
    let pair = EcdsaKeyPair::generate(curve).unwrap();
    let (x, y) = {
        let point = &pair.public_key().as_ref()[1..];
        point.split_at(point.len() / 2)
    };
    Signer {
        algorithm,
        key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
        spki: pair.public_key().as_der().unwrap().as_ref().to_vec(),
        jwk: json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) }),
    }
}

fn ed25519() -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    Signer {
        algorithm: JwtAlgorithm::EdDsa,
        key: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()),
        spki: pair.public_key().as_der().unwrap().as_ref().to_vec(),
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) }),
    }
}

fn rsa(algorithm: JwtAlgorithm, pair: &RsaKeyPair) -> Signer {
    let private = pair.as_der().unwrap();
    let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    Signer {
        algorithm,
        key: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap(),
        spki: pair.public_key().as_der().unwrap().as_ref().to_vec(),
        jwk: json!({ "kty": "RSA", "n": encode(components.n), "e": encode(components.e) }),
    }
}
