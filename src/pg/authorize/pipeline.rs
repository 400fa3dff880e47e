//! Requests of one transaction, sent in their order without waiting for answers.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::future::{MaybeDone, TryFutureExt as _, maybe_done};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Error, Row};

/// The answers of one request: rows, or none of a command.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

/// Requests that are sent in their order, none waiting for the answer of the one before.
#[derive(Default)]
pub(super) struct Pipeline<'a> {
    sent: Vec<MaybeDone<Answering<'a>>>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn send(&mut self, request: impl Future<Output = Result<Vec<Row>, Error>> + Send + 'a) {
        self.sent.push(maybe_done(Box::pin(request)));
    }

    pub(super) fn command(&mut self, client: &'a Client, sql: &'a str) {
        self.send(client.batch_execute(sql).map_ok(|()| Vec::new()));
    }

    /// The driver sends a request when it is first polled.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut all = Poll::Ready(());
        for request in &mut self.sent {
            if Pin::new(request).poll(cx).is_pending() {
                all = Poll::Pending;
            }
        }
        all
    }

    /// Sends what is there, then one more, and waits for that one's answer alone.
    pub(super) async fn then<T>(&mut self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        poll_fn(|cx| {
            let _ = self.poll(cx);
            request.as_mut().poll(cx)
        })
        .await
    }

    /// Sends all of it, and waits for the answers until `until`: `None` for those that did not come.
    pub(super) async fn answers(mut self, until: Instant) -> Vec<Option<Result<Vec<Row>, Error>>> {
        let _ = timeout_at(until, poll_fn(|cx| self.poll(cx))).await;
        let taken = self
            .sent
            .iter_mut()
            .map(|request| Pin::new(request).take_output());
        taken.collect()
    }
}
