//! The task that follows one source: it reads what became visible, in delivery order, and publishes it to the hub.
//!
//! ```text
//!  bell, timer, request ─► read ─► seen (births and deaths of gaps) ─► hub
//!                           └────► mode (armed | polling | arming) ─► the bell's flag
//! ```
//!
//! The bell only says when to look; the table is the truth. One connection of its own, one statement at a time.

mod control;
mod follow;
pub mod mode;
pub mod pace;
pub mod reader;
pub mod seen;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::metrics::SourceMetrics;
use crate::pg::Database;
use crate::pg::backoff::Backoff;
use crate::pg::bell::BellState;
use crate::pg::source::Source;
use crate::pg::store::{ReadLimits, Store};

use follow::{Ended, Follow};
use pace::PaceOptions;

pub use control::{Control, Mark, NotFollowing, State};
pub use reader::ReadError;

/// At most this often the table's locks are looked at, for gaps that linger.
const TABLE_XMIN_INTERVAL: Duration = Duration::from_millis(100);

/// What is followed: a definition with the statements made of it. Replaced as a whole when the definition changes.
#[derive(Clone)]
pub struct Plan {
    pub definition: Arc<Source>,
    pub store: Arc<Store>,
}

impl Plan {
    /// The statements for `definition`.
    pub fn new(database: &Database, definition: Source, limits: ReadLimits) -> Self {
        let store = Arc::new(Store::new(database.clone(), &definition, limits));
        Self {
            definition: Arc::new(definition),
            store,
        }
    }
}

/// One source's tail, ready to run.
pub struct Tail {
    pub database: Database,
    pub hub: Arc<Hub>,
    pub control: Arc<Control>,
    pub plan: watch::Receiver<Plan>,
    pub bell: watch::Receiver<BellState>,
    pub pace: PaceOptions,
    pub metrics: Arc<SourceMetrics>,
}

impl Tail {
    /// Follows until `shutdown` or until the source is detached. Survives everything else: it says so in its state,
    /// and tries again.
    pub async fn run(self, shutdown: CancellationToken) {
        let database = self.database.clone();
        let mut follow = Follow::new(self);
        let purpose = format!("tail {}", follow.name());
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            let opened = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                opened = database.session(&purpose) => opened,
            };
            let ended = match opened {
                Ok(session) => follow.over(&session, &mut backoff, &shutdown).await,
                Err(error) => Ended::Failed(error.into()),
            };
            match ended {
                Ended::Shutdown => return,
                Ended::Gone => return follow.close(),
                Ended::Failed(error) => follow.note_trouble(&error),
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = follow.replanned() => {}
                () = tokio::time::sleep(backoff.next_pause()) => {}
            }
        }
    }
}
