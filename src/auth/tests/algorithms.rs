//! Keys, and the algorithms that they are used with.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::keys::{JwkError, Key, algorithm, name};
use super::super::{KeyError, TokenError, Verifier};
use super::signer::{Signer, encode, pem};
use super::{SECRET, claims, verify, with_file, with_secret};
use crate::config::JwtAlgorithm::{self, *};

const SYMMETRIC: [JwtAlgorithm; 3] = [Hs256, Hs384, Hs512];
const ASYMMETRIC: [JwtAlgorithm; 9] = [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDsa];

/// A verifier for the public key of a PEM file with this text.
fn from_pem(text: &str, algorithms: &[JwtAlgorithm]) -> Result<Verifier, KeyError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    std::fs::write(&file, text).unwrap();
    let mut config = with_file(&file);
    config.algorithms = algorithms.to_vec();
    Verifier::new(&config)
}

fn from_secret(algorithms: &[JwtAlgorithm]) -> Verifier {
    let mut config = with_secret();
    config.algorithms = algorithms.to_vec();
    Verifier::new(&config).unwrap()
}

fn error(verifier: &Verifier, token: &str) -> Option<TokenError> {
    verify(verifier, token).err()
}

#[test]
fn each_algorithm_verifies_what_another_implementation_signs() {
    for algorithm in SYMMETRIC {
        let token = Signer::secret(algorithm, SECRET.as_bytes()).sign(&claims());
        assert_eq!(error(&from_secret(&[algorithm]), &token), None, "{algorithm:?}");
    }
    for algorithm in ASYMMETRIC {
        let signer = Signer::new(algorithm);
        let verifier = from_pem(&signer.pem(), &[algorithm]).unwrap();
        assert_eq!(error(&verifier, &signer.sign(&claims())), None, "{algorithm:?}");
    }
}

