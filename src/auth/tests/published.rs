//! Keys of an issuer's endpoint, which changes, hangs, lies and disappears.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::{TokenError, Verifier};
use super::endpoint::{Answer, Endpoint};
use super::signer::Signer;
use super::{SECRET, claims, config, now};
use crate::config::JwtAlgorithm::{self, *};
use crate::config::KeySource;

/// A relay's verifier for the endpoint, with the future that keeps its keys.
fn verifier(endpoint: &Endpoint, algorithms: &[JwtAlgorithm]) -> Arc<Verifier> {
    let mut config = config(KeySource::Jwks(endpoint.url.clone()));
    config.algorithms = algorithms.to_vec();
    let verifier = Arc::new(Verifier::new(&config).unwrap());
    let keeper = Arc::clone(&verifier);
    tokio::spawn(async move { keeper.refresh_forever().await });
    verifier
}

fn named(signer: &Signer, kid: &str) -> Value {
    signer.jwk(kid, &json!({}))
}

async fn error(verifier: &Verifier, token: &str) -> Option<TokenError> {
    verifier.verify_at(token, now()).await.err()
}

async fn error_of(verifier: &Verifier, signer: &Signer, kid: &str) -> Option<TokenError> {
    error(verifier, &signer.sign_as(Some(kid), &claims())).await
}

/// Lets tokio's clock leap. It stands still only here: while it does, a wait for a socket would end in a time-out.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const SECONDS_10: Duration = Duration::from_secs(10);

