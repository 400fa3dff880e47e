//! The ways to the database: what is in between, whether notifications come through, and whether the clocks agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{CHECK_WITHIN, Examination, Finding};
use crate::pg::bell::{Bell, ListenStatus};
use crate::pg::{Database, PgError, examine};

/// Opening the connection (10 s), LISTEN, the notification's way and its end (5 s each): see `pg::bell`.
const ROUND_TRIP_WITHIN: Duration = Duration::from_secs(30);

/// Clocks that differ by more may be worth a look: `exp` of tokens and the database's times are compared by people, too.
const NOTABLE_SKEW_SECONDS: f64 = 2.0;

/// The default of `--jwt-leeway`: beyond it good tokens are refused, or bad ones taken.
const WRONG_SKEW_SECONDS: f64 = 30.0;

const LISTEN_URL: &str = "--listen-database-url";

impl Examination<'_> {
    /// Looks at both addresses. Returns whether a pooler in transaction mode is behind `--database-url`.
    pub(super) async fn connections(&mut self, listen: Option<Database>) -> bool {
        (self.progress)("whether a pooler is in between");
        let is_pooled = self.is_pooled().await;
        (self.progress)("LISTEN");
        match &listen {
            None => {
                let heard = round_trip(&self.database, &self.database).await;
                self.findings.push(listening(heard, is_pooled));
            }
            Some(listen) => self.past_the_pooler(listen).await,
        }
        self.check("the clocks", None, async |session| {
            // The first answer may be late, since a statement is prepared for it.
            examine::clock(session).await?;
            let (before, asked) = (SystemTime::now(), Instant::now());
            let server = examine::clock(session).await?;
            let round_trip = asked.elapsed().as_secs_f64();
            let ours = before
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64();
            Ok(vec![clocks(server - (ours + round_trip / 2.0), round_trip)])
        })
        .await;
        is_pooled
    }

    async fn is_pooled(&mut self) -> bool {
        let shared = within(examine::shares_processes(&self.database)).await;
        let is_pooled = matches!(shared, Ok(true));
        let has_listen_url = self.options.listen_database_url.is_some();
        let found = shared.map(|shared| match (shared, self.database.is_pinned()) {
            (true, _) => vec![
                Finding::note(
                    "pooler",
                    "A pooler in transaction mode is behind --database-url: sessions share processes of the server",
                )
                .why(match has_listen_url {
                    true => "Rows can be read through it; LISTEN goes by --listen-database-url.",
                    false => "Rows can be read through it, but notifications are lost: see below.",
                }),
            ],
            (false, false) => vec![
                Finding::note(
                    "startup_options",
                    "The start-up options of sessions are not taken: a pooler in session mode?",
                )
                .why("The relay sends its settings with each read instead, which costs a little more."),
            ],
            (false, true) => vec![Finding::ok(
                "pooler",
                "No pooler in transaction mode is in between",
            )],
        });
        self.note("whether a pooler is in between", None, found);
        is_pooled
    }

    /// Looks at `--listen-database-url`.
    async fn past_the_pooler(&mut self, listen: &Database) {
        let place = within(examine::whereabouts(listen)).await;
        let ours = within(examine::whereabouts(&self.database)).await;
        self.findings.push(match (place, ours) {
            (Err(error), _) => unreachable(LISTEN_URL, &error),
            (Ok(place), Ok(ours)) if place != ours => Finding::error(
                "listen_elsewhere",
                "--listen-database-url is another database than --database-url, or another server",
            )
            .why("No writer of these tables rings there: the relay polls, up to 500 times a second while rows come.")
            .remedy("--listen-database-url postgres://…    # the same database, past the pooler"),
            (Ok(_), _) => match round_trip(listen, &self.database).await {
                Err(reason) if within(examine::shares_processes(listen)).await.unwrap_or(false) => {
                    let reason = format!("{reason}; --listen-database-url leads through a pooler, too");
                    listening(Err(reason), true)
                }
                heard => listening(heard, false),
            },
        });
    }
}

