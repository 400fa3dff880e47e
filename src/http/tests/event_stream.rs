//! The body of a stream in either format, over steps that a test scripts.

use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use crate::auth::Lease;
use crate::cursor::{Cursor, OpenSet};
use crate::feed::{FeedError, ResetCode, Step};
use crate::http::stream::{EventStream, StreamFormat};
use crate::shutdown::Drain;

use super::counted;

const HOUR: Duration = Duration::from_secs(3600);

type PollStep = Box<dyn FnMut(&mut Context<'_>) -> Poll<Result<Step, FeedError>>>;

/// The formats with their heartbeat and their last words in a drain.
const FORMATS: [(StreamFormat, &str, &str); 2] = [
    (
        StreamFormat::Sse,
        ": heartbeat\n\n",
        "event: end\ndata: {\"code\":\"shutting_down\"}\n\n",
    ),
    (
        StreamFormat::Ndjson,
        "{\"control\":\"heartbeat\"}\n",
        "{\"control\":\"end\",\"code\":\"shutting_down\"}\n",
    ),
];

/// A stream of these steps, which then stays silent.
fn stream<const N: usize>(
    format: StreamFormat,
    steps: [Result<Step, FeedError>; N],
    heartbeat: Duration,
) -> EventStream<PollStep> {
    let mut steps = steps.into_iter();
    let poll: PollStep = Box::new(move |_| steps.next().map_or(Poll::Pending, Poll::Ready));
    EventStream::new(
        poll,
        format,
        heartbeat,
        Some(Duration::from_millis(1234)),
        &Drain::new(HOUR),
        Lease::endless(),
        counted(),
    )
}

async fn text<B: http_body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Unpin>(
    body: &mut B,
) -> Option<String> {
    let frame = timeout(Duration::from_secs(10), body.frame())
        .await
        .expect("a frame in time")?;
    let data = frame.unwrap().into_data().expect("data");
    Some(String::from_utf8(data.to_vec()).unwrap())
}

fn cursor(high: i64) -> Cursor {
    Cursor {
        epoch: 7,
        open: OpenSet::above(high),
    }
}

fn ready(high: i64) -> Result<Step, FeedError> {
    Ok(Step::Ready(cursor(high)))
}

#[tokio::test]
async fn sse_begins_with_the_retry_line_that_was_set() {
    let mut body = stream(StreamFormat::Sse, [ready(1)], HOUR);
    assert_eq!(text(&mut body).await.unwrap(), "retry: 1234\n\n");
    assert_eq!(
        text(&mut body).await.unwrap(),
        "event: ready\nid: 7.1\ndata: {\"cursor\":\"7.1\"}\n\n"
    );
}

#[tokio::test]
async fn lines_say_what_sse_says() {
    let reset = Ok(Step::Reset {
        code: ResetCode::Epoch,
        cursor: cursor(3),
    });
    let steps = [ready(1), reset, Err(FeedError::Gone)];
    let mut body = stream(StreamFormat::Ndjson, steps, HOUR);
    for expected in [
        r#"{"control":"ready","cursor":"7.1"}"#,
        r#"{"control":"reset","code":"epoch","cursor":"7.3"}"#,
        r#"{"control":"end","code":"unknown_source"}"#,
    ] {
        assert_eq!(text(&mut body).await.unwrap(), format!("{expected}\n"));
    }
    assert_eq!(text(&mut body).await, None);
}

#[tokio::test]
async fn heartbeats_go_on_while_the_feed_is_unavailable_and_it_is_asked_again() {
    for (format, heartbeat, _) in FORMATS {
        let steps = [
            ready(1),
            Err(FeedError::Unavailable),
            Err(FeedError::Unavailable),
            ready(2),
        ];
        let mut body = stream(format, steps, Duration::from_millis(10));
        let mut heartbeats = 0;
        loop {
            match text(&mut body).await.unwrap().as_str() {
                chunk if chunk == heartbeat => heartbeats += 1,
                chunk if chunk.contains("7.2") => break,
                _ => {}
            }
        }
        assert!(heartbeats >= 2, "{format:?}: {heartbeats}");
    }
}

#[tokio::test]
async fn a_drain_ends_it_within_the_window_even_when_the_feed_never_rests() {
    for (format, _, end) in FORMATS {
        let drain = Drain::new(Duration::from_millis(200));
        let flood = |_: &mut Context<'_>| Poll::Ready(ready(1));
        let mut body = EventStream::new(flood, format, HOUR, None, &drain, Lease::endless(), counted());
        text(&mut body).await;
        text(&mut body).await;
        drain.start();
        let begun = Instant::now();
        let mut last = String::new();
        while let Some(chunk) = text(&mut body).await {
            last = chunk;
            tokio::task::yield_now().await;
        }
        assert_eq!(last, end);
        assert!(begun.elapsed() < Duration::from_secs(5), "{format:?}");
    }
}

#[tokio::test]
async fn streams_that_drain_end_apart() {
    let drain = Drain::new(Duration::from_secs(10));
    let moments: std::collections::BTreeSet<_> = (0..50).map(|_| drain.stagger()).collect();
    assert!(moments.len() > 40 && *moments.last().unwrap() <= Duration::from_secs(8));
}