#[test]
fn without_configuration_a_key_has_one_algorithm() {
    for algorithm in SYMMETRIC {
        let token = Signer::secret(algorithm, SECRET.as_bytes()).sign(&claims());
        let expected = (algorithm != Hs256).then_some(TokenError::Algorithm);
        assert_eq!(error(&from_secret(&[]), &token), expected, "{algorithm:?}");
    }
    for algorithm in ASYMMETRIC {
        let signer = Signer::new(algorithm);
        let verifier = from_pem(&signer.pem(), &[]).unwrap();
        let is_default = [Rs256, Es256, Es384, EdDsa].contains(&algorithm);
        let expected = (!is_default).then_some(TokenError::Algorithm);
        assert_eq!(
            error(&verifier, &signer.sign(&claims())),
            expected,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let public = Signer::new(Es256);
    for verifier in [
        from_secret(&[]),
        from_secret(&SYMMETRIC),
        from_pem(&public.pem(), &[]).unwrap(),
    ] {
        for none in ["none", "None", "NONE", "nOnE", ""] {
            let header = encode(json!({ "alg": none, "typ": "JWT" }).to_string());
            let message = format!("{header}.{}", encode(claims().to_string()));
            for signature in ["", "AA", "none"] {
                let token = format!("{message}.{signature}");
                assert_eq!(error(&verifier, &token), Some(TokenError::Algorithm), "{none}");
            }
        }
    }
    // Of an algorithm that is accepted, yet not there.
    for (alg, verifier) in [
        ("HS256", from_secret(&[])),
        ("ES256", from_pem(&public.pem(), &[]).unwrap()),
    ] {
        let header = encode(json!({ "alg": alg }).to_string());
        let token = format!("{header}.{}.", encode(claims().to_string()));
        assert_eq!(error(&verifier, &token), Some(TokenError::Signature));
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    for algorithm in [Rs256, Es256, Es384, EdDsa] {
        let signer = Signer::new(algorithm);
        let verifier = from_pem(&signer.pem(), &[]).unwrap();
        let pem = signer.pem();
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &signer.spki] {
            for hash in SYMMETRIC {
                let token = Signer::secret(hash, secret).sign(&claims());
                assert_eq!(error(&verifier, &token), Some(TokenError::Algorithm));
                // The same signature under the key's own name.
                let forged = Signer::secret(hash, secret).sign_text(
                    &json!({ "alg": name(algorithm) }).to_string(),
                    &claims().to_string(),
                );
                assert_eq!(error(&verifier, &forged), Some(TokenError::Signature));
            }
        }
    }
}

#[test]
fn a_token_is_verified_by_the_algorithm_that_it_names() {
    let signer = Signer::new(Rs256);
    let verifier = from_pem(&signer.pem(), &[Rs256, Ps256]).unwrap();
    let token = signer.sign_text(r#"{"alg":"PS256"}"#, &claims().to_string());
    assert_eq!(error(&verifier, &token), Some(TokenError::Signature));
    let token = Signer::new(Rs384).sign(&claims());
    assert_eq!(error(&verifier, &token), Some(TokenError::Algorithm));
    for misspelt in ["rs256", "RS256 ", "Rs256", "EDDSA", "RSA"] {
        let header = json!({ "alg": misspelt }).to_string();
        let token = signer.sign_text(&header, &claims().to_string());
        assert_eq!(
            error(&verifier, &token),
            Some(TokenError::Algorithm),
            "{misspelt}"
        );
    }
}

#[test]
fn a_key_of_the_token_s_own_is_ignored() {
    let (ours, theirs) = (Signer::new(Es256), Signer::new(Es256));
    let verifier = from_pem(&ours.pem(), &[]).unwrap();
    let header = json!({
        "alg": "ES256",
        "jwk": theirs.jwk("a", &json!({})),
        "jku": "http://127.0.0.1:1/jwks.json",
        "x5c": [encode(&theirs.spki)],
        "x5u": "http://127.0.0.1:1/",
    })
    .to_string();
    let token = theirs.sign_text(&header, &claims().to_string());
    assert_eq!(error(&verifier, &token), Some(TokenError::Signature));
    let token = ours.sign_text(&header, &claims().to_string());
    assert_eq!(error(&verifier, &token), None);
}

#[test]
fn a_kid_means_nothing_to_a_fixed_key() {
    let signer = Signer::new(EdDsa);
    let verifier = from_pem(&signer.pem(), &[]).unwrap();
    assert_eq!(
        error(&verifier, &signer.sign_as(Some("../../dev/null"), &claims())),
        None
    );
}

#[test]
fn keys_that_cannot_be_used_are_told_by_their_option() {
    let signer = Signer::new(Es256);
    let private = pem("PRIVATE KEY", b"\x30\x00");
    let text = |result: Result<Verifier, KeyError>| match result {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    };
    for wrong in [
        text(from_pem("", &[])),
        text(from_pem(&signer.pem().replace('M', "?"), &[])),
        text(from_pem(&pem("PUBLIC KEY", &signer.spki[1..]), &[])),
        text(from_pem(&pem("PUBLIC KEY", RSA_1024), &[])),
        text(from_pem(&pem("PUBLIC KEY", SECP256K1), &[])),
        text(from_pem(&pem("CERTIFICATE", &signer.spki), &[])),
    ] {
        assert!(wrong.contains("holds no public key"), "{wrong}");
        assert!(
            wrong.contains("--jwt-public-key (ROWCAST_JWT_PUBLIC_KEY)"),
            "{wrong}"
        );
    }
    for both in [private.clone(), format!("{}{private}", signer.pem())] {
        assert!(text(from_pem(&both, &[])).contains("holds a private key"));
    }
    let missing = Verifier::new(&with_file(&PathBuf::from("/nonexistent/key.pem")));
    assert!(text(missing).contains("/nonexistent/key.pem can't be read: entity not found"));
    let wrong = text(from_pem(&signer.pem(), &[Es256, Es384]));
    assert!(wrong.contains("ES384 does not go with"), "{wrong}");
    assert!(
        wrong.contains("--jwt-algorithms (ROWCAST_JWT_ALGORITHMS)"),
        "{wrong}"
    );

    let mut config = with_secret();
    config.keys = crate::config::KeySource::Secret(SECRET[..63].to_owned().into());
    config.algorithms = vec![Hs256, Hs512];
    let short = text(Verifier::new(&config));
    assert_eq!(
        short,
        "--jwt-secret (ROWCAST_JWT_SECRET) must have 64 bytes or more for HS512"
    );
    assert!(!short.contains(&SECRET[..63]));
}

fn from_jwk(jwk: &Value, accepted: &[JwtAlgorithm]) -> Result<Vec<JwtAlgorithm>, JwkError> {
    let key = Key::from_jwk(jwk.as_object().unwrap(), accepted)?;
    let all = SYMMETRIC.into_iter().chain(ASYMMETRIC);
    Ok(all.filter(|algorithm| key.allows(*algorithm)).collect())
}

#[test]
fn a_published_key_is_used_as_it_says_and_as_we_accept() {
    let (rsa, p256, p384, ed) = (
        Signer::new(Rs256),
        Signer::new(Es256),
        Signer::new(Es384),
        Signer::new(EdDsa),
    );
    let of =
        |signer: &Signer, more: Value, accepted: &[JwtAlgorithm]| from_jwk(&signer.jwk("a", &more), accepted);
    assert_eq!(of(&rsa, json!({}), &ASYMMETRIC), Ok(ASYMMETRIC[..6].to_vec()));
    assert_eq!(of(&rsa, json!({}), &[Rs256, Es256]), Ok(vec![Rs256]));
    assert_eq!(of(&rsa, json!({ "alg": "PS384" }), &ASYMMETRIC), Ok(vec![Ps384]));
    assert_eq!(of(&p256, json!({}), &ASYMMETRIC), Ok(vec![Es256]));
    assert_eq!(of(&p384, json!({}), &ASYMMETRIC), Ok(vec![Es384]));
    assert_eq!(of(&ed, json!({ "use": "sig" }), &ASYMMETRIC), Ok(vec![EdDsa]));
    assert_eq!(
        of(&ed, json!({ "key_ops": ["sign", "verify"] }), &ASYMMETRIC),
        Ok(vec![EdDsa])
    );

    let other = Err(JwkError::NotAccepted);
    assert_eq!(of(&rsa, json!({ "alg": "PS384" }), &[Rs256]), other);
    assert_eq!(of(&rsa, json!({ "alg": "RSA-OAEP" }), &ASYMMETRIC), other);
    assert_eq!(of(&p256, json!({ "alg": "ES384" }), &ASYMMETRIC), other);
    assert_eq!(of(&p256, json!({ "alg": 7 }), &ASYMMETRIC), other);
    assert_eq!(of(&p384, json!({}), &[Rs256, Es256, EdDsa]), other);
    assert_eq!(of(&p256, json!({ "crv": "P-521" }), &ASYMMETRIC), other);
    assert_eq!(of(&ed, json!({ "crv": "Ed448" }), &ASYMMETRIC), other);
    assert_eq!(of(&ed, json!({ "kty": "EC" }), &ASYMMETRIC), other);
    assert_eq!(of(&rsa, json!({ "kty": "rsa" }), &ASYMMETRIC), other);
    for more in [
        json!({ "use": "enc" }),
        json!({ "use": null }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": "verify" }),
    ] {
        assert_eq!(of(&rsa, more, &ASYMMETRIC), Err(JwkError::OtherUse));
    }
    let secret = Signer::secret(Hs256, SECRET.as_bytes());
    let all: Vec<_> = SYMMETRIC.into_iter().chain(ASYMMETRIC).collect();
    assert_eq!(of(&secret, json!({}), &all), Err(JwkError::Private));
    assert_eq!(of(&p256, json!({ "d": "AA" }), &all), Err(JwkError::Private));
}

#[test]
fn a_published_key_with_unusable_parameters_is_left_out() {
    let p256 = Signer::new(Es256);
    let (rsa, ed) = (Signer::new(Rs256), Signer::new(EdDsa));
    let small = RSA_1024;
    for (signer, more) in [
        // Not on the curve; too short; too long; not base64url; not there.
        (&p256, json!({ "x": encode([1; 32]) })),
        (&p256, json!({ "x": encode([1; 31]) })),
        (&p256, json!({ "y": encode([0; 33]) })),
        (&p256, json!({ "x": "+/+/" })),
        (&p256, json!({ "x": null })),
        (&ed, json!({ "x": encode([1; 31]) })),
        (&ed, json!({ "x": encode(&ed.spki) })),
        // 1,024 bits; 8,200 bits; nothing; a length that zeros before it make up.
        (
            &rsa,
            json!({ "n": encode(&small[small.len() - 133..small.len() - 5]) }),
        ),
        (&rsa, json!({ "n": encode([0xff; 1025]) })),
        (&rsa, json!({ "n": encode([0; 256]) })),
        (
            &rsa,
            json!({ "n": encode([&[0; 128][..], &[0xff; 128]].concat()) }),
        ),
        (&rsa, json!({ "n": "" })),
        // With these exponents anybody signs, or nobody.
        (&rsa, json!({ "e": "AQ" })),
        (&rsa, json!({ "e": "Ag" })),
        (&rsa, json!({ "e": "" })),
        (&rsa, json!({ "e": encode([0xff; 256]) })),
    ] {
        let jwk = signer.jwk("a", &more);
        assert_eq!(from_jwk(&jwk, &ASYMMETRIC), Err(JwkError::Unusable), "{more}");
    }
}

#[test]
fn the_examples_of_the_standards_verify() {
    for (jwk, token) in EXAMPLES {
        let jwk: Value = serde_json::from_str(jwk).unwrap();
        let key = Key::from_jwk(jwk.as_object().unwrap(), &ASYMMETRIC).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decode(message.split_once('.').unwrap().0)).unwrap();
        let alg = algorithm(header["alg"].as_str().unwrap()).unwrap();
        assert!(
            key.verifies(alg, message.as_bytes(), &decode(signature)),
            "{alg:?}"
        );
        assert!(
            !key.verifies(alg, &message.as_bytes()[1..], &decode(signature)),
            "{alg:?}"
        );
    }
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

/// RFC 7515, A.2 and A.3; RFC 8037, A.4.
const EXAMPLES: [(&str, &str); 3] = [
    (
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
];

/// `openssl genrsa 1024 | openssl rsa -pubout -outform DER`
const RSA_1024: &[u8] =
    b"\x30\x81\x9f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8d\x00\x30\x81\x89\
    \x02\x81\x81\x00\xcf\x80\x98\x3d\xaa\xa0\xaf\x2d\x96\x18\xe1\x2c\x7e\x5b\xff\xa7\xc2\xe5\xc4\xca\xbf\
    \x00\x4c\x20\x55\xe0\x17\xb6\x72\x43\x07\xae\x76\x92\xfe\x1e\x98\x47\xe0\xa8\x8e\x5a\xe4\x08\x18\x68\
    \x37\x67\x72\x98\x5e\xaf\xd4\x5a\x5a\xbe\xe4\xa0\x13\xd6\x9c\x74\x39\x6a\x72\xec\x40\x0a\xe3\x00\x1d\
    \x13\x9a\x19\xd4\xf6\x0e\xf8\xb3\x45\x47\x41\xe6\xce\x47\x1b\x0a\xfd\xc6\xfb\xc0\x97\x22\x2c\x6e\xdd\
    \x9a\xe4\x21\xb4\x11\x00\x88\x11\x77\x35\x5d\x01\x41\x74\x7e\xa2\xe2\x11\x39\x1a\x6d\x18\x57\x01\x53\
    \xdf\x54\xba\x95\xca\xe1\x1b\x02\x03\x01\x00\x01";

/// `openssl ecparam -name secp256k1 -genkey -noout | openssl ec -pubout -outform DER`
const SECP256K1: &[u8] =
    b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a\x03\x42\x00\x04\x20\
    \x5a\x16\x6a\x30\x42\x8f\x46\x20\xa1\xc8\xed\x3f\x63\x00\xe1\x36\xf2\xb9\xc2\x80\x6a\xeb\x72\xd1\xe9\
    \x4c\x32\xde\x1d\xdc\x8f\x80\x64\xce\x1c\xcf\xca\x38\x92\x54\xba\x50\x6b\xf6\x27\x2e\xa6\x34\x6a\xe9\
    \xcb\x6f\x5c\xdb\x94\xd4\x35\xa2\xc3\xda\xbf\x04\x61";