/// Bounds what is no check of its own session.
async fn within<T>(work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    let waited = CHECK_WITHIN;
    timeout(waited, work)
        .await
        .unwrap_or(Err(PgError::TimedOut { waited }))
}

/// Nobody to talk to.
pub(super) fn unreachable(option: &str, error: &PgError) -> Finding {
    if option == LISTEN_URL {
        return Finding::warning("listen_unreachable", format!("{option}: {error}"))
            .why("No bell can be heard: the relay polls, and rows arrive up to 100 ms later.");
    }
    if matches!(error, PgError::ReadOnly { .. }) {
        return Finding::error("standby", format!("{option}: {error}"))
            .why("A standby can't tell which transactions are over, so rows would be lost: the relay refuses it.")
            .remedy("--database-url 'postgres://…@first,second/…'    # all servers: the one that takes writes is chosen");
    }
    Finding::error("unreachable", format!("{option}: {error}"))
        .why("The relay would not start, and nothing else could be looked at.")
}

/// A notification's way through a LISTEN connection on `listen`, by the relay's own code; sent from `main`.
///
/// # Errors
///
/// Why it is not heard, in words.
async fn round_trip(listen: &Database, main: &Database) -> Result<(), String> {
    let stop = CancellationToken::new();
    let (bell, listening) = Bell::new(listen.clone(), main.clone(), stop);
    let mut status = bell.status();
    status.mark_unchanged();
    let told = async {
        let _ = status.changed().await;
        status.borrow().clone()
    };
    let told = tokio::select! {
        told = timeout(ROUND_TRIP_WITHIN, told) => told,
        () = listening => unreachable!("it goes on until it is dropped"),
    };
    match told {
        Ok(ListenStatus::Up { .. }) => Ok(()),
        Ok(ListenStatus::Down { reason }) => Err(reason),
        Err(_) => Err(format!("no answer within {ROUND_TRIP_WITHIN:?}")),
    }
}

/// `is_pooled`: by the address that is listened on.
fn listening(heard: Result<(), String>, is_pooled: bool) -> Finding {
    match heard {
        Ok(()) => Finding::ok("listen", "A notification came through LISTEN"),
        Err(reason) => Finding::warning("listen", format!("No bell can be heard: {reason}"))
            .why(match is_pooled {
                true => {
                    "A pooler in transaction mode hands LISTEN to a connection that somebody else uses next. The relay polls \
                     instead: 2 ms under load, up to 100 ms when idle."
                }
                false => "The relay polls instead: 2 ms under load, up to 100 ms when idle.",
            })
            .remedy("--listen-database-url postgres://…    # the same database, past the pooler"),
    }
}

/// `skew`: how many seconds the server's clock is ahead, as sure as the round trip (in seconds) was short.
fn clocks(skew: f64, round_trip: f64) -> Finding {
    let ahead = if skew > 0.0 { "ahead of" } else { "behind" };
    let sure = skew.abs() - round_trip / 2.0;
    let what = format!("The server's clock is {:.0} s {ahead} this machine's", skew.abs());
    if sure > WRONG_SKEW_SECONDS {
        Finding::warning("clock_skew", what)
            .why(
                "Tokens are judged by this machine's clock (--jwt-leeway), tickets and journals by the server's: good ones are \
                 refused, or bad ones taken.",
            )
            .remedy("timedatectl set-ntp true    # on both machines; or chrony")
    } else if sure > NOTABLE_SKEW_SECONDS {
        Finding::note("clock_skew", what).why("Latencies and the times of logs can't be compared.")
    } else {
        Finding::ok("clock_skew", "The clocks agree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_skew_counts_as_far_as_the_round_trip_is_sure_of_it() {
        for (skew, round_trip, severity) in [
            (0.5, 0.001, Severity::Ok),
            (-3.0, 0.001, Severity::Note),
            (3.0, 6.0, Severity::Ok),
            (31.0, 0.001, Severity::Warning),
            (-31.0, 10.0, Severity::Note),
        ] {
            assert_eq!(clocks(skew, round_trip).severity, severity, "{skew} {round_trip}");
        }
    }
}
