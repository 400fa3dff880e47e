//! The tasks of the process: all end at one signal, and one that panics ends the process.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where tasks are spawned. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    /// All end at it.
    pub(super) stop: CancellationToken,
    /// One of them panicked.
    pub(super) failed: CancellationToken,
}

impl Tasks {
    /// Spawns a task; `name` is for the log, should it panic.
    pub(super) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let failed = self.failed.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "a task panicked: ending");
                failed.cancel();
            }
        });
    }
}
