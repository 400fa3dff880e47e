//! Subscribing: one request over one room, several or all, of one source, dispatched to the transport that it asks for.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use tracing::Span;

use super::accept::{Format, negotiate};
use super::admission::Asker;
use super::client_address::ClientAddress;
use super::connection::First;
use super::error::{ApiError, ErrorCode};
use super::limits::{Limit, Limits, Subscribed};
use super::params::{ALL_ROOMS, Params, check_room};
use super::request::RequestId;
use super::stream::{self, EventStream, StreamFormat};
use super::{Shared, poll};
use crate::auth::Lease;
use crate::cursor::Resume;
use crate::feed::{FeedError, Start, Subscription};
use crate::metrics::{End, Subscriber, Transport};
use crate::relay::LiveSource;
use crate::room::{Room, RoomType};

/// The path's parameters as axum extracts them, or why it could not.
pub(super) type PathResult = Result<RawPathParams, RawPathParamsRejection>;

/// What a path names.
pub(super) struct Target {
    pub source: Arc<LiveSource>,
    /// The room's name, decoded and measured; `None` on the paths over several rooms.
    pub room: Option<String>,
}

impl Target {
    /// Reads a path: its source, else the default one, and its room.
    ///
    /// # Errors
    /// `unknown_source`, or `invalid_parameter` for a room that is empty, too long or not UTF-8.
    pub(super) fn read(shared: &Shared, path: PathResult) -> Result<Self, ApiError> {
        let path = path.map_err(|_| ApiError::parameter("The path is not UTF-8 after percent-decoding."))?;
        let mut names: HashMap<&str, &str> = path.iter().collect();
        let source = shared.relay.source(names.remove("source"))?;
        let room = names.remove("room").map(str::to_owned);
        room.as_deref().map_or(Ok(()), check_room)?;
        Ok(Self { source, room })
    }
}

/// `GET …/events`: SSE, NDJSON, long poll or plain poll. `HEAD` gets the head that a `GET` would, without waiting;
/// it takes no ticket, since nobody reads anything for it.
pub(super) async fn subscribe(
    State(shared): State<Arc<Shared>>,
    address: ClientAddress,
    path: PathResult,
    parts: Parts,
) -> Result<Response, ApiError> {
    let is_head = parts.method == Method::HEAD;
    let asker = Asker::admit(&shared, &parts, address, !is_head).await?;
    let limits = &shared.settings.limits;
    let target = Target::read(&shared, path)?;
    let format = negotiate(&parts.headers)?;
    let mut params = Params::parse(parts.uri.query(), &parts.headers)?;
    if params.before.is_some() && (format != Format::Json || params.wait.is_some()) {
        return Err(ApiError::parameter(
            "`before` scrolls back: only a plain poll can do that.",
        ));
    }
    if is_head {
        params.wait = None;
    }
    let room_type = target.source.definition().room_type;
    let rooms = match &target.room {
        Some(name) => vec![room_type.parse(name)?],
        None if params.rooms.iter().any(|name| name == ALL_ROOMS) => firehose(&shared, &params.rooms)?,
        None => several(limits, room_type, &params.rooms)?,
    };
    let lease = asker.read(&shared, &target.source, &rooms).await?;
    let answer = match format {
        Format::Stream(format) => {
            let subscribed = asker.subscribe(&shared)?;
            let subscription = subscription(rooms, &params, 0, STREAM_PAGE_ROWS);
            let held = (subscribed, lease, parts.extensions.get().cloned());
            stream(&shared, &target.source, subscription, format, &asker, held).await
        }
        Format::Json if params.wait.is_some() => {
            // It will be held for as long as it likes.
            if let Some(first) = parts.extensions.get::<First>() {
                first.is_over();
            }
            answer(&shared, &target.source, rooms, &params, &asker, lease).await
        }
        Format::Json => answer(&shared, &target.source, rooms, &params, &asker, lease).await,
    };
    answer.map_err(|error| match error.code() {
        ErrorCode::Overloaded => limits.over(Limit::WaitingReplays, error),
        _ => error,
    })
}

/// Rows of one page of a stream's replay.
const STREAM_PAGE_ROWS: usize = 500;

/// The stream of a subscription. Its feed takes a position before the head is sent: a row that is committed once
/// the client has the head is an event. And it does so once the tail has seen every row that was committed before the
/// request came, as for a poll: `last` and "from now on" mean the same over every transport. While the database is away
/// nobody waits for that.
///
/// # Errors
/// `overloaded` where it needs a replay for which there is no room in the queue; as [`Asker::enter`].
async fn stream(
    shared: &Shared,
    source: &LiveSource,
    subscription: Subscription,
    format: StreamFormat,
    asker: &Asker,
    (subscribed, lease, id): (Subscribed, Lease, Option<RequestId>),
) -> Result<Response, ApiError> {
    tokio::select! {
        _ = source.sync() => {}
        () = shared.drain.started() => {}
    }
    let mut feed = source.feed(subscription);
    let first = poll_fn(|cx| Poll::Ready(feed.poll_step(cx))).await;
    if let Poll::Ready(Err(error @ FeedError::Overloaded)) = first {
        return Err(error.into());
    }
    asker.enter(shared).await?;
    let settings = &shared.settings;
    let steps = move |cx: &mut Context<'_>| {
        // It counts as long as the stream lives.
        let _ = &subscribed;
        // What a replay logs is of this request; one that follows logs nothing, and its deliveries don't pay for it.
        let span = id.as_ref().filter(|_| !feed.is_following()).map(RequestId::span);
        let _in_request = span.as_ref().map(Span::enter);
        feed.poll_step(cx)
    };
    let body = EventStream::new(
        steps,
        format,
        settings.heartbeat,
        settings.retry,
        &shared.drain,
        lease,
        source.metrics().subscriber(format.transport()),
    );
    let body = match first {
        Poll::Ready(first) => body.with_first(first),
        Poll::Pending => body,
    };
    let mut response = stream::response(body);
    response.extensions_mut().insert(format.transport());
    Ok(response)
}

