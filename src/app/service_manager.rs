//! What a service manager is told (sd_notify(3)): ready, ending, and signs of life. Nothing where none listens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The sources are followed and the socket is open.
pub(super) fn ready(sources: usize) {
    let status = format!("following {sources} sources");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Streams are being ended.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("streams are ended")]);
}

/// Signs of life, at half of the interval after which the manager would take the process for dead (sd_watchdog_enabled(3));
/// for ever nothing where it does not watch. They come from the runtime that serves: where that hangs, so do they.
pub(super) async fn signs_of_life() {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| *patience > Duration::ZERO) else {
        return std::future::pending().await;
    };
    let mut beats = interval(patience / 2);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) can't be told how things are");
    }
}
