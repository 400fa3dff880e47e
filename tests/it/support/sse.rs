//! Reading an event stream as the HTML standard says ("9.2.6 Interpreting an event stream"), with comments and the
//! `retry:` line kept for the tests to look at.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream as ByteStream, StreamExt};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::within;

/// One block of a stream: the lines up to an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub id: Option<String>,
    /// `None`: a message, which `onmessage` sees.
    pub event: Option<String>,
    pub data: Option<String>,
    pub retry_milliseconds: Option<u64>,
    pub comments: Vec<String>,
}

/// An open event stream.
pub struct Stream {
    pub headers: HeaderMap,
    bytes: Pin<Box<dyn ByteStream<Item = reqwest::Result<Bytes>> + Send>>,
    unread: Vec<u8>,
    /// The id of the newest frame that had one: what an EventSource would resume with.
    pub last_event_id: Option<String>,
}

impl Frame {
    /// `data`, parsed.
    pub fn json(&self) -> Value {
        let data = self
            .data
            .as_deref()
            .unwrap_or_else(|| panic!("no data in {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data:?}"))
    }

    fn parse(block: &str) -> Self {
        let mut frame = Self::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => frame.comments.push(value.to_owned()),
                "id" => frame.id = Some(value.to_owned()),
                "event" => frame.event = Some(value.to_owned()),
                "retry" => frame.retry_milliseconds = Some(value.parse().expect("retry in digits")),
                "data" => match &mut frame.data {
                    Some(data) => *data = format!("{data}\n{value}"),
                    None => frame.data = Some(value.to_owned()),
                },
                _ => panic!("a field that no client reads, in {block:?}"),
            }
        }
        frame
    }
}

impl Stream {
    /// Fails unless the response is an event stream.
    pub async fn of(response: reqwest::Response) -> Self {
        let headers = response.headers().clone();
        let kind = headers
            .get("content-type")
            .map(|kind| kind.to_str().expect("a content type in ASCII").to_owned());
        if !kind
            .as_deref()
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            panic!(
                "no event stream: {} {kind:?} {:?}",
                response.status(),
                response.text().await
            );
        }
        Self {
            headers,
            bytes: Box::pin(response.bytes_stream()),
            unread: Vec::new(),
            last_event_id: None,
        }
    }

    /// The next frame, whatever is in it; `None` where the stream is over, be it by an error.
    #[track_caller]
    pub fn next_frame(&mut self) -> impl Future<Output = Option<Frame>> {
        let next = self.next_block();
        async {
            let (block, last_event_id) = next.await?;
            let frame = Frame::parse(&block);
            *last_event_id = frame.id.clone().or_else(|| last_event_id.take());
            Some(frame)
        }
    }

    /// The next frame as it was sent, byte for byte.
    #[track_caller]
    pub fn next_raw(&mut self) -> impl Future<Output = Option<String>> {
        let next = self.next_block();
        async { Some(next.await?.0) }
    }

    #[track_caller]
    fn next_block(&mut self) -> impl Future<Output = Option<(String, &mut Option<String>)>> {
        within(async {
            loop {
                if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                    let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                    let block = String::from_utf8(block).expect("a stream in UTF-8");
                    return Some((block, &mut self.last_event_id));
                }
                match self.bytes.next().await {
                    Some(Ok(bytes)) => self.unread.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return None,
                }
            }
        })
    }

    /// The next frame that a browser would dispatch: comments and `retry:` are passed over. Fails at the stream's end.
    #[track_caller]
    pub fn next_event(&mut self) -> impl Future<Output = Frame> {
        let caller = std::panic::Location::caller();
        async move {
            loop {
                let frame = self
                    .next_frame()
                    .await
                    .unwrap_or_else(|| panic!("{caller}: the stream is over"));
                if frame.data.is_some() {
                    return frame;
                }
            }
        }
    }

    /// The next row's event (JSON), after a check that the next event is one.
    #[track_caller]
    pub fn next_row(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let next = self.next_event();
        async move {
            let frame = next.await;
            assert_eq!(frame.event, None, "{caller}: {frame:?}");
            frame.json()
        }
    }

    /// The cursor of `ready`, after a check that the next event is that.
    #[track_caller]
    pub fn ready(&mut self) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        let next = self.next_event();
        async move {
            let frame = next.await;
            assert_eq!(frame.event.as_deref(), Some("ready"), "{caller}: {frame:?}");
            let cursor = frame.json()["cursor"].as_str().expect("a cursor").to_owned();
            assert_eq!(frame.id.as_ref(), Some(&cursor), "{caller}");
            cursor
        }
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
