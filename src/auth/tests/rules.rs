//! The form of tokens, and what their claims must be.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::{Claims, Pattern, RoomsClaim, TokenError, Verifier};
use super::signer::{Signer, encode};
use super::{NOW, SECRET, claims, now, verify, with_secret};
use crate::config::{JwtAlgorithm, JwtConfig};

const HEADER: &str = r#"{"alg":"HS256"}"#;

fn signer() -> Signer {
    Signer::secret(JwtAlgorithm::Hs256, SECRET.as_bytes())
}

fn verifier(change: impl FnOnce(&mut JwtConfig)) -> Verifier {
    let mut config = with_secret();
    change(&mut config);
    Verifier::new(&config).unwrap()
}

/// The verdict about a payload that is signed as it should be.
fn verdict(verifier: &Verifier, payload: &str) -> Result<Claims, TokenError> {
    verify(verifier, &signer().sign_text(HEADER, payload))
}

/// The claims of a good token, and these.
fn with(more: Value) -> String {
    let mut all = claims();
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.to_string()
}

fn refused(verifier: &Verifier, payload: &str) -> TokenError {
    match verdict(verifier, payload) {
        Ok(_) => panic!("{payload} is not refused"),
        Err(error) => error,
    }
}

fn is_malformed(error: TokenError) -> bool {
    matches!(error, TokenError::Malformed(_))
}

#[test]
fn a_good_token_gives_its_claims_as_they_were_signed() {
    let payload = format!(
        r#"{{ "sub":"7", "n": 1.50, "exp":{}, "x":{{"b":1,"a":[]}} }}"#,
        NOW + 60
    );
    let claims = verdict(&verifier(|_| {}), &payload).unwrap();
    assert_eq!(claims.json.get(), payload.trim());
    assert_eq!(claims.subject.as_deref(), Some("7"));
    assert_eq!(claims.expires_at, now() + Duration::from_secs(60));
    assert_eq!(claims.rooms, None);
}

