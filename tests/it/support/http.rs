//! HTTP requests to a relay, and what a poll answers.

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Lines, Stream, plain_http, within};

/// Requests to one relay. Paths begin with `/`.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Client {
    /// `base`: `http://ADDRESS`, and the base path if there is one.
    pub fn new(base: &str) -> Self {
        let http = plain_http().build().expect("a client of HTTP");
        Self {
            base: base.to_owned(),
            http,
        }
    }

    /// The same base, another client: another protocol, other headers.
    pub fn with(&self, http: reqwest::Client) -> Self {
        Self {
            base: self.base.clone(),
            http,
        }
    }

    /// The same relay under a base path.
    pub fn under(&self, path: &str) -> Self {
        Self {
            base: format!("{}{path}", self.base),
            http: self.http.clone(),
        }
    }

    /// A request to be added to and handed to [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request and reads its whole answer.
    #[track_caller]
    pub fn send(&self, request: reqwest::RequestBuilder) -> impl Future<Output = Answer> + use<> {
        within(async move {
            let response = request.send().await.expect("an answer");
            let (status, headers) = (response.status(), response.headers().clone());
            Answer {
                status,
                headers,
                body: response.text().await.expect("the answer's body"),
            }
        })
    }

    /// GET, as JSON: a poll, a long poll (`?wait=10`), health.
    #[track_caller]
    pub fn get(&self, path: &str) -> impl Future<Output = Answer> + use<> {
        self.send(self.request(Method::GET, path).header(ACCEPT, "application/json"))
    }

    /// POST of a JSON body: publish.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        self.send(self.request(Method::POST, path).json(body))
    }

    /// GET as an event stream; fails unless that is what comes back.
    #[track_caller]
    pub fn stream(&self, path: &str) -> impl Future<Output = Stream> + use<> {
        self.stream_of(self.request(Method::GET, path))
    }

    /// Like [`Client::stream`], resuming as an EventSource does, with the header `Last-Event-ID`.
    #[track_caller]
    pub fn resume(&self, path: &str, cursor: &str) -> impl Future<Output = Stream> + use<> {
        self.stream_of(self.request(Method::GET, path).header("last-event-id", cursor))
    }

    #[track_caller]
    fn stream_of(&self, request: reqwest::RequestBuilder) -> impl Future<Output = Stream> + use<> {
        within(async move {
            let response = request
                .header(ACCEPT, "text/event-stream")
                .send()
                .await
                .expect("an answer");
            Stream::of(response).await
        })
    }
}

impl Client {
    /// GET as a stream of lines (NDJSON); fails unless that is what comes back.
    #[track_caller]
    pub fn lines(&self, path: &str) -> impl Future<Output = Lines> + use<> {
        let request = self.request(Method::GET, path);
        let request = request.header(ACCEPT, "application/x-ndjson");
        within(async move { Lines::of(request.send().await.expect("an answer")).await })
    }
}

impl Answer {
    /// The body, parsed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The events of a poll's answer.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.json()["events"]
            .as_array()
            .expect("a list of events")
            .clone()
    }

    /// The ids of a poll's events, in order.
    pub fn ids(&self) -> Vec<i64> {
        self.events()
            .iter()
            .map(|event| event["id"].as_i64().expect("an integer id"))
            .collect()
    }

    /// The cursor of a poll's answer, or of a reset.
    pub fn cursor(&self) -> String {
        self.json()["cursor"].as_str().expect("a cursor").to_owned()
    }

    /// The `code` of a problem, after a check that it is one.
    pub fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.body
        );
        self.json()["code"].as_str().expect("a code").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }
}
