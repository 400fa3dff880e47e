//! All subscribers of a run: they enter, are waited for, and leave when they have everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_urlencoded::Serializer;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Addresses;
use super::journal::Picture;
use super::received::Received;
use super::subscribers::Subscriber;
use crate::support::{eventually, plain_http};

/// How long the subscribers may take for what is left when the writers have stopped.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

const GLANCE: Duration = Duration::from_millis(20);

/// The subscribers of a run. Whatever panics, their tasks end with it.
pub struct Audience {
    tasks: JoinSet<()>,
    received: Vec<Arc<Mutex<Received>>>,
    end: CancellationToken,
}

impl Audience {
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            received: Vec::new(),
            end: CancellationToken::new(),
        }
    }

    /// One more subscriber, who comes and goes from now on.
    pub fn enter(&mut self, subscriber: Subscriber) {
        self.received.push(subscriber.received());
        self.tasks.spawn(subscriber.run(self.end.clone()));
    }

    /// Returns once everybody has a cursor.
    pub async fn has_begun(&self) {
        eventually(async || {
            self.received
                .iter()
                .all(|one| one.lock().unwrap().cursor.is_some())
        })
        .await;
    }

    /// Whether this holds of everybody.
    pub fn all(&self, holds: impl Fn(&Received) -> bool) -> bool {
        self.received.iter().all(|one| holds(&one.lock().unwrap()))
    }

    /// A figure of all of them together.
    pub fn sum(&self, figure: impl Fn(&Received) -> u64) -> u64 {
        self.received.iter().map(|one| figure(&one.lock().unwrap())).sum()
    }

    /// Waits until everybody has what they must have; false if they take too long.
    pub async fn catches_up(&self, has_all: impl Fn(&Received) -> bool) -> bool {
        let deadline = Instant::now() + CATCH_UP_WITHIN;
        while !self.all(&has_all) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(GLANCE).await;
        }
        true
    }

    /// Ends them all and returns what they received, after a last look that nothing stands behind their cursors.
    pub async fn leave(self, addresses: &Addresses) -> Vec<Received> {
        self.end.cancel();
        self.tasks.join_all().await;
        let mut all = Vec::with_capacity(self.received.len());
        for one in &self.received {
            expect_no_more(one, addresses).await;
            all.push(one.lock().unwrap().clone());
        }
        all
    }
}

/// After the end: nothing stands behind a subscriber's last cursor, on either relay.
async fn expect_no_more(received: &Mutex<Received>, addresses: &Addresses) {
    let (cursor, rooms, path) = {
        let received = received.lock().unwrap();
        let cursor = received.cursor.clone().expect("it has one since the start");
        (cursor, received.rooms.clone(), received.path.clone())
    };
    let http = plain_http().build().expect("a client of HTTP");
    for relay in 0..2 {
        let mut query = Serializer::new(String::new());
        query
            .extend_pairs(rooms.iter().map(|room| ("room", room)))
            .append_pair("after", &cursor);
        let url = format!("{}{path}/events?{}", addresses.of(relay), query.finish());
        let mut answer = String::new();
        // The last fault may have been a moment ago.
        eventually(async || {
            let response = http.get(&url).send().await.expect("an answer");
            let is_there = response.status() != StatusCode::SERVICE_UNAVAILABLE;
            answer = response.text().await.expect("its body");
            is_there
        })
        .await;
        let parsed: Value = serde_json::from_str(&answer).expect("JSON");
        let mut received = received.lock().unwrap();
        let may_expire = received.picture.as_ref().is_some_and(Picture::may_expire);
        let is_nothing = parsed["events"] == Value::Array(Vec::new());
        let has_expired = may_expire && parsed["code"] == "expired";
        if !is_nothing && !has_expired {
            let strange = format!("behind the end, after {cursor} on relay {relay}: {answer:.500}");
            received.strange.push(strange);
        }
    }
}
