//! An open stream of either format, read until it ends.

use crate::support::{Client, Lines, Stream, Transport};

/// The transports that have one.
pub const STREAMS: [Transport; 2] = [Transport::EventStream, Transport::Ndjson];

enum Open {
    EventStream(Stream),
    Lines(Lines),
}

/// It keeps the newest cursor, and the rows that came after it.
pub struct Live {
    open: Open,
    pub cursor: String,
    /// Rows that a client which resumes at `cursor` gets again: lines have their cursor behind them.
    pub since_cursor: Vec<i64>,
}

impl Live {
    /// Opens it; returns when it is ready.
    pub async fn open(client: &Client, transport: Transport, path: &str) -> Self {
        let (open, cursor) = match transport {
            Transport::EventStream => {
                let mut stream = client.stream(path).await;
                let cursor = stream.ready().await;
                (Open::EventStream(stream), cursor)
            }
            _ => {
                let mut lines = client.lines(path).await;
                let cursor = lines.control("ready").await;
                (Open::Lines(lines), cursor)
            }
        };
        Self {
            open,
            cursor,
            since_cursor: Vec::new(),
        }
    }

    /// The next row's id, or the code that the stream ends with, after a check that nothing comes behind that.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<i64, String>> {
        let caller = std::panic::Location::caller();
        async move {
            let ended = match &mut self.open {
                Open::EventStream(stream) => {
                    let frame = stream.next_event().await;
                    self.cursor = stream.last_event_id.clone().expect("ready had one");
                    match frame.event.as_deref() {
                        None => return Ok(frame.json()["id"].as_i64().expect("an integer id")),
                        Some(event) => assert_eq!(event, "end", "{caller}: {frame:?}"),
                    }
                    assert_eq!(stream.next_frame().await, None, "{caller}: it is over");
                    frame.json()
                }
                Open::Lines(lines) => loop {
                    let line = lines.next_line().await.expect("an end before the end");
                    match line["control"].as_str() {
                        None => {
                            let id = line["id"].as_i64().expect("an integer id");
                            self.since_cursor.push(id);
                            return Ok(id);
                        }
                        Some("cursor") => {
                            self.cursor = line["cursor"].as_str().expect("a cursor").to_owned();
                            self.since_cursor.clear();
                        }
                        Some(control) => {
                            assert_eq!(control, "end", "{caller}: {line}");
                            assert_eq!(lines.next_raw().await, None, "{caller}: it is over");
                            break line;
                        }
                    }
                },
            };
            Err(ended["code"].as_str().expect("a code").to_owned())
        }
    }
}
