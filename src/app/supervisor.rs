//! Keeps the followed sources as the registry says: a tail for each, started and stopped as tables are attached and
//! detached, and the check of each once a minute: its schema, and whether the question who may read it fits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::auth::Gate;
use crate::metrics::Metrics;
use crate::pg::bell::Bell;
use crate::pg::queue::{self, QueueUsage};
use crate::pg::source::{self, Source};
use crate::pg::{Database, PgError};
use crate::relay::{BrokenSource, LiveSource, Relay, SourceLimits};
use crate::tail::pace::PaceOptions;
use crate::tail::{State, Tail};

use super::tasks::Tasks;

/// The registry is read at each notification of a change, and this often in case none arrives.
const REGISTRY_INTERVAL: Duration = Duration::from_secs(5);

/// The same while a source can't be read as it stands: its table may have another name by now, of which nobody notifies.
const BROKEN_INTERVAL: Duration = Duration::from_millis(500);

/// The schema check: partitions without triggers, disabled triggers, an altered sequence.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How often PostgreSQL's queue of notifications is asked about.
const QUEUE_INTERVAL: Duration = Duration::from_secs(10);

/// Knows what is followed, and starts and stops it.
pub(super) struct Supervisor {
    with: Wiring,
    next_check: Instant,
    next_queue: Instant,
}

/// What a supervisor works with.
pub(super) struct Wiring {
    pub(super) database: Database,
    pub(super) bell: Bell,
    pub(super) relay: Arc<Relay>,
    pub(super) gate: Arc<Gate>,
    pub(super) limits: SourceLimits,
    pub(super) pace: PaceOptions,
    pub(super) tasks: Tasks,
    pub(super) metrics: Metrics,
    pub(super) queue: QueueUsage,
}

impl Supervisor {
    pub(super) fn new(with: Wiring) -> Self {
        let now = Instant::now();
        Self {
            with,
            next_check: now,
            next_queue: now,
        }
    }

    /// Follows the registry until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.with.bell.sources_changed();
        let mut tick = tokio::time::interval(BROKEN_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = changed.changed() => {}
                _ = tick.tick() => {
                    if Instant::now() < next_look && !self.is_any_broken() {
                        continue;
                    }
                }
            }
            next_look = Instant::now() + REGISTRY_INTERVAL;
            for source in self.with.relay.sources() {
                source.sweep(Instant::now());
            }
            self.with.metrics.upkeep();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                updated = self.update() => {
                    let away = updated.as_ref().is_err_and(PgError::is_connection_lost);
                    self.with.relay.set_database_away(away);
                    // The tails say that the database is away; this is for those who look closer.
                    if let Err(error) = updated {
                        self.with.queue.note(None);
                        tracing::debug!(%error, "the registry could not be read");
                    }
                }
            }
        }
    }

    fn is_any_broken(&self) -> bool {
        let sources = self.with.relay.sources();
        let mut states = sources.iter().map(|source| source.control().state());
        states.any(|state| matches!(state, State::Broken { .. }))
    }

    /// Brings what is followed in line with the registry.
    ///
    /// # Errors
    /// The registry can't be read; nothing is changed then.
    pub(super) async fn update(&mut self) -> Result<(), PgError> {
        let session = self.with.database.pooled().await?;
        let listed = source::list(&session).await?;
        let mut broken = BTreeMap::new();
        let names: Vec<String> = listed.iter().map(|listed| listed.name.clone()).collect();
        for listed in listed {
            match listed.source {
                Ok(source) => {
                    // What is wrong with a table that was attached just now is told now.
                    if self.follow(source) {
                        self.next_check = Instant::now();
                    }
                }
                Err(reason) => {
                    let ordinal = listed.ordinal;
                    let reason = reason.to_string();
                    broken.insert(listed.name, BrokenSource { ordinal, reason });
                }
            }
        }
        self.with.relay.set_broken(broken);
        for live in self.with.relay.sources() {
            let name = live.definition().name.clone();
            if !names.contains(&name) {
                self.with.relay.remove(&name);
                live.detached();
            }
        }
        if Instant::now() >= self.next_check {
            self.next_check = Instant::now() + SCHEMA_CHECK_INTERVAL;
            self.check(&session).await?;
        }
        if Instant::now() >= self.next_queue {
            self.next_queue = Instant::now() + QUEUE_INTERVAL;
            self.with.queue.note(Some(queue::usage(&session).await?));
        }
        Ok(())
    }

    /// Says whether it is new, or another than before.
    fn follow(&self, source: Source) -> bool {
        let name = source.name.clone();
        // One that its own tail found detached is over, even if the name is attached again by now.
        let live = self
            .with
            .relay
            .source(Some(&name))
            .ok()
            .filter(|live| live.control().state() != State::Gone);
        if let Some(live) = live {
            let is_other = live.redefine(source);
            if is_other {
                tracing::info!(source = %name, "its definition changed");
            }
            return is_other;
        }
        tracing::info!(source = %name, relation = %source.relation, "attached");
        let with = &self.with;
        let live = LiveSource::new(with.database.clone(), source, with.limits, &with.metrics);
        let tail = Tail {
            database: with.database.clone(),
            hub: live.hub().clone(),
            control: live.control().clone(),
            plan: live.plans(),
            bell: with.bell.subscribe(&name),
            pace: with.pace,
            metrics: live.metrics().clone(),
        };
        let stop = live.stopped_with(&with.tasks.stop);
        let (hub, end) = (live.hub().clone(), with.tasks.stop.clone());
        with.relay.insert(live);
        with.tasks.spawn("tail", tail.run(stop));
        // It outlives the tail: when the source is detached its subscribers are told.
        with.tasks.spawn("walk", async move {
            end.run_until_cancelled(hub.walk()).await;
        });
        true
    }

    async fn check(&self, session: &tokio_postgres::Client) -> Result<(), PgError> {
        for live in self.with.relay.sources() {
            let source = live.definition();
            // Where the database can't say, what was known stands.
            if let Some(fits) = self.with.gate.fits(&source).await
                && let Some(reason) = self.with.relay.set_misfit(&source.name, fits.err())
            {
                tracing::warn!(source = %source.name, "{reason}");
            }
            let findings = source::check(session, &source).await?;
            if self.with.relay.set_findings(&source.name, findings.clone()) {
                for finding in findings {
                    tracing::warn!(source = %source.name, "{finding}");
                }
            }
        }
        Ok(())
    }
}
