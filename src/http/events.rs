//! Subscribing: one request over one room or several, of one source, dispatched to the transport that it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::accept::{Format, negotiate};
use super::error::ApiError;
use super::params::{MAX_ROOMS, Params, check_room};
use super::{Shared, poll, sse};
use crate::cursor::Resume;
use crate::feed::{Start, Subscription};
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

/// `GET …/events`: SSE, long poll or plain poll. `HEAD` gets the head that a `GET` would, without waiting.
pub(super) async fn subscribe(
    State(shared): State<Arc<Shared>>,
    method: Method,
    path: PathResult,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::read(&shared, path)?;
    let format = negotiate(&headers)?;
    let mut params = Params::parse(query.as_deref(), &headers)?;
    if params.before.is_some() && (format == Format::EventStream || params.wait.is_some()) {
        return Err(ApiError::parameter(
            "`before` scrolls back: only a plain poll can do that.",
        ));
    }
    if method == Method::HEAD {
        params.wait = None;
    }
    let names = target
        .room
        .map_or_else(|| several(&params.rooms), |room| Ok(vec![room]))?;
    let rooms = parse_rooms(target.source.definition().room_type, &names)?;
    match format {
        Format::EventStream => Ok(stream(
            &shared,
            &target.source,
            subscription(rooms, &params, 0, STREAM_PAGE_ROWS),
        )),
        Format::Json => answer(&shared, &target.source, rooms, &params).await,
    }
}

/// Rows of one page of a stream's replay.
const STREAM_PAGE_ROWS: usize = 500;

/// The event stream of a subscription.
fn stream(shared: &Shared, source: &LiveSource, subscription: Subscription) -> Response {
    let mut feed = source.feed(subscription);
    let settings = &shared.settings;
    let steps = move |cx: &mut std::task::Context<'_>| feed.poll_step(cx);
    sse::response(sse::EventStream::new(
        steps,
        settings.heartbeat,
        settings.retry,
        &shared.drain,
    ))
}

/// The JSON answer that the parameters ask for.
async fn answer(
    shared: &Shared,
    source: &LiveSource,
    rooms: Vec<Room>,
    params: &Params,
) -> Result<Response, ApiError> {
    poll::check_available(source)?;
    match (params.before, params.wait) {
        (Some(below), _) => poll::before(source, &rooms, below, params.limit).await,
        (None, Some(wait)) => {
            let subscription = subscription(rooms, params, 0, params.limit + 1);
            poll::long(source, subscription, params.limit, wait, &shared.drain).await
        }
        (None, None) => {
            let subscription = subscription(rooms, params, params.limit, params.limit + 1);
            poll::plain(source, subscription, params.limit).await
        }
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

/// The rooms of a query.
fn several(names: &[String]) -> Result<Vec<String>, ApiError> {
    if names.is_empty() {
        return Err(ApiError::parameter("Name the rooms: `?room=a&room=b`."));
    }
    names.iter().try_for_each(|name| check_room(name))?;
    Ok(names.to_vec())
}

/// The canonical rooms, each once, in the order given: `7` and `07` are one room where rooms are numbers.
fn parse_rooms(room_type: RoomType, names: &[String]) -> Result<Vec<Room>, ApiError> {
    let mut rooms: Vec<Room> = Vec::with_capacity(names.len());
    for name in names {
        let room = room_type.parse(name)?;
        if !rooms.contains(&room) {
            rooms.push(room);
        }
        if rooms.len() > MAX_ROOMS {
            return Err(ApiError::parameter("A subscription has at most 100 rooms."));
        }
    }
    Ok(rooms)
}
