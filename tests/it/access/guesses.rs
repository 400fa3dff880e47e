//! Credentials that are no good, and tickets by the hundred: what one address or subject may have of them.

use std::net::IpAddr;
use tokio::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    A, admitted, ask_ticket, bearer, forbidden, from_now, guarded, reader, refusal, request, ticket, token,
    unauthenticated, verdict,
};
use crate::support::{Client, Relay, TestDatabase, Transport, eventually, plain_http, run};

/// Few, so that tests come beyond it.
const FEW: [&str; 4] = [
    "--max-failed-credentials-per-second",
    "1",
    "--max-tickets-per-second",
    "1",
];

fn rate_limited() -> (u16, String) {
    (429, "rate_limited".to_owned())
}

/// The relay's client, whose connections come from 127.0.0.`host`.
fn client_from(relay: &Relay, host: u8) -> Client {
    let http = plain_http().local_address(IpAddr::from([127, 0, 0, host]));
    relay.client.with(http.build().expect("a client of HTTP"))
}

/// What a relay says to so many guessed tokens at once, which need no database.
async fn guess(client: &Client) -> Vec<(u16, String)> {
    let guesses = (0..50).map(|number| {
        let guess = request(client, Transport::Poll, A).bearer_auth(format!("guess-{number}"));
        verdict(guess)
    });
    join_all(guesses).await
}

/// Room `b`, which tickets of these tests are not for: so they are looked at, and not used up.
async fn look_at(client: &Client, ticket: &str) -> (u16, String) {
    let path = format!("/v1/rooms/b/events?ticket={ticket}");
    verdict(request(client, Transport::Poll, &path)).await
}

async fn hits(client: &Client, limit: &str) -> u64 {
    let line = format!("rowcast_limit_hits_total{{limit=\"{limit}\"}} ");
    let metrics = client.get("/metrics").await.body;
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
    found.expect("the metric").trim().parse().expect("a number")
}

async fn few() -> (TestDatabase, Relay) {
    let (db, relay) = guarded(&FEW).await;
    db.say("a", "x").await;
    (db, relay)
}

#[tokio::test]
async fn who_shows_too_many_bad_tokens_is_told_to_wait_and_good_ones_from_there_are_admitted() {
    let (_db, relay) = few().await;
    eventually(async || {
        let verdicts = guess(&relay.client).await;
        assert!(
            verdicts
                .iter()
                .all(|said| [unauthenticated(), rate_limited()].contains(said)),
            "{verdicts:?}"
        );
        verdicts.contains(&rate_limited())
    })
    .await;
    assert!(hits(&relay.client, "failed_credentials_per_second").await >= 1);
    // Any number of good ones, and whose own is over is told so, that he may get another.
    let path = format!("{A}?last=1");
    let (ada, over) = (
        token(json!({ "rooms": ["a"] })),
        token(json!({ "rooms": ["a"], "exp": from_now(-60) })),
    );
    for _ in 0..30 {
        for (token, wanted) in [(&ada, admitted()), (&over, unauthenticated())] {
            let request = request(&relay.client, Transport::Poll, &path).bearer_auth(token);
            assert_eq!(verdict(request).await, wanted);
        }
    }
}

#[tokio::test]
async fn good_credentials_by_the_hundred_are_no_guesses() {
    let (_db, relay) = few().await;
    let ada = reader(&relay.client, &["a"]);
    let ticket = ticket(&ada, &["a"]).await;
    for _ in 0..30 {
        assert_eq!(look_at(&relay.client, &ticket).await, forbidden());
    }
    assert_eq!(hits(&relay.client, "failed_credentials_per_second").await, 0);
}

#[tokio::test]
async fn while_an_address_guesses_its_tickets_do_not_reach_the_database() {
    let (db, relay) = few().await;
    let (guesser, neighbour) = (client_from(&relay, 1), client_from(&relay, 2));
    let good = ticket(&reader(&neighbour, &["a"]), &["a"]).await;
    let bad = "A".repeat(43);
    // Whoever looks at a ticket waits for this, and gets 503 in the end.
    let holder = db.connect().await;
    run(&holder, "begin; lock table rowcast.tickets").await;
    eventually(async || {
        guess(&guesser).await;
        look_at(&guesser, &bad).await == rate_limited()
    })
    .await;
    run(&holder, "commit").await;
    // A good one is no better there; but it is from elsewhere, and later.
    eventually(async || {
        guess(&guesser).await;
        look_at(&guesser, &good).await == rate_limited()
    })
    .await;
    assert_eq!(look_at(&neighbour, &good).await, forbidden());
    eventually(async || look_at(&guesser, &good).await == forbidden()).await;
}

