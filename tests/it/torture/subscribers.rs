//! The subscribers: they come, receive, go at any moment, and come back with the last cursor they hold.
//!
//! What counts as received is what a client could use: a whole frame of a stream, a whole answer of a poll.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_urlencoded::Serializer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Addresses;
use crate::support::{Frame, Stream, TIMEOUT, eventually};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Sse,
    LongPoll,
    Poll,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::Sse, Self::LongPoll, Self::Poll];
}

/// What one subscriber received, and how.
#[derive(Clone, Debug)]
pub struct Received {
    pub transport: Transport,
    pub rooms: Vec<&'static str>,
    /// The position after all that was received; `None` before the first answer.
    pub cursor: Option<String>,
    /// Each row's id, and the index of the session that brought it.
    pub ids: HashMap<i64, usize>,
    /// Ids that came again: id, first session, second session.
    pub repeated: Vec<(i64, usize, usize)>,
    /// What must not happen at all: resets, rows of other rooms, unknown answers.
    pub strange: Vec<String>,
    pub sessions: Vec<Session>,
    pub tally: Comings,
}

/// One stream, or one poll.
#[derive(Clone, Debug)]
pub struct Session {
    pub relay: usize,
    pub resumed_from: Option<String>,
}

/// How sessions began and ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comings {
    /// Resumed on another relay than the one before.
    pub changes_of_relay: u64,
    /// Ended by the subscriber, in the middle of whatever came.
    pub left: u64,
    /// Ended by the other side.
    pub cut: u64,
    /// No answer at all, or 503.
    pub refused: u64,
}

impl Received {
    /// Takes one event's JSON in the current session.
    fn take(&mut self, event: &Value) {
        let (id, room) = (event["id"].as_i64(), event["room"].as_str());
        let (Some(id), Some(room)) = (id, room) else {
            return self.strange.push(format!("an event without id or room: {event}"));
        };
        if !self.rooms.contains(&room) || event["row"]["id"] != event["id"] {
            self.strange
                .push(format!("a row of others, or not a row: {event}"));
        }
        let session = self.sessions.len() - 1;
        match self.ids.get(&id) {
            Some(&first) => self.repeated.push((id, first, session)),
            None => drop(self.ids.insert(id, session)),
        }
    }
}

/// One client.
pub struct Subscriber {
    rng: StdRng,
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    received: Arc<Mutex<Received>>,
}

impl Subscriber {
    pub fn new(transport: Transport, rooms: Vec<&'static str>, seed: u64, addresses: Arc<Addresses>) -> Self {
        let received = Received {
            transport,
            rooms,
            cursor: None,
            ids: HashMap::new(),
            repeated: Vec::new(),
            strange: Vec::new(),
            sessions: Vec::new(),
            tally: Comings::default(),
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client without TLS"),
            addresses,
            received: Arc::new(Mutex::new(received)),
        }
    }

    /// What it receives, as it grows.
    pub fn received(&self) -> Arc<Mutex<Received>> {
        self.received.clone()
    }

    /// Comes and goes until `end`.
    pub async fn run(mut self, end: CancellationToken) {
        let transport = self.received.lock().unwrap().transport;
        while !end.is_cancelled() {
            let session = async {
                match transport {
                    Transport::Sse => self.stream().await,
                    Transport::LongPoll => self.poll(true).await,
                    Transport::Poll => self.poll(false).await,
                }
            };
            let pause = tokio::select! {
                () = end.cancelled() => return,
                pause = session => pause,
            };
            sleep(pause).await;
        }
    }

    /// A request to either relay, with the cursor in one of the places where it can stand.
    fn request(&mut self, parameters: &[(&str, String)]) -> RequestBuilder {
        let relay = self.rng.random_range(0..2);
        let mut received = self.received.lock().unwrap();
        let cursor = received.cursor.clone();
        if received
            .sessions
            .last()
            .is_some_and(|before| before.relay != relay)
            && cursor.is_some()
        {
            received.tally.changes_of_relay += 1;
        }
        received.sessions.push(Session {
            relay,
            resumed_from: cursor.clone(),
        });
        let base = self.addresses.of(relay);
        let mut query = Serializer::new(String::new());
        let path = if received.rooms.len() > 1 || self.rng.random_bool(0.2) {
            query.extend_pairs(received.rooms.iter().map(|room| ("room", room)));
            "events".to_owned()
        } else {
            format!("rooms/{}/events", received.rooms[0])
        };
        query.extend_pairs(parameters);
        let place = self.rng.random_range(0..4);
        match &cursor {
            Some(cursor) if place == 0 => drop(query.append_pair("after", cursor)),
            // An EventSource reconnects with the URL that it began with, and a newer cursor in the header.
            Some(_) if place == 1 => drop(query.append_pair("last", "5")),
            _ => {}
        }
        let request = self.http.get(format!("{base}/v1/{path}?{}", query.finish()));
        match cursor {
            Some(cursor) if place > 0 => request.header("last-event-id", cursor),
            _ => request,
        }
    }

