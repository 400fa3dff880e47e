//! Waiting for a condition under one global timeout, so that no test sleeps and hopes.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for anything before it fails. Generous: a loaded machine is no failure.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two looks at a condition.
const GLANCE: Duration = Duration::from_millis(5);

/// The output of `future`; fails the test, naming the caller's line, if that takes longer than [`TIMEOUT`].
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match timeout(TIMEOUT, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: not within {TIMEOUT:?}"),
        }
    }
}

/// Returns once `condition` holds; fails the test, naming the caller's line, if it does not within [`TIMEOUT`].
///
/// `eventually(async || relay.get("/health/ready").await.status == 200).await`
#[track_caller]
pub fn eventually<C: AsyncFnMut() -> bool>(mut condition: C) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + TIMEOUT;
        while !within(condition()).await {
            assert!(
                Instant::now() < deadline,
                "{caller}: still does not hold after {TIMEOUT:?}"
            );
            sleep(GLANCE).await;
        }
    }
}
