//! JSON answers: plain poll, long poll and scrolling back, as short reads of the same feed that a stream renders.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::error::{ApiError, ErrorCode};
use crate::cursor::Cursor;
use crate::feed::{Batch, Feed, FeedError, ResetCode, Start, Step, Subscription};
use crate::metrics::Subscriber;
use crate::relay::{LiveSource, Older};
use crate::room::Room;
use crate::shutdown::Drain;

/// A plain poll: what there is now, at most `limit` events. It shows every row committed before it came.
///
/// # Errors
/// 409 on a reset, 503 while the database is away, 404 when the source was detached.
pub(super) async fn plain(
    source: &LiveSource,
    subscription: Subscription,
    limit: usize,
    counted: &Subscriber,
) -> Result<Response, ApiError> {
    source.sync().await?;
    let mut feed = source.feed(within_one_answer(source, subscription, limit));
    let mut page = Page::new(limit, counted);
    let caught_up = page.replay(&mut feed).await?;
    Ok(page.answer(caught_up))
}

/// A long poll: what there is now, else what comes within `wait`, else an empty list with the cursor to go on from.
/// It ends at once when the relay drains. `enter` lets its client in, once nothing else can refuse it and before it waits.
///
/// An answer with events shows every row committed before the request came, too, unless the tail takes longer than
/// [`COMPLETE_WITHIN`]. To come from now on is to come after those rows, so that the tail is asked for a read first; one with a
/// cursor misses nothing, and nearly always waits for longer than until the tail's next read: then nobody asks the database for it.
///
/// # Errors
/// As [`plain`], and those of `enter`.
pub(super) async fn long(
    source: &LiveSource,
    subscription: Subscription,
    limit: usize,
    wait: Duration,
    drain: &Drain,
    enter: impl Future<Output = Result<(), ApiError>>,
    counted: &Subscriber,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + wait;
    let came = source.mark();
    let mut page = Page::new(limit, counted);
    let begin = async {
        // A cursor of another relay may be ahead of this one's tail.
        if !matches!(&subscription.start, Start::After(cursor) if source.has_reached(cursor)) {
            source.sync_since(came).await?;
        }
        let mut feed = source.feed(within_one_answer(source, subscription, limit));
        let caught_up = page.replay(&mut feed).await?;
        enter.await?;
        Ok::<_, ApiError>((feed, caught_up))
    };
    let (mut feed, caught_up) = tokio::select! {
        biased;
        begun = begin => begun?,
        () = drain.started() => return Err(ApiError::shutting_down()),
        () = tokio::time::sleep_until(deadline) => return Err(FeedError::Unavailable.into()),
    };
    let Some(ready) = caught_up else {
        return Ok(page.answer(None));
    };
    if page.is_empty() {
        tracing::debug!(cursor = %ready, "a long poll waits");
    }
    let more = async {
        let cut = page.follow(&mut feed).await?;
        if cut {
            return Ok(true);
        }
        let _ = tokio::time::timeout(COMPLETE_WITHIN, source.sync_since(came)).await;
        Ok::<_, ApiError>(page.take_waiting(&mut feed) || feed.has_more())
    };
    let more = tokio::select! {
        biased;
        more = more => more?,
        () = tokio::time::sleep_until(deadline) => false,
        () = drain.started() => false,
    };
    // Rows that were listed have no position of their own: behind them it is the feed's.
    let cut_at = page.cursor.clone().filter(|_| more);
    let cursor = cut_at.or_else(|| feed.cursor()).unwrap_or(ready);
    Ok(page.render(&cursor, more))
}

/// How long events that are there wait for a read that makes them complete: several of the tail's intervals.
const COMPLETE_WITHIN: Duration = Duration::from_millis(100);

/// The newest `limit` events below the row id `below`.
///
/// # Errors
/// 503 while the database is away, 404 when the source was detached.
pub(super) async fn before(
    source: &LiveSource,
    rooms: &[Room],
    below: i64,
    limit: usize,
    counted: &Subscriber,
) -> Result<Response, ApiError> {
    source.sync().await?;
    let Older { events, cursor, more } = source.before(rooms, below, limit).await?;
    let mut page = Page::new(limit, counted);
    if let Some(events) = events {
        page.take(events);
    }
    Ok(page.render(&cursor, more))
}

/// Rows that are listed as they stand have no position, so what the limit leaves out of them could not be asked for with
/// a cursor: then the newest `limit` are meant.
fn within_one_answer(source: &LiveSource, mut subscription: Subscription, limit: usize) -> Subscription {
    if source.lists_rows() {
        subscription.last = subscription.last.min(limit);
    }
    subscription
}

/// Bytes of events after which an answer is cut, as by its limit: a thousand large rows are no single answer. More than
/// what scrolling back holds, which is bounded from the other end.
const ANSWER_BYTES: usize = 8 << 20;

