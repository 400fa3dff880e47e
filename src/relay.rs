//! Stand-in for the lead's module: a relay of scripted sources, to run the HTTP tests against.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use crate::feed::{Batch, FeedError, Step, Subscription};
use crate::pg::publish::{NewRow, PublishError};
use crate::pg::source::Source;
use crate::room::Room;

#[derive(Default)]
pub struct Relay {
    pub sources: BTreeMap<String, Arc<LiveSource>>,
    pub reasons: Vec<String>,
}

impl Relay {
    pub fn source(&self, name: Option<&str>) -> Option<Arc<LiveSource>> {
        match name {
            Some(name) => self.sources.get(name).cloned(),
            None => self.sources.values().next().cloned(),
        }
    }
    pub fn readiness(&self) -> Vec<String> {
        self.reasons.clone()
    }
}

/// What the feeds of a source will say, and what was asked of it.
#[derive(Default)]
pub struct Script {
    pub steps: VecDeque<Result<Step, FeedError>>,
    pub wakers: Vec<Waker>,
    pub asked: Vec<String>,
    pub polled: usize,
}

pub struct LiveSource {
    pub definition: Arc<Source>,
    pub away: AtomicBool,
    pub script: Mutex<Script>,
    pub older: Mutex<Option<(Batch, bool)>>,
    pub published: Mutex<VecDeque<Result<i64, PublishError>>>,
}

impl LiveSource {
    pub fn definition(&self) -> Arc<Source> {
        self.definition.clone()
    }
    pub async fn sync(&self) -> Result<(), FeedError> {
        self.script.lock().unwrap().asked.push("sync".into());
        Ok(())
    }
    pub fn is_available(&self) -> bool {
        !self.away.load(Ordering::Relaxed)
    }
    pub async fn before(&self, rooms: &[Room], below: i64, limit: usize) -> Result<(Batch, bool), FeedError> {
        self.script
            .lock()
            .unwrap()
            .asked
            .push(format!("before {rooms:?} {below} {limit}"));
        self.older.lock().unwrap().take().ok_or(FeedError::Unavailable)
    }
    pub async fn publish(&self, room: &Room, row: &NewRow) -> Result<i64, PublishError> {
        self.script
            .lock()
            .unwrap()
            .asked
            .push(format!("publish {} {:?}", room.as_str(), row));
        self.published.lock().unwrap().pop_front().unwrap_or(Ok(7))
    }
    pub fn say(&self, step: Result<Step, FeedError>) {
        let mut script = self.script.lock().unwrap();
        script.steps.push_back(step);
        for waker in script.wakers.drain(..) {
            waker.wake();
        }
    }
    pub fn subscribed(&self, subscription: &Subscription) {
        self.script
            .lock()
            .unwrap()
            .asked
            .push(format!("{subscription:?}"));
    }
}