#[test]
fn what_does_not_have_the_form_of_a_token_is_malformed() {
    let verifier = verifier(|_| {});
    let good = signer().sign(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{good}");
    };
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{good}="),
        format!("{header}=.{payload}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("{}.{payload}.{signature}", encode("[]")),
        format!("{}.{payload}.{signature}", encode("{}")),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":7}"#)),
        format!(
            "{}.{payload}.{signature}",
            encode(r#"{"alg":"HS256","alg":"HS256"}"#)
        ),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS256","kid":7}"#)),
        format!(
            "{}.{payload}.{signature}",
            encode(b"{\"alg\":\"HS256\",\"\xff\":1}")
        ),
        "🦀.🦀.🦀".to_owned(),
    ] {
        let error = verify(&verifier, &bad).err();
        assert!(error.is_some_and(is_malformed), "{bad}: {error:?}");
    }
    assert!(verify(&verifier, &good).is_ok());
}

#[test]
fn a_token_longer_than_8_kib_is_refused_unread() {
    let verifier = verifier(|_| {});
    let of = |bytes| signer().sign_text(HEADER, &with(json!({ "x": "x".repeat(bytes) })));
    let longest = (0..8192).rev().map(of).find(|token| token.len() <= 8192).unwrap();
    assert!(longest.len() > 8189);
    assert!(verify(&verifier, &longest).is_ok());
    let too_long = Err(TokenError::Malformed("it is longer than 8 KiB"));
    assert_eq!(verify(&verifier, &of(8192)).map(|_| ()), too_long);
    assert_eq!(verify(&verifier, &".".repeat(8193)).map(|_| ()), too_long);
}

#[test]
fn a_header_that_asks_for_more_than_there_is_is_refused() {
    let verifier = verifier(|_| {});
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "7"] {
        let header = format!(r#"{{"alg":"HS256","b64":false,"crit":{crit}}}"#);
        let token = signer().sign_text(&header, &with(json!({})));
        let error = verify(&verifier, &token).map(|_| ());
        assert_eq!(error, Err(TokenError::Malformed("its crit")), "{crit}");
    }
}

#[test]
fn a_payload_that_two_readers_read_differently_is_malformed() {
    let verifier = verifier(|_| {});
    let exp = NOW + 60;
    for bad in [
        format!(r#"{{"exp":{exp},"exp":{exp}}}"#),
        format!(r#"{{"exp":1,"\u0065xp":{exp}}}"#),
        format!(r#"{{"exp":{exp},"sub":"a","sub":"b"}}"#),
        format!(r#"{{"exp":{exp},"x":{{"role":1,"role":2}}}}"#),
        format!(r#"{{"exp":{exp},"sub":"\u0000"}}"#),
        format!(r#"{{"exp":{exp}}}{{}}"#),
        format!(r#"[{{"exp":{exp}}}]"#),
        format!(r#""exp":{exp}"#),
        String::new(),
    ] {
        assert_eq!(
            refused(&verifier, &bad),
            TokenError::Malformed("its payload"),
            "{bad}"
        );
    }
}

#[test]
fn exp_must_be_there_and_be_a_time() {
    let verifier = verifier(|_| {});
    assert_eq!(refused(&verifier, "{}"), TokenError::Malformed("it has no exp"));
    for bad in [
        "-1",
        "-0.5",
        r#""1800000060""#,
        "true",
        "[1800000060]",
        "{}",
        "18446744073709551615",
        "99999999999999999999999",
        "1e300",
        // In milliseconds: it would last for 57,000 years.
        "1800000060000",
    ] {
        let error = refused(&verifier, &format!(r#"{{"exp":{bad}}}"#));
        assert_eq!(
            error,
            TokenError::Malformed("its exp is not a time in seconds"),
            "{bad}"
        );
        let nbf = format!(r#"{{"exp":{},"nbf":{bad}}}"#, NOW + 60);
        let error = refused(&verifier, &nbf);
        assert_eq!(
            error,
            TokenError::Malformed("its nbf is not a time in seconds"),
            "{bad}"
        );
    }
    assert_eq!(refused(&verifier, r#"{"exp":0}"#), TokenError::Expired);
    assert_eq!(
        refused(&verifier, r#"{"exp":null}"#),
        TokenError::Malformed("it has no exp")
    );
    let claims = verdict(&verifier, &format!(r#"{{"exp":{}.25}}"#, NOW + 60)).unwrap();
    assert_eq!(claims.expires_at, now() + Duration::from_millis(60_250));
    let last = verdict(&verifier, r#"{"exp":253402300799}"#).unwrap();
    assert!(last.expires_at > now());
}

#[test]
fn exp_and_nbf_are_held_against_the_clock_with_leeway() {
    for leeway in [0, 30, 100_000_000_000] {
        let verifier = verifier(|config| config.leeway = Duration::from_secs(leeway));
        let exp = |exp: u64| verdict(&verifier, &json!({ "exp": exp }).to_string()).map(|_| ());
        let nbf = |nbf: u64| verdict(&verifier, &with(json!({ "nbf": nbf }))).map(|_| ());
        assert_eq!(exp(NOW + 1), Ok(()));
        assert_eq!(nbf(NOW), Ok(()));
        if leeway <= NOW {
            assert_eq!(exp(NOW - leeway), Err(TokenError::Expired));
            assert_eq!(exp(NOW - leeway + 1), Ok(()));
            assert_eq!(nbf(NOW + leeway), Ok(()));
            assert_eq!(nbf(NOW + leeway + 1), Err(TokenError::NotYet));
        } else {
            assert_eq!(exp(0), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_clock_before_1970_expires_nothing_and_breaks_nothing() {
    let verifier = verifier(|_| {});
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let verdict = verifier.verify_at(&signer().sign(&claims()), early).await;
    assert!(verdict.is_ok());
}

#[test]
fn a_configured_issuer_is_required() {
    let verifier = verifier(|config| config.issuer = Some("https://a".to_owned()));
    assert!(verdict(&verifier, &with(json!({ "iss": "https://a" }))).is_ok());
    for bad in [
        json!({}),
        json!({ "iss": "https://a/" }),
        json!({ "iss": "HTTPS://a" }),
        json!({ "iss": ["https://a"] }),
        json!({ "iss": null }),
    ] {
        assert_eq!(refused(&verifier, &with(bad)), TokenError::Issuer);
    }
    assert!(verdict(&self::verifier(|_| {}), &with(json!({ "iss": "anyone" }))).is_ok());
}

#[test]
fn a_token_is_for_the_configured_audience_alone() {
    let ours = verifier(|config| config.audience = Some("rowcast".to_owned()));
    for good in [json!("rowcast"), json!(["rowcast"]), json!(["a", "rowcast"])] {
        assert!(verdict(&ours, &with(json!({ "aud": good }))).is_ok(), "{good}");
    }
    for bad in [
        json!(null),
        json!(""),
        json!("Rowcast"),
        json!("a"),
        json!([]),
        json!(["a"]),
        json!(["rowcast", 7]),
        json!({ "rowcast": 1 }),
        json!(7),
    ] {
        assert_eq!(
            refused(&ours, &with(json!({ "aud": bad }))),
            TokenError::Audience,
            "{bad}"
        );
    }
    assert_eq!(refused(&ours, &with(json!({}))), TokenError::Audience);

    let nobodys = verifier(|_| {});
    for bad in [json!("rowcast"), json!(["rowcast"]), json!([]), json!("")] {
        assert_eq!(
            refused(&nobodys, &with(json!({ "aud": bad }))),
            TokenError::Audience,
            "{bad}"
        );
    }
}

#[test]
fn a_subject_is_text() {
    let verifier = verifier(|_| {});
    let subject = |payload: Value| verdict(&verifier, &with(payload)).unwrap().subject;
    assert_eq!(subject(json!({ "sub": "ä'; drop" })).as_deref(), Some("ä'; drop"));
    assert_eq!(subject(json!({ "sub": null })), None);
    for bad in [json!(7), json!(["7"]), json!({}), json!(true)] {
        assert_eq!(
            refused(&verifier, &with(json!({ "sub": bad }))),
            TokenError::Malformed("its sub")
        );
    }
}

#[test]
fn rooms_are_a_list_to_read_or_lists_by_purpose() {
    let verifier = verifier(|_| {});
    let rooms = |value: Value| {
        verdict(&verifier, &with(json!({ "rooms": value })))
            .unwrap()
            .rooms
    };
    let exact = |name: &str| Pattern::Exact(name.to_owned());
    let prefix = |name: &str| Pattern::Prefix(name.to_owned());
    let read = |read| RoomsClaim {
        read,
        ..RoomsClaim::default()
    };
    assert_eq!(rooms(json!(null)), None);
    assert_eq!(rooms(json!([])), Some(RoomsClaim::default()));
    assert_eq!(
        rooms(json!(["a", "b*", "*"])),
        Some(read(vec![exact("a"), prefix("b"), prefix("")]))
    );
    assert_eq!(rooms(json!({})), Some(RoomsClaim::default()));
    assert_eq!(
        rooms(json!({ "read": ["a"], "publish": ["p*"], "sources": ["public.messages"] })),
        Some(RoomsClaim {
            read: vec![exact("a")],
            publish: vec![prefix("p")],
            sources: Some(vec![exact("public.messages")]),
        })
    );
    for bad in [
        json!("a"),
        json!(7),
        json!([7]),
        json!([["a"]]),
        json!({ "read": "a" }),
        json!({ "read": null }),
        // It would be no restriction.
        json!({ "read": ["a"], "source": ["public.messages"] }),
    ] {
        let error = refused(&verifier, &with(json!({ "rooms": bad })));
        assert_eq!(error, TokenError::Malformed("its rooms"), "{bad}");
    }

    let named = self::verifier(|config| config.rooms_claim = "https://a/rooms".to_owned());
    let payload = with(json!({ "rooms": ["no"], "https://a/rooms": ["yes"] }));
    assert_eq!(
        verdict(&named, &payload).unwrap().rooms,
        Some(read(vec![exact("yes")]))
    );
}

#[test]
fn patterns_compare_bytes() {
    let admits = |pattern: &str, name| {
        let payload = with(json!({ "rooms": [pattern] }));
        let rooms = verdict(&verifier(|_| {}), &payload).unwrap().rooms.unwrap();
        rooms.read[0].admits(name)
    };
    for (pattern, name) in [
        ("a", "a"),
        ("a*", "a"),
        ("a*", "ab"),
        ("*", ""),
        ("*", "a"),
        ("**", "*a"),
        ("a*b", "a*b"),
    ] {
        assert!(admits(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("a", "A"),
        ("a", "a/"),
        ("a", "ab"),
        ("a", ""),
        ("", "a"),
        ("a*", "b"),
        ("a*", ""),
        ("**", "a"),
        ("a*b", "axb"),
        // One letter, or a letter and an accent.
        ("\u{e9}", "e\u{301}"),
        ("a", "%61"),
    ] {
        assert!(!admits(pattern, name), "{pattern} {name}");
    }
    assert!(Pattern::Prefix(String::new()).admits_all());
    assert!(!Pattern::Prefix("a".to_owned()).admits_all());
    assert!(!Pattern::Exact(String::new()).admits_all());
}

#[test]
fn what_is_said_of_a_token_contains_nothing_of_it() {
    let verifier = verifier(|_| {});
    let marked = r#"{"exp":"canary","canary":1}"#;
    let errors = [
        refused(&verifier, marked),
        verify(&verifier, "canary.canary.canary").unwrap_err(),
        verify(&verifier, &signer().sign_text(r#"{"alg":"canary"}"#, marked)).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}