#[tokio::test]
async fn tokens_are_verified_with_the_published_keys() {
    let signers = [Rs256, Es256, EdDsa].map(Signer::new);
    let keys: Vec<_> = ["r", "e", "d"]
        .iter()
        .zip(&signers)
        .map(|(kid, signer)| named(signer, kid))
        .collect();
    let endpoint = Endpoint::with_keys(&keys).await;
    let verifier = verifier(&endpoint, &[]);
    for (kid, signer) in ["r", "e", "d"].iter().zip(&signers) {
        assert_eq!(error_of(&verifier, signer, kid).await, None);
        assert_eq!(
            error(&verifier, &signer.sign(&claims())).await,
            None,
            "without kid"
        );
    }
    assert_eq!(
        error_of(&verifier, &signers[0], "e").await,
        Some(TokenError::Algorithm)
    );
    let stranger = Signer::new(Es256);
    assert_eq!(
        error_of(&verifier, &stranger, "e").await,
        Some(TokenError::Signature)
    );
    assert_eq!(
        error(&verifier, &stranger.sign(&claims())).await,
        Some(TokenError::Signature)
    );
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn the_algorithms_are_those_of_the_configuration_and_of_the_key() {
    let (rsa, pss) = (Signer::new(Rs256), Signer::new(Ps256));
    let secret = Signer::secret(Hs256, SECRET.as_bytes());
    let keys = [
        rsa.jwk("r", &json!({ "alg": "RS256" })),
        named(&secret, "s"),
        named(&Signer::new(Es384), "e"),
    ];
    let endpoint = Endpoint::with_keys(&keys).await;
    let default = verifier(&endpoint, &[]);
    assert_eq!(error_of(&default, &rsa, "r").await, None);
    assert_eq!(error_of(&default, &pss, "r").await, Some(TokenError::Algorithm));
    assert_eq!(
        error_of(&default, &secret, "s").await,
        Some(TokenError::Algorithm)
    );
    let both = verifier(&endpoint, &[Rs256, Ps256]);
    assert_eq!(error_of(&both, &rsa, "r").await, None);
    assert_eq!(error_of(&both, &pss, "r").await, Some(TokenError::Algorithm));
}

#[tokio::test]
async fn keys_of_one_name_are_told_apart_by_what_they_are() {
    let (rsa, ec) = (Signer::new(Rs256), Signer::new(Es256));
    let endpoint = Endpoint::with_keys(&[named(&rsa, "a"), named(&ec, "a")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &rsa, "a").await, None);
    assert_eq!(error_of(&verifier, &ec, "a").await, None);
}

#[tokio::test]
async fn one_bad_key_does_not_spoil_the_others() {
    let good = Signer::new(Es256);
    let keys = [
        json!(null),
        json!({}),
        json!({ "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "a" }),
        Signer::new(EdDsa).jwk("a", &json!({ "d": "AQ" })),
        named(&good, "a"),
    ];
    let endpoint = Endpoint::with_keys(&keys).await;
    assert_eq!(error_of(&verifier(&endpoint, &[]), &good, "a").await, None);
}

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_names_it_and_an_old_one_is_forgotten() {
    let (old, new) = (Signer::new(Es256), Signer::new(Es256));
    let endpoint = Endpoint::with_keys(&[named(&old, "old")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &old, "old").await, None);
    endpoint.answer(Answer::Keys(vec![named(&new, "new")]));
    pass(SECONDS_10).await;
    assert_eq!(error_of(&verifier, &new, "new").await, None);
    assert_eq!(endpoint.requests(), 2);
    assert_eq!(
        error_of(&verifier, &old, "old").await,
        Some(TokenError::KeyUnknown)
    );
}

#[tokio::test]
async fn keys_are_fetched_again_without_being_asked_for() {
    let signer = Signer::new(Es256);
    let endpoint = Endpoint::with_keys(&[named(&signer, "a")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    endpoint.answer(Answer::Keys(vec![named(&signer, "b")]));
    pass(Duration::from_secs(8 * 60)).await;
    assert_eq!(
        error_of(&verifier, &signer, "a").await,
        None,
        "the pause is 9 minutes or more"
    );
    assert_eq!(endpoint.requests(), 1);
    pass(Duration::from_secs(3 * 60)).await;
    endpoint.wait_for_requests(2).await;
    // The answer is on its way, and waited for.
    assert_eq!(error_of(&verifier, &signer, "b").await, None);
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn fifty_askers_share_one_request() {
    let (old, new) = (Signer::new(Es256), Signer::new(Es256));
    let endpoint = Endpoint::with_keys(&[named(&old, "old")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &old, "old").await, None);
    endpoint.answer(Answer::Keys(vec![named(&new, "new")]));
    pass(SECONDS_10).await;
    endpoint.close();
    let token = new.sign_as(Some("new"), &claims());
    let askers: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { error(&verifier, &token).await })
        })
        .collect();
    endpoint.wait_for_requests(2).await;
    // One that goes away takes nothing with it; who has a known key does not wait.
    askers[0].abort();
    assert_eq!(error_of(&verifier, &old, "old").await, None);
    endpoint.open();
    for asker in askers.into_iter().skip(1) {
        assert_eq!(asker.await.unwrap(), None);
    }
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn unknown_keys_are_asked_for_once_in_ten_seconds() {
    let signer = Signer::new(Es256);
    let endpoint = Endpoint::with_keys(&[named(&signer, "a")]).await;
    let verifier = verifier(&endpoint, &[]);
    for requests in 1..4 {
        for kid in ["b", "c", "d", ""] {
            assert_eq!(
                error_of(&verifier, &signer, kid).await,
                Some(TokenError::KeyUnknown)
            );
        }
        assert_eq!(endpoint.requests(), requests);
        pass(Duration::from_secs(9)).await;
        assert_eq!(
            error_of(&verifier, &signer, "e").await,
            Some(TokenError::KeyUnknown)
        );
        assert_eq!(endpoint.requests(), requests);
        pass(Duration::from_secs(1)).await;
    }
    // What could not be verified anyway asks for nothing.
    let refused = Signer::new(Es384).sign_as(Some("f"), &claims());
    assert_eq!(error(&verifier, &refused).await, Some(TokenError::Algorithm));
    assert_eq!(
        error(&verifier, "a.b.c").await,
        Some(TokenError::Malformed("its header"))
    );
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    assert_eq!(endpoint.requests(), 3);
}

#[tokio::test]
async fn an_endpoint_that_hangs_takes_no_known_key_away() {
    let signer = Signer::new(Es256);
    let endpoint = Endpoint::with_keys(&[named(&signer, "a")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    endpoint.answer(Answer::Silence);
    pass(SECONDS_10).await;
    let asker = {
        let (verifier, token) = (Arc::clone(&verifier), signer.sign_as(Some("b"), &claims()));
        tokio::spawn(async move { error(&verifier, &token).await })
    };
    endpoint.wait_for_requests(2).await;
    let asked_at = tokio::time::Instant::now();
    // From here on nothing but the time-out can happen: the clock leaps to it.
    tokio::time::pause();
    assert_eq!(asker.await.unwrap(), Some(TokenError::KeysUnavailable));
    assert!(
        asked_at.elapsed() <= Duration::from_secs(6),
        "{:?}",
        asked_at.elapsed()
    );
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn an_endpoint_that_lies_takes_no_known_key_away() {
    let (signer, forger) = (Signer::new(Es256), Signer::new(Es256));
    let endpoint = Endpoint::with_keys(&[named(&signer, "a")]).await;
    let elsewhere = Endpoint::with_keys(&[named(&forger, "b")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    let forged = json!({ "keys": [named(&forger, "b")] }).to_string();
    let ok = |text: &str| Answer::Text(StatusCode::OK, text.to_owned());
    let lies = [
        Answer::Text(StatusCode::INTERNAL_SERVER_ERROR, forged.clone()),
        Answer::Text(StatusCode::NOT_FOUND, forged.clone()),
        Answer::Text(StatusCode::ACCEPTED, forged.clone()),
        Answer::Redirect(elsewhere.url.clone()),
        ok(""),
        ok("<!doctype html><title>Sign in</title>"),
        ok("null"),
        ok("[]"),
        ok("{}"),
        ok(r#"{"keys":{}}"#),
        ok(r#"{"keys":[]}"#),
        ok(r#"{"keys":[null,{"kty":"EC"}]}"#),
        ok(&forged[..forged.len() - 1]),
        ok(&format!("{forged}{}", " ".repeat(1024 * 1024))),
        Answer::Endless,
    ];
    for (place, lie) in lies.into_iter().enumerate() {
        endpoint.answer(lie);
        pass(SECONDS_10).await;
        let error = error_of(&verifier, &forger, "b").await;
        assert_eq!(error, Some(TokenError::KeysUnavailable), "lie {place}");
        assert_eq!(error_of(&verifier, &signer, "a").await, None, "lie {place}");
        assert!(endpoint.requests() >= place + 2);
    }
    assert_eq!(elsewhere.requests(), 0);
    // And when it is honest again.
    endpoint.answer(ok(&forged));
    pass(SECONDS_10).await;
    assert_eq!(error_of(&verifier, &forger, "b").await, None);
}

#[tokio::test]
async fn an_endpoint_that_disappears_takes_its_keys_away_after_a_day() {
    let signer = Signer::new(Es256);
    let mut endpoint = Endpoint::with_keys(&[named(&signer, "a")]).await;
    let verifier = verifier(&endpoint, &[]);
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    endpoint.vanish().await;
    for _ in 0..23 {
        pass(Duration::from_secs(60 * 60)).await;
        assert_eq!(error_of(&verifier, &signer, "a").await, None);
        assert_eq!(
            error_of(&verifier, &signer, "b").await,
            Some(TokenError::KeysUnavailable)
        );
    }
    pass(Duration::from_secs(60 * 60)).await;
    assert_eq!(
        error_of(&verifier, &signer, "a").await,
        Some(TokenError::KeysUnavailable)
    );
}

#[tokio::test]
async fn without_keys_at_the_start_tokens_wait_for_them() {
    let signer = Signer::new(Es256);
    let endpoint = Endpoint::start(Answer::Text(StatusCode::BAD_GATEWAY, String::new())).await;
    let verifier = verifier(&endpoint, &[]);
    for kid in ["a", "b"] {
        assert_eq!(
            error_of(&verifier, &signer, kid).await,
            Some(TokenError::KeysUnavailable)
        );
    }
    assert_eq!(
        error(&verifier, &signer.sign(&claims())).await,
        Some(TokenError::KeysUnavailable)
    );
    assert_eq!(endpoint.requests(), 1);
    endpoint.answer(Answer::Keys(vec![named(&signer, "a")]));
    pass(Duration::from_secs(11)).await;
    endpoint.wait_for_requests(2).await;
    assert_eq!(error_of(&verifier, &signer, "a").await, None);
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_future_that_asks_nobody_waits_for_ever() {
    let keys = KeySource::Jwks("http://127.0.0.1:1/".parse().unwrap());
    let verifier = Verifier::new(&config(keys)).unwrap();
    let token = Signer::new(Es256).sign(&claims());
    assert_eq!(error(&verifier, &token).await, Some(TokenError::KeysUnavailable));
}
