//! A JWKS endpoint on a loopback address, that answers as the test says, and counts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// How it answers.
#[derive(Clone)]
pub enum Answer {
    Keys(Vec<Value>),
    Text(StatusCode, String),
    /// With the beginning of a body that has no end.
    Endless,
    Redirect(Url),
    /// Not at all.
    Silence,
}

pub struct Endpoint {
    pub url: Url,
    answer: Arc<Mutex<Answer>>,
    /// Requests that came.
    requests: watch::Sender<usize>,
    /// Requests are answered while it is true.
    is_open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Endpoint {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let url = format!("http://{}/jwks.json?key=canary", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let (requests, is_open) = (watch::Sender::new(0), watch::Sender::new(true));
        let handler = {
            let (answer, requests, is_open) = (Arc::clone(&answer), requests.clone(), is_open.clone());
            move || {
                let answer = answer.lock().unwrap().clone();
                requests.send_modify(|requests| *requests += 1);
                let mut is_open = is_open.subscribe();
                async move {
                    is_open.wait_for(|is_open| *is_open).await.unwrap();
                    // No connection is kept for the next request: it must find the listener.
                    ([(header::CONNECTION, "close")], respond(answer).await)
                }
            }
        };
        let router = axum::Router::new().fallback(handler);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url: url.parse().unwrap(),
            answer,
            requests,
            is_open,
            server,
        }
    }

    pub async fn with_keys(keys: &[Value]) -> Self {
        Self::start(Answer::Keys(keys.to_vec())).await
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Until so many requests have come.
    pub async fn wait_for_requests(&self, requests: usize) {
        let mut seen = self.requests.subscribe();
        seen.wait_for(|seen| *seen >= requests).await.unwrap();
    }

    /// Lets requests wait for [`Endpoint::open`].
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Nobody listens there any more.
    pub async fn vanish(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Keys(keys) => axum::Json(json!({ "keys": keys })).into_response(),
        Answer::Text(status, text) => (status, text).into_response(),
        Answer::Endless => {
            let blank = std::iter::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
            axum::body::Body::from_stream(futures_util::stream::iter(blank)).into_response()
        }
        Answer::Redirect(url) => (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response(),
        Answer::Silence => std::future::pending().await,
    }
}