#[tokio::test]
async fn guessed_tickets_are_counted_like_guessed_tokens() {
    let (_db, relay) = few().await;
    eventually(async || {
        let guesses = (0..50).map(|number| {
            let ticket = format!("{number:0>43}");
            let client = &relay.client;
            async move { look_at(client, &ticket).await }
        });
        let verdicts = join_all(guesses).await;
        assert!(verdicts.contains(&unauthenticated()) || verdicts.contains(&rate_limited()));
        // The one after them finds the bucket empty, before anybody looks.
        look_at(&relay.client, &"A".repeat(43)).await == rate_limited()
    })
    .await;
}

#[tokio::test]
async fn guessed_tickets_cost_as_many_look_ups_as_may_fail_however_many_come_at_once() {
    let (db, relay) = few().await;
    let begin = Instant::now();
    let guesses = (0..500).map(|number| {
        // Each can be a ticket, of which the last letter has no room for variants: so the database is asked.
        let ticket = format!("{number:0>42}A");
        let client = &relay.client;
        async move { look_at(client, &ticket).await }
    });
    join_all(guesses).await;
    // What came back in this time; whatever the time was, there can't be more.
    let may_fail = 10 + begin.elapsed().as_secs() + 1;
    // A session that ends leaves what it counted.
    drop(relay);
    let sessions = "select count(*) from pg_stat_activity where datname = current_database()
                    and application_name like 'rowcast%'";
    eventually(async || db.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    let scans = "select seq_scan + coalesce(idx_scan, 0) from pg_stat_all_tables
                 where schemaname = 'rowcast' and relname = 'tickets'";
    let scans = db.query_one(scans, &[]).await.unwrap().get::<_, i64>(0) as u64;
    // Beside them the expired ones are deleted now and then, which takes two.
    assert!((10..=may_fail + 6).contains(&scans), "{scans} of {may_fail}");
}

#[tokio::test]
async fn a_crowd_with_good_tickets_behind_one_address_is_let_in_at_once() {
    let arguments = [
        "--max-failed-credentials-per-second",
        "1",
        "--max-tickets-per-second",
        "100",
    ];
    let (db, relay) = guarded(&arguments).await;
    db.say("a", "x").await;
    let ada = reader(&relay.client, &["a"]);
    let tickets = join_all((0..200).map(|_| ticket(&ada, &["a"]))).await;
    let crowd = tickets.iter().zip(Transport::ALL.into_iter().cycle());
    let crowd = crowd.map(|(ticket, transport)| {
        let path = format!("{A}?last=1&ticket={ticket}");
        verdict(request(&relay.client, transport, &path))
    });
    for said in join_all(crowd).await {
        assert_eq!(said, admitted());
    }
    assert_eq!(hits(&relay.client, "failed_credentials_per_second").await, 0);
}

#[tokio::test]
async fn a_page_may_read_when_to_come_back() {
    let origin = "https://app.example.com";
    let (_db, relay) = guarded(&[&FEW[..], &["--allow-origin", origin]].concat()).await;
    eventually(async || {
        guess(&relay.client).await;
        let request = request(&relay.client, Transport::Poll, A)
            .bearer_auth("guess")
            .header("origin", origin);
        let answer = refusal(request).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("retry-after,x-request-id")
        );
        answer.status == 429 && answer.header("retry-after") == Some("1")
    })
    .await;
}

#[tokio::test]
async fn tickets_beyond_the_rate_are_not_sold_to_a_subject_wherever_it_is() {
    let (db, relay) = few().await;
    let sell = async |client: &Client| {
        let answer = ask_ticket(client, &["a"]).await;
        match answer.status.as_u16() {
            201 => true,
            429 => {
                assert_eq!(answer.code(), "rate_limited");
                assert_eq!(answer.header("retry-after"), Some("1"));
                false
            }
            _ => panic!("{}", answer.body),
        }
    };
    let mut asked = 0;
    eventually(async || {
        let sales = (1..=25).flat_map(|_| [1, 2]).map(|host| {
            let ada = reader(&client_from(&relay, host), &["a"]);
            async move { sell(&ada).await }
        });
        asked += 50;
        join_all(sales).await.contains(&false)
    })
    .await;
    let refused = hits(&relay.client, "tickets_per_second").await;
    let sold = db.query_one("select count(*) from rowcast.tickets", &[]).await;
    assert!(refused >= 1);
    assert_eq!(sold.expect("count").get::<_, i64>(0) as u64, asked - refused);
    // Others from her address, and who has no subject from another, are others.
    for (subject, host) in [(json!("bob"), 1), (json!(null), 3)] {
        let other = bearer(
            &client_from(&relay, host),
            json!({ "sub": subject, "rooms": ["a"] }),
        );
        assert!(sell(&other).await);
    }
}
