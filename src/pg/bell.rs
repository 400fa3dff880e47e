//! stub
use tokio::sync::watch;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BellState {
    pub listening: bool,
    pub session: u64,
    pub rings: u64,
    pub busies: u64,
}
#[derive(Clone, Debug)]
pub enum ListenStatus {
    Up { last_round_trip: tokio::time::Instant },
    Down { reason: String },
}
#[derive(Clone)]
pub struct Bell;
impl Bell {
    pub fn spawn(
        _listen: super::Database,
        _probe: super::Database,
        _tracker: &tokio_util::task::TaskTracker,
        _shutdown: tokio_util::sync::CancellationToken,
    ) -> Self {
        Bell
    }
    pub fn subscribe(&self, _source: &str) -> watch::Receiver<BellState> {
        watch::Sender::new(BellState::default()).subscribe()
    }
    pub fn sources_changed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
    pub fn status(&self) -> watch::Receiver<ListenStatus> {
        watch::Sender::new(ListenStatus::Down {
            reason: "stub".into(),
        })
        .subscribe()
    }
}
