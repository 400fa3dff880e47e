//! The subscribers: they come, receive, go at any moment, and come back with the last cursor they hold.

mod afresh;

use std::collections::{HashMap, HashSet};
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
use super::journal::Picture;
use super::received::{ALL_ROOMS, Comings, Received, Session, Transport};
use super::wire::{Said, What, Wire};
use crate::support::{TIMEOUT, plain_http};

/// The longest that anybody stays away.
const ABSENCE: Duration = Duration::from_secs(3);

/// One client.
pub struct Subscriber {
    rng: StdRng,
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    received: Arc<Mutex<Received>>,
    /// How long it waits for an answer before it takes the other side for gone.
    patience: Duration,
    /// It was reset, and has not fetched afresh yet.
    is_void: bool,
}

impl Subscriber {
    /// One who begins with nothing. `path`: of the source.
    pub fn new(
        transport: Transport,
        path: &str,
        rooms: Vec<&'static str>,
        seed: u64,
        addresses: Arc<Addresses>,
    ) -> Self {
        let received = Received {
            transport,
            path: path.to_owned(),
            rooms,
            cursor: None,
            ids: HashMap::new(),
            repeated: Vec::new(),
            strange: Vec::new(),
            sessions: Vec::new(),
            tally: Comings::default(),
            picture: None,
            may_be_reset: false,
            resets: Vec::new(),
            listed: HashSet::new(),
            last_at: None,
            longest_pause: Duration::ZERO,
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            http: plain_http().build().expect("a client of HTTP"),
            addresses,
            received: Arc::new(Mutex::new(received)),
            patience: TIMEOUT,
            is_void: false,
        }
    }

    /// The same, who gives an answer up after this long, as a client does where a network may swallow it.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same, who fetches afresh where it is reset.
    pub fn who_may_be_reset(self) -> Self {
        self.received.lock().unwrap().may_be_reset = true;
        self
    }

