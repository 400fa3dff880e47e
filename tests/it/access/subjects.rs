//! Limits count the subject of a token, wherever it comes from.

use std::net::IpAddr;

use futures_util::future::join_all;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;

use super::live::STREAMS;
use super::{A, admitted, guarded, request, ticket, token, verdict};
use crate::support::{Client, Relay, Transport, eventually};

/// A client of a subject whose connections come from 127.0.0.`host`.
fn client(relay: &Relay, subject: Option<&str>, host: u8) -> Client {
    let token = token(json!({ "sub": subject, "rooms": ["a"] }));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    headers.insert(AUTHORIZATION, value);
    let http = crate::support::plain_http()
        .default_headers(headers)
        .local_address(IpAddr::from([127, 0, 0, host]));
    relay.client.with(http.build().expect("a client of HTTP"))
}

fn too_many() -> (u16, String) {
    (429, "too_many_connections".to_owned())
}

#[tokio::test]
async fn subscriptions_are_counted_by_the_subject_of_the_token() {
    let (db, relay) = guarded(&["--max-subscriptions-per-subject", "1"]).await;
    db.say("a", "x").await;
    let path = format!("{A}?last=1");
    for transport in STREAMS {
        let ada = client(&relay, Some("ada"), 1);
        let spent = ticket(&ada, &["a"]).await;
        let held = request(&ada, transport, &path).send().await.expect("an answer");
        assert_eq!(held.status(), 200);
        // From another address, and by a ticket of hers, it is still she.
        for refused in [Transport::EventStream, Transport::Ndjson, Transport::LongPoll] {
            for host in [1, 2] {
                let again = client(&relay, Some("ada"), host);
                assert_eq!(
                    verdict(request(&again, refused, &path)).await,
                    too_many(),
                    "{refused:?}"
                );
            }
        }
        let by_ticket = format!("{path}&ticket={spent}");
        assert_eq!(
            verdict(request(&relay.client, transport, &by_ticket)).await,
            too_many()
        );
        // Others from her address are others; who has no subject is his address.
        let bob = client(&relay, Some("bob"), 1);
        let beside = request(&bob, transport, &path).send().await.expect("an answer");
        assert_eq!(beside.status(), 200);
        let nameless = client(&relay, None, 3);
        let third = request(&nameless, transport, &path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(third.status(), 200);
        let other = client(&relay, None, 3);
        assert_eq!(verdict(request(&other, transport, &path)).await, too_many());
        let elsewhere = client(&relay, None, 4);
        assert_eq!(verdict(request(&elsewhere, transport, &path)).await, admitted());
        drop((held, beside, third));
        for returning in [&ada, &bob, &nameless, &elsewhere] {
            // Dropped at once, and noticed as such.
            eventually(async || verdict(request(returning, Transport::LongPoll, &path)).await.0 == 200).await;
        }
        // What was one too many did not use the ticket up.
        eventually(async || {
            let verdict = verdict(request(&relay.client, transport, &by_ticket)).await;
            assert!([admitted(), too_many()].contains(&verdict), "{verdict:?}");
            verdict == admitted()
        })
        .await;
    }
}

#[tokio::test]
async fn requests_are_counted_by_the_subject_of_the_token() {
    let (db, relay) = guarded(&["--max-requests-per-second", "1"]).await;
    db.say("a", "x").await;
    let path = format!("{A}?last=1");
    for transport in Transport::ALL {
        // However slow this machine is: among so many at once there are some within one second.
        let subject = format!("ada {transport:?}");
        let crowd = (0..50).map(|number| {
            let ada = client(&relay, Some(&subject), 1 + number % 5);
            let path = path.clone();
            async move { verdict(request(&ada, transport, &path)).await }
        });
        let verdicts = join_all(crowd).await;
        assert!(
            verdicts.contains(&(429, "rate_limited".to_owned())),
            "{verdicts:?}"
        );
        // Who asks for the first time is served, from whichever address.
        for host in 1..=5 {
            let bob = client(&relay, Some(&format!("bob {transport:?} {host}")), host);
            assert_eq!(verdict(request(&bob, transport, &path)).await, admitted());
        }
    }
}

#[tokio::test]
async fn guesses_take_no_turn_of_who_is_counted_by_the_same_address() {
    let (_db, relay) = guarded(&["--max-requests-per-second", "1"]).await;
    let guesses = (0..50).map(|number| {
        let guess = request(&relay.client, Transport::Poll, A).bearer_auth(format!("guess-{number}"));
        verdict(guess)
    });
    join_all(guesses).await;
    for subject in [Some("ada"), None] {
        let other = client(&relay, subject, 1);
        let verdict = verdict(request(&other, Transport::Poll, A)).await;
        assert_eq!(verdict, admitted(), "{subject:?}");
    }
}
