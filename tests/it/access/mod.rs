//! Access from outside: who is let in, to what, and for how long, over every transport.
//!
//! Relays are real, and so is the database; tokens are signed here.

mod browsers;
mod expiry;
mod guesses;
mod live;
mod members;
mod options;
mod refused;
mod revocation;
mod rooms;
mod subjects;
mod tickets;
mod unused;

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Relay, TestDatabase, Transport, grant_publishing, messages, plain_http, with_query,
    within,
};

const SECRET: &str = "a secret of the tests, which has more than 32 bytes";

/// What a relay that takes the tests' tokens is started with.
const JWT: [&str; 4] = ["--auth", "jwt", "--jwt-secret", SECRET];

/// The room of most tests.
const A: &str = "/v1/rooms/a/events";

/// A token with these claims; it lasts an hour unless they say otherwise.
fn token(mut claims: Value) -> String {
    if claims["exp"].is_null() {
        claims["exp"] = from_now(3600).into();
    }
    sign(&claims, SECRET)
}

fn sign(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("a token")
}

/// So many seconds from now, as a token writes it.
fn from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_secs() as i64 + seconds
}

/// A table `messages`, attached, and a relay on it that takes the tests' tokens, with these arguments.
async fn guarded(arguments: &[&str]) -> (TestDatabase, Relay) {
    let db = messages().await;
    let relay = guard(&db, arguments).await;
    (db, relay)
}

/// One more relay that takes the tests' tokens.
async fn guard(db: &TestDatabase, arguments: &[&str]) -> Relay {
    if arguments.contains(&"--allow-publish") {
        grant_publishing(db).await;
    }
    Relay::serve(&db.relay_url, &[&JWT, arguments].concat()).await
}

/// A client that sends this header with every request.
fn sending(client: &Client, name: &'static str, value: &str) -> Client {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static(name),
        HeaderValue::from_str(value).expect("a header"),
    );
    let http = plain_http().default_headers(headers);
    client.with(http.build().expect("a client of HTTP"))
}

/// A client of the bearer of a token with these claims.
fn bearer(client: &Client, claims: Value) -> Client {
    sending(
        client,
        AUTHORIZATION.as_str(),
        &format!("Bearer {}", token(claims)),
    )
}

/// A client whose token lets it read these rooms.
fn reader(client: &Client, rooms: &[&str]) -> Client {
    bearer(client, json!({ "sub": "ada", "rooms": rooms }))
}

/// A request for events, as a transport makes it. A long poll waits, unless there is what `path` asks for.
fn request(client: &Client, transport: Transport, path: &str) -> reqwest::RequestBuilder {
    let (accept, path) = match transport {
        Transport::EventStream => ("text/event-stream", path.to_owned()),
        Transport::Ndjson => ("application/x-ndjson", path.to_owned()),
        Transport::LongPoll => ("application/json", with_query(path, "wait=30")),
        Transport::Poll => ("application/json", path.to_owned()),
    };
    client.request(Method::GET, &path).header(ACCEPT, accept)
}

/// What a relay says to a request: `200`, or the status and the code of its problem, which is read.
async fn verdict(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = refusal(request).await;
    let code = match answer.status.is_success() {
        true => String::new(),
        false => answer.code(),
    };
    (answer.status.as_u16(), code)
}

/// The answer with its body, but for one that goes well, which may have no end.
async fn refusal(request: reqwest::RequestBuilder) -> Answer {
    within(async move {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match status.is_success() {
            true => String::new(),
            false => response.text().await.expect("the answer's body"),
        };
        Answer {
            status,
            headers,
            body,
        }
    })
    .await
}

/// Whether a client may read what is at `path`, where there must be an event: the same over all transports, or the test
/// fails. The code is empty where it may.
#[track_caller]
fn reads(client: &Client, path: &str) -> impl Future<Output = (u16, String)> {
    let caller = std::panic::Location::caller();
    let path = with_query(path, "last=1");
    async move {
        let mut verdicts = Vec::new();
        for transport in Transport::ALL {
            verdicts.push(verdict(request(client, transport, &path)).await);
        }
        assert!(
            verdicts.iter().all(|one| *one == verdicts[0]),
            "{caller}: {path}: {verdicts:?}"
        );
        verdicts.remove(0)
    }
}

fn admitted() -> (u16, String) {
    (200, String::new())
}

fn forbidden() -> (u16, String) {
    (403, "forbidden".to_owned())
}

fn unauthenticated() -> (u16, String) {
    (401, "unauthenticated".to_owned())
}

fn unavailable() -> (u16, String) {
    (503, "database_unavailable".to_owned())
}

/// Asks for a ticket for rooms of the default source.
async fn ask_ticket(client: &Client, rooms: &[&str]) -> Answer {
    client.post("/v1/tickets", &json!({ "rooms": rooms })).await
}

/// A ticket for rooms of the default source.
async fn ticket(client: &Client, rooms: &[&str]) -> String {
    let answer = ask_ticket(client, rooms).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["ticket"].as_str().expect("a ticket").to_owned()
}