    /// The same, who makes a picture of its rooms.
    pub fn with_picture(self, picture: Picture) -> Self {
        self.received.lock().unwrap().picture = Some(picture);
        self
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
                if self.is_void {
                    self.fetch_afresh().await;
                    self.is_void = false;
                }
                let pause = match transport {
                    Transport::Sse | Transport::Ndjson => self.stream().await,
                    Transport::LongPoll => self.poll(true).await,
                    Transport::Poll => self.poll(false).await,
                };
                sleep(pause).await;
                self.stay_away().await;
            };
            if end.run_until_cancelled(session).await.is_none() {
                return;
            }
        }
    }

    /// Where one may come too late: now and then waits until it is.
    async fn stay_away(&mut self) {
        let (picture, cursor, transport) = {
            let received = self.received.lock().unwrap();
            let picture = received.picture.as_ref().map(Picture::source);
            (picture, received.cursor.clone(), received.transport)
        };
        let (Some(source), Some(cursor)) = (picture, cursor) else {
            return;
        };
        // Streams have fewer sessions than polls.
        let often = match transport {
            Transport::Sse | Transport::Ndjson => 0.25,
            Transport::LongPoll | Transport::Poll => 0.05,
        };
        if source.table.may_expire && self.rng.random_bool(often) {
            let _ = timeout(ABSENCE, Picture::is_left_behind(&source, &cursor)).await;
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
        let base = format!("{}{}", self.addresses.of(relay), received.path);
        let mut query = Serializer::new(String::new());
        let path = match received.rooms[..] {
            [room] if room != ALL_ROOMS && self.rng.random_bool(0.8) => format!("rooms/{room}/events"),
            _ => {
                query.extend_pairs(received.rooms.iter().map(|room| ("room", room)));
                "events".to_owned()
            }
        };
        query.extend_pairs(parameters);
        let place = self.rng.random_range(0..4);
        match &cursor {
            Some(cursor) if place == 0 => drop(query.append_pair("after", cursor)),
            // An EventSource reconnects with the URL that it began with, and a newer cursor in the header.
            Some(_) if place == 1 => drop(query.append_pair("last", "5")),
            _ => {}
        }
        let request = self.http.get(format!("{base}/{path}?{}", query.finish()));
        let request = request.header(ACCEPT, received.transport.accepts());
        match cursor {
            Some(cursor) if place > 0 => request.header("last-event-id", cursor),
            _ => request,
        }
    }

    /// The answer, if it is 200; what else can be is noted.
    async fn send(&mut self, request: RequestBuilder) -> Option<Response> {
        let Ok(answer) = timeout(self.patience, request.send()).await else {
            self.received.lock().unwrap().tally.left += 1;
            return None;
        };
        let answer = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => return Some(answer),
            Ok(answer) if answer.status() == StatusCode::CONFLICT => {
                let problem: Value = answer.json().await.unwrap_or_default();
                if let (Some(code), Some(cursor)) = (problem["code"].as_str(), problem["cursor"].as_str()) {
                    self.reset(code, cursor).await;
                }
                return None;
            }
            answer => answer,
        };
        let mut received = self.received.lock().unwrap();
        if let Ok(answer) = answer
            && answer.status() != StatusCode::SERVICE_UNAVAILABLE
        {
            let from = received.cursor.clone();
            received
                .strange
                .push(format!("{} after {from:?}", answer.status()));
        }
        received.tally.refused += 1;
        None
    }

    /// Begins (afresh) at a cursor: what stands in the table now is its picture, and what comes after the cursor goes on
    /// from there.
    async fn begin(&mut self, cursor: &str) {
        let (source, rooms) = {
            let received = self.received.lock().unwrap();
            let source = received.picture.as_ref().map(Picture::source);
            (source, received.rooms.clone())
        };
        let picture = match source {
            Some(source) => Some(Picture::taken(source, &rooms, cursor).await),
            None => None,
        };
        // In one go: whoever is ended in between keeps what it had.
        let mut received = self.received.lock().unwrap();
        received.ids.clear();
        received.picture = picture;
        received.cursor = Some(cursor.to_owned());
    }

    async fn reset(&mut self, code: &str, cursor: &str) {
        let before = self.received.lock().unwrap().cursor.clone();
        self.begin(cursor).await;
        if self.received.lock().unwrap().may_be_reset {
            self.is_void = true;
            return self.received.lock().unwrap().resets.push(code.to_owned());
        }
        let mut received = self.received.lock().unwrap();
        let complaint = match &received.picture {
            Some(picture) if code == "expired" => picture.complaint_of_expiry(before.as_deref()),
            _ => Some(format!("a reset after {before:?}: {code}")),
        };
        received.strange.extend(complaint);
        received.tally.expired += 1;
    }

    /// How long a client waits before it comes back after a failure.
    fn back_off(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(10..150))
    }

    /// One stream, left after some frames or lines, or some time. Returns how long to stay away.
    async fn stream(&mut self) -> Duration {
        let request = self.request(&[]);
        let Some(response) = self.send(request).await else {
            return self.back_off();
        };
        let transport = self.received.lock().unwrap().transport;
        let mut wire = Wire::of(response, transport).await;
        let leave_at = Instant::now() + Duration::from_millis(self.rng.random_range(20..2500));
        let most = self.rng.random_range(2..500);
        // Events whose cursor has not come yet: whoever is cut off here resumes before them.
        let mut unplaced = Vec::new();
        // Lines behind which one can resume are counted: NDJSON has one behind a page of up to 500 events, and who always left
        // before it would get nowhere.
        let mut places = 0;
        while places < most {
            let said = tokio::select! {
                biased;
                () = sleep_until(leave_at) => break,
                said = wire.next() => said,
            };
            let Some(said) = said else {
                self.received.lock().unwrap().tally.cut += 1;
                return self.back_off();
            };
            places += u32::from(said.cursor.is_some());
            self.take_said(said, &mut unplaced).await;
            if self.rng.random_bool(0.01) {
                // A slow reader: what comes meanwhile waits in the sockets, then with the relay.
                sleep(Duration::from_millis(self.rng.random_range(0..200))).await;
            }
        }
        self.received.lock().unwrap().tally.left += 1;
        Duration::from_millis(self.rng.random_range(0..60))
    }

    async fn take_said(&mut self, said: Said, unplaced: &mut Vec<Value>) {
        let begins = self.received.lock().unwrap().cursor.is_none();
        match said.what {
            What::Event(event) => unplaced.push(event),
            What::Ready if begins => {
                self.begin(said.cursor.as_deref().expect("ready has a cursor"))
                    .await
            }
            What::Reset(code) => {
                unplaced.clear();
                let cursor = said.cursor.as_deref().expect("a reset has a cursor");
                self.reset(&code, cursor).await;
            }
            What::Ready | What::Nothing => {}
            What::Strange(what) => self.received.lock().unwrap().strange.push(what),
        }
        if let Some(cursor) = said.cursor {
            let mut received = self.received.lock().unwrap();
            unplaced.drain(..).for_each(|event| received.take(&event));
            received.cursor = Some(cursor);
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
        let request = self.request(&query);
        let patience = match self.rng.random_bool(0.2) {
            true => Duration::from_millis(self.rng.random_range(0..60)),
            false => self.patience,
        };
        let answer = timeout(patience, async {
            match self.send(request).await {
                Some(answer) => answer.json::<Value>().await.map_err(|_| Cut),
                None => Err(Cut),
            }
        });
        match answer.await {
            Ok(Ok(answer)) => self.take_answer(&answer).await,
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

    async fn take_answer(&mut self, answer: &Value) -> Duration {
        let (Some(events), Some(cursor)) = (answer["events"].as_array(), answer["cursor"].as_str()) else {
            let strange = format!("no answer of a poll: {answer}");
            self.received.lock().unwrap().strange.push(strange);
            return Duration::ZERO;
        };
        let begins = self.received.lock().unwrap().cursor.is_none();
        if begins {
            // Without a cursor a plain poll brings the newest events: those from before it begins.
            self.begin(cursor).await;
        }
        let mut received = self.received.lock().unwrap();
        if !begins || received.transport == Transport::LongPoll {
            events.iter().for_each(|event| received.take(event));
        }
        received.cursor = Some(cursor.to_owned());
        let is_idle = answer["more"] == false && received.transport == Transport::Poll;
        Duration::from_millis(if is_idle { self.rng.random_range(0..250) } else { 0 })
    }
}

/// The other side ended a poll.
struct Cut;
