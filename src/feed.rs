//! Stand-in for the lead's module: a feed that says what its source's script says.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::cursor::{Cursor, OpenSet};
use crate::relay::LiveSource;
use crate::room::Room;

#[derive(Debug)]
pub enum Start {
    Now,
    After(Cursor),
    AfterRow(i64),
}

#[derive(Debug)]
pub struct Subscription {
    pub rooms: Vec<Room>,
    pub start: Start,
    pub last: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum ResetCode {
    CursorAhead,
    Epoch,
    Truncated,
}

impl ResetCode {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CursorAhead => "cursor_ahead",
            Self::Epoch => "epoch",
            Self::Truncated => "truncated",
        }
    }
}

#[derive(Debug)]
pub enum Step {
    Events(Batch),
    Ready(Cursor),
    Reset { code: ResetCode, cursor: Cursor },
}

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("unavailable")]
    Unavailable,
    #[error("gone")]
    Gone,
}

/// Events of the ids given, each with its frame and its JSON.
#[derive(Clone, Debug)]
pub struct Batch {
    pub ids: Vec<i64>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.ids.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
    pub fn frames(&self) -> Bytes {
        let mut text = String::new();
        for id in &self.ids {
            text += &format!("id: 7.{id}\ndata: {{\"id\":{id}}}\n\n");
        }
        text.into()
    }
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        self.ids
            .iter()
            .map(|id| format!("{{\"id\":{id}}}").leak().as_bytes())
    }
    pub fn truncate(&mut self, n: usize) {
        self.ids.truncate(n);
    }
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: 7,
            open: OpenSet::above(self.ids.last().copied().unwrap_or(0)),
        }
    }
}

pub struct Feed {
    source: Arc<LiveSource>,
    cursor: Option<Cursor>,
}

impl Feed {
    pub fn new(source: Arc<LiveSource>, subscription: Subscription) -> Feed {
        source.subscribed(&subscription);
        Feed { source, cursor: None }
    }
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, FeedError>> {
        let mut script = self.source.script.lock().unwrap();
        script.polled += 1;
        match script.steps.pop_front() {
            Some(step) => {
                if let Ok(Step::Ready(cursor)) = &step {
                    self.cursor = Some(cursor.clone());
                }
                Poll::Ready(step)
            }
            None => {
                script.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
    pub async fn step(&mut self) -> Result<Step, FeedError> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor.clone()
    }
}
