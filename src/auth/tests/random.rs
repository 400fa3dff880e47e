//! Tokens from chance: changed ones never verify, and nothing panics. `PROPTEST_CASES` sets how many are tried.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Verifier;
use super::signer::Signer;
use super::{NOW, SECRET, verify, with_file, with_secret};
use crate::config::JwtAlgorithm;

/// Verifiers of a fixed key, each with a good token.
static GOOD: LazyLock<Vec<(Verifier, String)>> = LazyLock::new(|| {
    let claims = json!({ "exp": NOW + 60, "sub": "7", "rooms": { "read": ["a*"], "publish": ["b"] } });
    let secret = Signer::secret(JwtAlgorithm::Hs256, SECRET.as_bytes());
    let mut good = vec![(Verifier::new(&with_secret()).unwrap(), secret.sign(&claims))];
    for algorithm in [JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa] {
        let signer = Signer::new(algorithm);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem");
        std::fs::write(&file, signer.pem()).unwrap();
        good.push((Verifier::new(&with_file(&file)).unwrap(), signer.sign(&claims)));
    }
    good
});

/// What can be done to a token's text.
#[derive(Clone, Debug)]
enum Change {
    /// Another character in its place, of the alphabet and of what is near it.
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, String),
    Remove(prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index),
    /// One part of another good token in the place of this one's.
    Graft(usize, usize),
}

impl Change {
    fn apply(&self, token: &str) -> String {
        let mut chars: Vec<char> = token.chars().collect();
        if chars.is_empty() {
            return String::new();
        }
        match self {
            Self::Replace(at, with) => {
                let at = at.index(chars.len());
                chars[at] = *with;
            }
            Self::Insert(at, text) => {
                let at = at.index(chars.len() + 1);
                chars.splice(at..at, text.chars());
            }
            Self::Remove(at, length) => {
                let at = at.index(chars.len());
                chars.drain(at..(at + length).min(chars.len()));
            }
            Self::Swap(one, other) => {
                let (one, other) = (one.index(chars.len()), other.index(chars.len()));
                chars.swap(one, other);
            }
            Self::Graft(part, donor) => {
                let mut parts: Vec<&str> = token.split('.').collect();
                let (_, donor) = &GOOD[donor % GOOD.len()];
                if let Some(own) = parts.get_mut(*part) {
                    *own = donor.split('.').nth(*part).unwrap();
                }
                return parts.join(".");
            }
        }
        chars.into_iter().collect()
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), "[A-Za-z0-9_.=+/ -]")
            .prop_map(|(at, with)| Change::Replace(at, with.chars().next().unwrap())),
        (any::<prop::sample::Index>(), "[A-Za-z0-9_.= -]{1,4}")
            .prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<prop::sample::Index>(), 1..90_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(one, other)| Change::Swap(one, other)),
        (0..3_usize, any::<usize>()).prop_map(|(part, donor)| Change::Graft(part, donor)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 100..NOW + 100).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let member = prop_oneof!["read|publish|sources", ".*"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(member, inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_changed_token_never_verifies(which in 0..4_usize, changes in prop::collection::vec(change(), 1..4)) {
        let (verifier, good) = &GOOD[which];
        let changed = changes.iter().fold(good.clone(), |token, change| change.apply(&token));
        prop_assert_eq!(verify(verifier, &changed).is_ok(), changed == *good, "{}", changed);
    }

    #[test]
    fn another_key_s_token_never_verifies(which in 0..4_usize, other in 0..4_usize) {
        prop_assert_eq!(verify(&GOOD[which].0, &GOOD[other].1).is_ok(), which == other);
    }

    #[test]
    fn text_of_any_kind_is_refused(text in ".*|[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*") {
        for (verifier, _) in GOOD.iter() {
            prop_assert!(verify(verifier, &text).is_err());
        }
    }

    #[test]
    fn a_signed_header_of_any_kind_does_no_harm(header in any_json(), payload in any_json()) {
        let signer = Signer::secret(JwtAlgorithm::Hs256, SECRET.as_bytes());
        let token = signer.sign_text(&header.to_string(), &payload.to_string());
        prop_assert!(verify(&GOOD[0].0, &token).is_err(), "a header without alg");
    }

    #[test]
    fn signed_claims_of_any_kind_are_refused_or_kept(
        names in prop::collection::btree_map("exp|nbf|sub|aud|iss|rooms|.*", any_json(), 0..5),
    ) {
        let mut claims = Value::Object(names.into_iter().collect());
        if claims.get("exp").is_none() {
            claims["exp"] = (NOW + 60).into();
        }
        let token = Signer::secret(JwtAlgorithm::Hs256, SECRET.as_bytes()).sign(&claims);
        if let Ok(good) = verify(&GOOD[0].0, &token) {
            prop_assert!(claims["exp"].as_f64().unwrap() > (NOW - 30) as f64);
            prop_assert!(claims.get("aud").is_none_or(Value::is_null));
            prop_assert_eq!(good.subject.as_deref(), claims.get("sub").and_then(Value::as_str));
            prop_assert_eq!(good.json.get(), claims.to_string());
        }
    }
}
