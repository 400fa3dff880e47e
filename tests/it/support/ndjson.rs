//! Reading a stream of lines (NDJSON), each of which must be a JSON text.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream as ByteStream, StreamExt};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::within;

/// An open stream of lines.
pub struct Lines {
    pub headers: HeaderMap,
    bytes: Pin<Box<dyn ByteStream<Item = reqwest::Result<Bytes>> + Send>>,
    unread: Vec<u8>,
    /// Of the newest line that had one: where to resume from.
    pub cursor: Option<String>,
}

impl Lines {
    /// Fails unless the response is a stream of lines.
    pub async fn of(response: reqwest::Response) -> Self {
        let headers = response.headers().clone();
        let kind = headers.get("content-type").cloned();
        if kind.as_ref().is_none_or(|kind| kind != "application/x-ndjson") {
            let status = response.status();
            panic!("no lines: {status} {kind:?} {:?}", response.text().await);
        }
        Self {
            headers,
            bytes: Box::pin(response.bytes_stream()),
            unread: Vec::new(),
            cursor: None,
        }
    }

    /// The next line as it was sent, with its end; `None` where the stream is over, be it by an error.
    #[track_caller]
    pub fn next_raw(&mut self) -> impl Future<Output = Option<String>> {
        within(async {
            loop {
                if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                    let line = self.unread.drain(..=end).collect();
                    return Some(String::from_utf8(line).expect("a stream in UTF-8"));
                }
                match self.bytes.next().await {
                    Some(Ok(bytes)) => self.unread.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return None,
                }
            }
        })
    }

    /// The next line that is no heartbeat; `None` where the stream is over. Fails where a line is neither an event nor a
    /// control line.
    #[track_caller]
    pub fn next_line(&mut self) -> impl Future<Output = Option<Value>> {
        let caller = std::panic::Location::caller();
        // All of it, or heartbeats would keep it waiting for ever.
        within(async move {
            loop {
                let text = self.next_raw().await?;
                let line: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{caller}: {error} in {text:?}"));
                assert!(
                    line["op"].is_string() != line["control"].is_string(),
                    "{caller}: an event or a control line: {text}"
                );
                if let Some(cursor) = line["cursor"].as_str() {
                    self.cursor = Some(cursor.to_owned());
                }
                if line["control"] != "heartbeat" {
                    return Some(line);
                }
            }
        })
    }

    /// The cursor of the control line `control`, after a check that the next line is that.
    #[track_caller]
    pub fn control(&mut self, control: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        let next = self.next_line();
        async move {
            let line = next.await.expect("the stream goes on");
            assert_eq!(line["control"], control, "{caller}: {line}");
            line["cursor"].as_str().expect("a cursor").to_owned()
        }
    }

    /// The next event, after a check that the next line is one but for the cursors of earlier ones.
    #[track_caller]
    pub fn next_row(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        within(async move {
            loop {
                let line = self.next_line().await.expect("the stream goes on");
                if line["control"] != "cursor" {
                    assert!(line["op"].is_string(), "{caller}: {line}");
                    return line;
                }
            }
        })
    }

    /// The ids of the next `count` rows.
    #[track_caller]
    pub fn ids(&mut self, count: usize) -> impl Future<Output = Vec<i64>> {
        within(async move {
            let mut ids = Vec::with_capacity(count);
            while ids.len() < count {
                ids.push(self.next_row().await["id"].as_i64().expect("an integer id"));
            }
            ids
        })
    }
}
