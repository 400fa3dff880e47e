//! Questions to the database that many ask in the same moment, asked once for all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared, ready};
use tokio::time::Instant;

use super::Failed;

/// How long an answer may be shared, from the moment it was asked for: a crowd that comes back within a fifth of a
/// second costs a handful of reads, and nobody sees a row older than that.
const SHARE_FOR: Duration = Duration::from_millis(50);

/// An answer on its way.
pub type Answer<V> = Shared<BoxFuture<'static, Result<V, Failed>>>;

/// The questions of the last moment with their answers.
pub(super) struct Asked<K, V: Clone> {
    recent: Mutex<HashMap<K, (Recent<V>, Instant)>>,
}

enum Recent<V: Clone> {
    /// Only those who wait for it hold it: a question that all have left ends.
    UnderWay(WeakShared<BoxFuture<'static, Result<V, Failed>>>),
    Known(V),
}

impl<V: Clone + Send + Sync + 'static> Recent<V> {
    /// The answer for one more; `None` if all who waited for it have left.
    fn share(&self) -> Option<Answer<V>> {
        match self {
            Self::UnderWay(answer) => answer.upgrade(),
            Self::Known(value) => Some(ready(Ok(value.clone())).boxed().shared()),
        }
    }
}

impl<K, V> Asked<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            recent: Mutex::new(HashMap::new()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Recent<V>, Instant)>> {
        self.recent.lock().expect("no holder of this lock panics")
    }

    /// The answer to `question`, which `find` brings unless somebody asked the same a moment ago.
    pub(super) fn ask(
        self: &Arc<Self>,
        question: K,
        find: impl Future<Output = Result<V, Failed>> + Send + 'static,
    ) -> Answer<V> {
        let now = Instant::now();
        self.sweep(now);
        let mut recent = self.lock();
        if let Some(answer) = recent.get(&question).and_then(|(answer, _)| answer.share()) {
            return answer;
        }
        let (asked, key) = (Arc::clone(self), question.clone());
        let answer = async move {
            let value = find.await?;
            asked.keep(&key, now, &value);
            Ok(value)
        };
        let answer = answer.boxed().shared();
        if let Some(weak) = answer.downgrade() {
            recent.insert(question, (Recent::UnderWay(weak), now));
        }
        answer
    }

    /// Keeps an answer for those who ask within the same moment.
    fn keep(&self, question: &K, asked: Instant, value: &V) {
        if let Some((kept, since)) = self.lock().get_mut(question)
            && *since == asked
        {
            *kept = Recent::Known(value.clone());
        }
    }

    /// Forgets what is older than a moment.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock()
            .retain(|_, (_, since)| now.duration_since(*since) < SHARE_FOR);
    }
}
