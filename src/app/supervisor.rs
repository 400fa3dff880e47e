//! Keeps the followed sources as the registry says: a tail for each, started and stopped as tables are attached and
//! detached, and the check of each once a minute: its schema, and whether the question who may read it fits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::auth::Gate;
use crate::pg::bell::Bell;
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

/// Knows what is followed, and starts and stops it.
pub(super) struct Supervisor {
    database: Database,
    bell: Bell,
    relay: Arc<Relay>,
    gate: Arc<Gate>,
    limits: SourceLimits,
    pace: PaceOptions,
    tasks: Tasks,
    next_check: Instant,
}

impl Supervisor {
    pub(super) fn new(
        database: Database,
        bell: Bell,
        relay: Arc<Relay>,
        gate: Arc<Gate>,
        tasks: Tasks,
        limits: SourceLimits,
        pace: PaceOptions,
    ) -> Self {
        let next_check = Instant::now();
        Self {
            database,
            bell,
            relay,
            gate,
            limits,
            pace,
            tasks,
            next_check,
        }
    }

    /// Follows the registry until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.bell.sources_changed();
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
            for source in self.relay.sources() {
                source.sweep(Instant::now());
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                updated = self.update() => {
                    // The tails say that the database is away; this is for those who look closer.
                    if let Err(error) = updated {
                        tracing::debug!(%error, "the registry could not be read");
                    }
                }
            }
        }
    }

    fn is_any_broken(&self) -> bool {
        let sources = self.relay.sources();
        let mut states = sources.iter().map(|source| source.control().state());
        states.any(|state| matches!(state, State::Broken { .. }))
    }

    /// Brings what is followed in line with the registry.
    ///
    /// # Errors
    /// The registry can't be read; nothing is changed then.
    pub(super) async fn update(&mut self) -> Result<(), PgError> {
        let session = self.database.pooled().await?;
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
        self.relay.set_broken(broken);
        for live in self.relay.sources() {
            let name = live.definition().name.clone();
            if !names.contains(&name) {
                self.relay.remove(&name);
                live.detached();
            }
        }
        if Instant::now() >= self.next_check {
            self.next_check = Instant::now() + SCHEMA_CHECK_INTERVAL;
            self.check(&session).await?;
        }
        Ok(())
    }

    /// Says whether it is new, or another than before.
    fn follow(&self, source: Source) -> bool {
        let name = source.name.clone();
        // One that its own tail found detached is over, even if the name is attached again by now.
        let live = self
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
        let live = LiveSource::new(self.database.clone(), source, self.limits);
        let tail = Tail {
            database: self.database.clone(),
            hub: live.hub().clone(),
            control: live.control().clone(),
            plan: live.plans(),
            bell: self.bell.subscribe(&name),
            pace: self.pace,
        };
        let stop = live.stopped_with(&self.tasks.stop);
        self.relay.insert(live);
        self.tasks.spawn("tail", tail.run(stop));
        true
    }

    async fn check(&self, session: &tokio_postgres::Client) -> Result<(), PgError> {
        for live in self.relay.sources() {
            let source = live.definition();
            // Where the database can't say, what was known stands.
            if let Some(fits) = self.gate.fits(&source).await
                && let Some(reason) = self.relay.set_misfit(&source.name, fits.err())
            {
                tracing::warn!(source = %source.name, "{reason}");
            }
            let findings = source::check(session, &source).await?;
            if self.relay.set_findings(&source.name, findings.clone()) {
                for finding in findings {
                    tracing::warn!(source = %source.name, "{finding}");
                }
            }
        }
        Ok(())
    }
}
