//! The feed's machine: take a position, replay in pages, say ready, follow; and again when the ring is overtaken.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::cursor::{Cursor, OpenSet};
use crate::hub::{Hub, Joined, Piece, Position, Pull, Subscriber};

use super::at::At;
use super::open::{Open, after_row};
use super::replay::{Failed, Listing, Page, Replays, Request};
use super::stage::{Looking, Replaying, Stage};
use super::{Batch, FeedError, ResetCode, Start, Step, Subscription};

/// One subscriber's stream of steps. It never ends by itself.
pub struct Feed {
    subscriber: Subscriber,
    replays: Arc<Replays>,
    last: u32,
    page_rows: u32,
    /// Where to begin; `None` once the feed has a position, which is nearly always.
    start: Option<Box<Start>>,
    /// The cursor was held against the sequence and the table.
    checked: bool,
    /// It may wait for a replay: there was room in the queue when it first needed one.
    admitted: bool,
    /// Ready was said. One that was overtaken catches up without saying it again.
    said_ready: bool,
    epoch: i64,
    /// The delivery number up to which the rings were taken.
    number: u64,
    open: Open,
    stage: Stage,
}

impl Feed {
    /// Enters the rooms. Nothing is read before the first step.
    pub fn new(hub: &Arc<Hub>, replays: &Arc<Replays>, subscription: Subscription) -> Self {
        let Subscription {
            rooms,
            start,
            last,
            page_rows,
        } = subscription;
        let rows = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            subscriber: Subscriber::new(hub.clone(), &rooms),
            replays: replays.clone(),
            last: rows(last),
            page_rows: rows(page_rows),
            start: Some(Box::new(start)),
            checked: false,
            admitted: false,
            said_ready: false,
            epoch: 0,
            number: 0,
            open: Open::Own(OpenSet::above(0)),
            stage: Stage::Join,
        }
    }

    /// The next step.
    ///
    /// # Errors
    /// See [`FeedError`]. After [`FeedError::Unavailable`] and [`FeedError::Overloaded`] the feed goes on where it was when
    /// it is asked again.
    pub async fn step(&mut self) -> Result<Step, FeedError> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    /// [`Feed::step`] for those who poll.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, FeedError>> {
        loop {
            self.admit()?;
            let step = match &mut self.stage {
                Stage::Join => ready!(self.poll_join(cx))?,
                Stage::Checking(ceiling) => {
                    let ceiling = ready!(ceiling.as_mut().poll(cx));
                    self.on_ceiling(ceiling)?
                }
                Stage::Locating(looking) => {
                    let found = ready!(looking.found.as_mut().poll(cx));
                    self.on_located(found)?
                }
                Stage::Listing(looking) => {
                    let found = ready!(looking.found.as_mut().poll(cx));
                    self.on_listed(found)?
                }
                Stage::Replaying(replaying) => {
                    let page = ready!(replaying.page.as_mut().poll(cx));
                    self.on_page(page)?
                }
                Stage::Following { .. } => ready!(self.poll_follow(cx)),
            };
            if let Some(step) = step {
                return Poll::Ready(Ok(step));
            }
        }
    }

    /// Before the first question to the database is asked: whether it may be. A feed that is refused has lost nothing, it
    /// stands where it did.
    fn admit(&mut self) -> Result<(), FeedError> {
        let asks = !matches!(self.stage, Stage::Join | Stage::Following { .. });
        if self.admitted || !asks {
            return Ok(());
        }
        self.admitted = self.replays.has_room();
        match self.admitted {
            true => Ok(()),
            false => Err(FeedError::Overloaded),
        }
    }

    /// The subscriber's position now; `None` before the feed has one.
    pub fn cursor(&self) -> Option<Cursor> {
        if self.start.is_some() {
            return None;
        }
        let mut open = self.open.set().clone();
        // What the tail delivered up to the present without anything in these rooms, it delivered to others.
        if let (Stage::Following { .. }, Joined::At { epoch, present, .. }) =
            (&self.stage, self.subscriber.join())
            && epoch == self.epoch
            && matches!(self.subscriber.pull(self.number), Pull::Nothing)
        {
            open = open.intersection(&present.open);
        }
        let epoch = self.epoch;
        Some(Cursor { epoch, open })
    }

    /// Whether it follows the rings: then it asks the database nothing.
    pub fn is_following(&self) -> bool {
        matches!(self.stage, Stage::Following { .. })
    }

    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Step>, FeedError>> {
        let joined = self.subscriber.join();
        if matches!(joined, Joined::Closed) {
            return Poll::Ready(Err(FeedError::Gone));
        }
        let Some(at) = At::of(joined) else {
            ready!(self.subscriber.poll_news(cx, 0));
            return Poll::Ready(Ok(None));
        };
        Poll::Ready(Ok(match self.start.as_deref().cloned() {
            None if self.epoch != at.epoch => self.reset(ResetCode::Truncated, at),
            None => self.resume(self.open.set().clone(), at),
            Some(Start::Now) => self.newest_then_follow(at),
            Some(Start::After(cursor)) if cursor.epoch != at.epoch => self.reset(ResetCode::Epoch, at),
            Some(Start::After(cursor)) => match self.must_check(cursor.open.high(), &at) {
                true => self.check(),
                false => self.resume(cursor.open, at),
            },
            Some(Start::AfterRow(id)) => match self.must_check(id, &at) {
                true => self.check(),
                false => self.resume(after_row(id, &at.present.open), at),
            },
        }))
    }

    /// A cursor that the tail has not reached may be of another relay that is ahead, or of a future that was lost.
    fn must_check(&self, high: i64, at: &At) -> bool {
        !self.checked && high > at.present.open.high()
    }

    fn check(&mut self) -> Option<Step> {
        let replays = self.replays.clone();
        self.stage = Stage::Checking(Box::pin(async move { replays.ceiling().await }));
        None
    }

    fn on_ceiling(&mut self, ceiling: Result<i64, Failed>) -> Result<Option<Step>, FeedError> {
        self.stage = Stage::Join;
        let ceiling = ceiling?;
        self.checked = true;
        let high = match self.start.as_deref() {
            Some(Start::After(cursor)) => cursor.open.high(),
            Some(Start::AfterRow(id)) => *id,
            Some(Start::Now) | None => 0,
        };
        if high <= ceiling {
            return Ok(None);
        }
        Ok(At::of(self.subscriber.join()).and_then(|at| self.reset(ResetCode::CursorAhead, at)))
    }

    /// Tells of the reset and goes on: one who followed, from where the new epoch began as far as the ring reaches;
    /// one who comes, from the present.
    fn reset(&mut self, code: ResetCode, mut at: At) -> Option<Step> {
        self.said_ready = false;
        if code == ResetCode::Truncated && self.last == 0 {
            at.present = at.anchor.clone();
        }
        let cursor = at.cursor();
        self.newest_then_follow(at);
        Some(Step::Reset { code, cursor })
    }

    fn newest_then_follow(&mut self, at: At) -> Option<Step> {
        if self.last == 0 {
            let open = OpenSet::clone(&at.present.open);
            return self.follow_after_replay(open, at.present.clone(), at);
        }
        self.start = Some(Box::new(Start::Now));
        let (rooms, last) = (self.subscriber.rooms(), self.last as usize);
        self.stage = if self.replays.lists_rows() {
            let unseen = at.present.open.ranges().collect();
            let found = Box::pin(self.replays.list(rooms, unseen, i64::MAX, last));
            Stage::Listing(Box::new(Looking { found, joined: at }))
        } else {
            let ranges = OpenSet::above(0).difference(&at.present.open);
            let found = Box::pin(self.replays.nth_newest(rooms, ranges, last));
            Stage::Locating(Box::new(Looking { found, joined: at }))
        };
        None
    }

    /// The rows as they stand, without those whose insertion the tail had not seen, and then what it sees from there on.
    fn on_listed(&mut self, found: Result<Listing, Failed>) -> Result<Option<Step>, FeedError> {
        let Stage::Listing(looking) = std::mem::replace(&mut self.stage, Stage::Join) else {
            return Ok(None);
        };
        let joined = looking.joined;
        let Listing { events, .. } = found?;
        let open = OpenSet::clone(&joined.present.open);
        self.follow_after_replay(open, joined.present.clone(), joined);
        Ok((!events.is_empty()).then(|| Step::Events(Batch::listed(self.epoch, events))))
    }

    fn on_located(&mut self, found: Result<Option<i64>, Failed>) -> Result<Option<Step>, FeedError> {
        let Stage::Locating(looking) = std::mem::replace(&mut self.stage, Stage::Join) else {
            return Ok(None);
        };
        let joined = looking.joined;
        let found = found?;
        let present = OpenSet::clone(&joined.present.open);
        let open = match found {
            Some(lowest) => present.union(&OpenSet::above(lowest - 1)),
            None => present,
        };
        Ok(self.follow_after_replay(open, joined.present.clone(), joined))
    }

    /// Goes on from `open`: from the ring where it reaches back far enough, else through a replay.
    fn resume(&mut self, open: OpenSet, at: At) -> Option<Step> {
        let from = match open.is_subset(&at.present.open) {
            true => at.present.clone(),
            false => self
                .subscriber
                .latest_position(&open, &at.anchor)
                .unwrap_or_else(|| at.anchor.clone()),
        };
        self.follow_after_replay(open, from, at)
    }

    fn follow_after_replay(&mut self, open: OpenSet, from: Position, at: At) -> Option<Step> {
        self.start = None;
        self.epoch = at.epoch;
        self.number = from.number;
        let nothing_to_replay = open.is_subset(&from.open);
        self.open = Open::new(open, &from.open);
        self.stage = match nothing_to_replay {
            true => Stage::Following {
                present: Some(at.present),
            },
            false => self.replay(from, at.present),
        };
        None
    }

    fn replay(&self, from: Position, present: Position) -> Stage {
        let request = Request {
            epoch: self.epoch,
            rooms: self.subscriber.rooms(),
            wanted: self.open.set().clone(),
            base: OpenSet::clone(&from.open),
            max_rows: self.page_rows as usize,
        };
        Stage::Replaying(Box::new(Replaying {
            page: Box::pin(self.replays.page(request)),
            from,
            present,
        }))
    }

    fn on_page(&mut self, page: Result<Page, Failed>) -> Result<Option<Step>, FeedError> {
        let Stage::Replaying(replaying) = std::mem::replace(&mut self.stage, Stage::Join) else {
            return Ok(None);
        };
        let Replaying { from, present, .. } = *replaying;
        let (segment, rest) = match page? {
            Page::Events { segment, rest } => (segment, rest),
            Page::Expired => return Ok(self.on_expired()),
        };
        match rest {
            Some(rest) => {
                self.open = Open::Own(rest);
                self.stage = self.replay(from, present);
            }
            None => {
                let open = self.open.set().intersection(&from.open);
                self.open = Open::new(open, &from.open);
                self.stage = Stage::Following {
                    present: Some(present),
                };
            }
        }
        Ok(segment.map(|segment| {
            let run = 0..segment.entries.len();
            Step::Events(Batch::shared(self.epoch, Piece { segment, run }, Vec::new()).replayed())
        }))
    }

    /// The journal does not reach back to where the subscriber stands.
    fn on_expired(&mut self) -> Option<Step> {
        let at = At::of(self.subscriber.join())?;
        self.reset(ResetCode::Expired, at)
    }

    fn poll_follow(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        if matches!(self.stage, Stage::Following { present: None }) {
            // Most who ask have been told all, and find that out without a lock.
            ready!(self.subscriber.poll_news(cx, self.number));
        }
        let pull = self.subscriber.pull(self.number);
        if let Some(step) = self.say_ready(&pull) {
            return Poll::Ready(Some(step));
        }
        match pull {
            Pull::Overtaken => {
                self.stage = Stage::Join;
                Poll::Ready(None)
            }
            Pull::Nothing => {
                ready!(self.subscriber.poll_news(cx, self.number));
                Poll::Ready(None)
            }
            Pull::Pieces { first, rest } => Poll::Ready(self.take(first, rest).map(Step::Events)),
        }
    }

    /// Ready, once all that was delivered before the feed took its position is sent.
    fn say_ready(&mut self, pull: &Pull) -> Option<Step> {
        let Stage::Following { present: waiting } = &mut self.stage else {
            return None;
        };
        let next = match pull {
            Pull::Overtaken => return None,
            Pull::Nothing => u64::MAX,
            Pull::Pieces { first, .. } => first.segment.entries[first.run.start].number,
        };
        let present = waiting.take_if(|present| next > present.number)?;
        let says_it = !std::mem::replace(&mut self.said_ready, true);
        if self.number < present.number {
            self.number = present.number;
            self.open = Open::new(self.open.set().intersection(&present.open), &present.open);
        }
        says_it.then(|| {
            Step::Ready(Cursor {
                epoch: self.epoch,
                open: self.open.set().clone(),
            })
        })
    }

    /// Whether more stands in the rings behind what was taken.
    pub fn has_more(&self) -> bool {
        !matches!(self.subscriber.pull(self.number), Pull::Nothing)
    }

    /// Takes deliveries; `None` if the subscriber had seen all of them.
    fn take(&mut self, first: Piece, rest: Vec<Piece>) -> Option<Batch> {
        let last = rest.last().unwrap_or(&first);
        self.number = last.segment.entries[last.run.end - 1].number;
        self.open.take(self.epoch, first, rest)
    }
}