/// What the end of an answer takes where the cursor has no gaps.
const END_BYTES: usize = 96;

/// An answer under construction.
struct Page<'a> {
    counted: &'a Subscriber,
    limit: usize,
    count: usize,
    /// Its text so far: the events, comma-separated, their shared JSON text copied once.
    text: Vec<u8>,
    /// The position after the last event taken.
    cursor: Option<Cursor>,
}

impl<'a> Page<'a> {
    fn new(limit: usize, counted: &'a Subscriber) -> Self {
        Self {
            counted,
            limit,
            count: 0,
            text: b"{\"events\":[".to_vec(),
            cursor: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    async fn step(&self, feed: &mut Feed) -> Result<Step, FeedError> {
        let step = feed.step().await?;
        if let Step::Reset { code, .. } = &step {
            self.counted.reset((*code).into());
        }
        Ok(step)
    }

    /// Takes events until the feed has caught up, and returns its cursor then; `None` where the limit cut the list.
    async fn replay(&mut self, feed: &mut Feed) -> Result<Option<Cursor>, ApiError> {
        loop {
            match self.step(feed).await? {
                Step::Events(batch) => {
                    if self.take(batch) {
                        return Ok(None);
                    }
                }
                Step::Ready(cursor) => return Ok(Some(cursor)),
                Step::Reset { code, cursor } => return Err(reset(code, cursor)),
            }
        }
    }

    /// Waits for the next events; true where the limit cut them.
    async fn follow(&mut self, feed: &mut Feed) -> Result<bool, ApiError> {
        while self.is_empty() {
            match self.step(feed).await? {
                Step::Events(batch) => {
                    if self.take(batch) {
                        return Ok(true);
                    }
                }
                Step::Ready(_) => {}
                Step::Reset { code, cursor } => return Err(reset(code, cursor)),
            }
        }
        Ok(false)
    }

    /// Takes what stands in the rings already; true where that is not all: the limit cut it, or the rest stands in the table, or
    /// is something else than events, which the next answer tells.
    fn take_waiting(&mut self, feed: &mut Feed) -> bool {
        while feed.has_more() {
            match feed.step().now_or_never() {
                Some(Ok(Step::Events(batch))) => {
                    if self.take(batch) {
                        return true;
                    }
                }
                Some(Ok(Step::Ready(_))) => {}
                _ => return true,
            }
        }
        false
    }

    /// Takes as much of `batch` as the limits admit; true where that cut it.
    fn take(&mut self, mut batch: Batch) -> bool {
        let mut bytes = self.text.len();
        let mut is_first = self.is_empty();
        let fitting = batch.events().take(self.limit - self.count).take_while(|event| {
            bytes += event.len() + 1;
            std::mem::take(&mut is_first) || bytes <= ANSWER_BYTES
        });
        let fitting = fitting.count();
        let cut = batch.len() > fitting;
        batch.truncate(fitting);
        let bytes: usize = batch.events().map(|event| event.len() + 1).sum();
        self.text.reserve(bytes + END_BYTES);
        for event in batch.events() {
            if !self.is_empty() {
                self.text.push(b',');
            }
            self.text.extend_from_slice(event);
            self.count += 1;
        }
        self.counted.delivered(batch.len(), batch.is_replayed());
        batch
            .take_times()
            .for_each(|times| self.counted.first_delivered(times));
        self.cursor = batch.cursor().or(self.cursor.take());
        cut
    }

    /// The answer: `caught_up` is the cursor where nothing more stands after it already.
    fn answer(self, caught_up: Option<Cursor>) -> Response {
        let more = caught_up.is_none();
        let cursor = caught_up
            .or_else(|| self.cursor.clone())
            .expect("a list is cut after an event at the earliest");
        self.render(&cursor, more)
    }

    fn render(self, cursor: &Cursor, more: bool) -> Response {
        let Self {
            counted, mut text, ..
        } = self;
        // A cursor's text has nothing that JSON would escape.
        text.extend_from_slice(format!("],\"cursor\":\"{cursor}\",\"more\":{more}}}").as_bytes());
        // A slow client pins it for as long as it takes.
        if text.capacity() - text.len() > END_BYTES.max(text.len() / 8) {
            text.shrink_to_fit();
        }
        counted.sent(text.len());
        let mut response = text.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn reset(code: ResetCode, cursor: Cursor) -> ApiError {
    let code = match code {
        ResetCode::CursorAhead => ErrorCode::CursorAhead,
        ResetCode::Epoch => ErrorCode::Epoch,
        ResetCode::Truncated => ErrorCode::Truncated,
        ResetCode::Expired => ErrorCode::Expired,
    };
    ApiError::reset(code, cursor)
}