    /// The answer, if it is 200; what else can be is noted.
    async fn send(&mut self, request: RequestBuilder) -> Option<Response> {
        let answer = request.send().await;
        let mut received = self.received.lock().unwrap();
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => return Some(answer),
            Ok(answer) if answer.status() != StatusCode::SERVICE_UNAVAILABLE => {
                let from = received
                    .sessions
                    .last()
                    .and_then(|session| session.resumed_from.clone());
                received
                    .strange
                    .push(format!("{} after {from:?}", answer.status()));
            }
            Ok(_) | Err(_) => {}
        }
        received.tally.refused += 1;
        None
    }

    /// How long a client waits before it comes back after a failure.
    fn back_off(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(10..150))
    }

    /// One stream, left after some frames or some time. Returns how long to stay away.
    async fn stream(&mut self) -> Duration {
        let request = self.request(&[]).header(ACCEPT, "text/event-stream");
        let Some(response) = self.send(request).await else {
            return self.back_off();
        };
        let mut stream = Stream::of(response).await;
        let leave_at = Instant::now() + Duration::from_millis(self.rng.random_range(20..2500));
        let frames = self.rng.random_range(2..500);
        for _ in 0..frames {
            let frame = tokio::select! {
                biased;
                () = sleep_until(leave_at) => break,
                frame = stream.next_frame() => frame,
            };
            let Some(frame) = frame else {
                self.received.lock().unwrap().tally.cut += 1;
                return self.back_off();
            };
            self.take_frame(frame);
            if self.rng.random_bool(0.01) {
                // A slow reader: what comes meanwhile waits in the sockets, then with the relay.
                sleep(Duration::from_millis(self.rng.random_range(0..200))).await;
            }
        }
        self.received.lock().unwrap().tally.left += 1;
        Duration::from_millis(self.rng.random_range(0..60))
    }

    fn take_frame(&mut self, frame: Frame) {
        let mut received = self.received.lock().unwrap();
        match frame.event.as_deref() {
            None if frame.data.is_some() => received.take(&frame.json()),
            None | Some("ready") | Some("end") => {}
            Some(_) => received.strange.push(format!("{frame:?}")),
        }
        if let Some(id) = frame.id {
            received.cursor = Some(id);
        }
    }

    /// One poll, now and then given up before the answer is there. Returns the pause before the next one.
    async fn poll(&mut self, waits: bool) -> Duration {
        let limit = if self.rng.random_bool(0.5) {
            self.rng.random_range(1..20)
        } else {
            self.rng.random_range(1..=1000)
        };
        let mut query = vec![("limit", limit.to_string())];
        if waits {
            query.push(("wait", self.rng.random_range(1..3).to_string()));
        }
        let request = self.request(&query).header(ACCEPT, "application/json");
        let patience = match self.rng.random_bool(0.2) {
            true => Duration::from_millis(self.rng.random_range(0..60)),
            false => TIMEOUT,
        };
        let answer = timeout(patience, async {
            match self.send(request).await {
                Some(answer) => answer.json::<Value>().await.map_err(|_| Cut),
                None => Err(Cut),
            }
        });
        match answer.await {
            Ok(Ok(answer)) => self.take_answer(&answer),
            Ok(Err(Cut)) => {
                self.received.lock().unwrap().tally.cut += 1;
                self.back_off()
            }
            Err(_) => {
                self.received.lock().unwrap().tally.left += 1;
                Duration::ZERO
            }
        }
    }

    fn take_answer(&mut self, answer: &Value) -> Duration {
        let mut received = self.received.lock().unwrap();
        let (Some(events), Some(cursor)) = (answer["events"].as_array(), answer["cursor"].as_str()) else {
            received.strange.push(format!("no answer of a poll: {answer}"));
            return Duration::ZERO;
        };
        // Without a cursor a plain poll begins with the newest rows: those from before the first writer.
        let is_first = received.cursor.is_none() && received.transport == Transport::Poll;
        if !is_first {
            events.iter().for_each(|event| received.take(event));
        }
        received.cursor = Some(cursor.to_owned());
        let is_idle = answer["more"] == false && received.transport == Transport::Poll;
        Duration::from_millis(if is_idle { self.rng.random_range(0..250) } else { 0 })
    }
}

/// The other side ended a poll.
struct Cut;

/// After the end: nothing stands behind a subscriber's last cursor, on either relay.
pub async fn expect_no_more(received: &Mutex<Received>, addresses: &Addresses) {
    let (cursor, rooms) = {
        let received = received.lock().unwrap();
        (
            received.cursor.clone().expect("it has one since the start"),
            received.rooms.clone(),
        )
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client without TLS");
    for relay in 0..2 {
        let mut query = Serializer::new(String::new());
        query
            .extend_pairs(rooms.iter().map(|room| ("room", room)))
            .append_pair("after", &cursor);
        let url = format!("{}/v1/events?{}", addresses.of(relay), query.finish());
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
        if parsed["events"]
            .as_array()
            .is_none_or(|events| !events.is_empty())
        {
            let strange = format!("behind the end, after {cursor} on relay {relay}: {answer:.500}");
            received.lock().unwrap().strange.push(strange);
        }
    }
}