/// The JSON answer that the parameters ask for.
async fn answer(
    shared: &Shared,
    source: &LiveSource,
    rooms: Vec<Room>,
    params: &Params,
    asker: &Asker,
    lease: Lease,
) -> Result<Response, ApiError> {
    let transport = params.wait.map_or(Transport::Poll, |_| Transport::LongPoll);
    let mut counted = source.metrics().subscriber(transport);
    let mut answer = poll(shared, source, rooms, params, asker, (lease, &counted)).await;
    if let Ok(response) = &mut answer {
        response.extensions_mut().insert(transport);
    }
    counted.ends(match &answer {
        Ok(_) => End::Answered,
        Err(error) => error.code().into(),
    });
    answer
}

/// The transport of [`answer`].
async fn poll(
    shared: &Shared,
    source: &LiveSource,
    rooms: Vec<Room>,
    params: &Params,
    asker: &Asker,
    (mut lease, counted): (Lease, &Subscriber),
) -> Result<Response, ApiError> {
    // A poll does not wait for a database that is known to be away.
    source.available()?;
    let limit = params.limit;
    let answer = async {
        if let (None, Some(wait)) = (params.before, params.wait) {
            let _subscribed = asker.subscribe(shared)?;
            let subscription = subscription(rooms, params, 0, limit + 1);
            let enter = asker.enter(shared);
            return poll::long(source, subscription, limit, wait, &shared.drain, enter, counted).await;
        }
        let answer = match params.before {
            Some(below) => poll::before(source, &rooms, below, limit, counted).await?,
            None => {
                let subscription = subscription(rooms, params, limit, limit + 1);
                poll::plain(source, subscription, limit, counted).await?
            }
        };
        asker.enter(shared).await?;
        Ok(answer)
    };
    tokio::select! {
        biased;
        // Also one that is answered at once may have waited for its turn to read: what it has by then is not theirs any longer,
        // nor are rows that come in the same moment.
        ended = lease.ended() => Err(ended.into()),
        answered = answer => answered,
    }
}

/// What the feed is asked for: `default_last` is how many of the newest events go first where the client said neither
/// a cursor nor `last`.
fn subscription(rooms: Vec<Room>, params: &Params, default_last: usize, page_rows: usize) -> Subscription {
    let (start, last) = match &params.resume {
        Some(Resume::Cursor(cursor)) => (Start::After(cursor.clone()), 0),
        Some(Resume::RowId(id)) => (Start::AfterRow(*id), 0),
        None => (Start::Now, default_last),
    };
    let last = params.last.unwrap_or(last);
    Subscription {
        rooms,
        start,
        last,
        page_rows,
    }
}

/// All rooms at once, where the operator allows it.
///
/// # Errors
/// `invalid_parameter` where others are named beside it, `forbidden` where it is off.
fn firehose(shared: &Shared, names: &[String]) -> Result<Vec<Room>, ApiError> {
    if names.len() > 1 {
        return Err(ApiError::parameter(
            "`room=*` means all rooms: it can't be combined with others.",
        ));
    }
    if !shared.settings.allow_firehose {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "Following all rooms at once is off (`--allow-firehose`).",
        ));
    }
    Ok(vec![Room::all()])
}

/// The canonical rooms of a query, each once, in the order given: `7` and `07` are one room where rooms are numbers.
///
/// # Errors
/// `invalid_parameter`, also for more rooms than one subscription may have; `unknown_room`.
pub(super) fn several(limits: &Limits, room_type: RoomType, names: &[String]) -> Result<Vec<Room>, ApiError> {
    if names.is_empty() {
        return Err(ApiError::parameter("Name the rooms: `?room=a&room=b`."));
    }
    names.iter().try_for_each(|name| check_room(name))?;
    let mut rooms: Vec<Room> = Vec::with_capacity(names.len());
    for name in names {
        let room = room_type.parse(name)?;
        if !rooms.contains(&room) {
            rooms.push(room);
        }
        let most = limits.settings().rooms;
        if rooms.len() > most {
            let error = ApiError::parameter(format!("A subscription has at most {most} rooms."));
            return Err(limits.over(Limit::Rooms, error));
        }
    }
    Ok(rooms)
}
