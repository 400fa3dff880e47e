//! A tail over a simulated database: transactions begin, draw, commit and roll back in any order, also between the
//! steps of one read. Every rule of the read is broken on purpose once, to know that the simulation can find a loss.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use super::*;

/// Seeds that the rules must survive, and within which every flaw must lose a row.
const SEEDS: u64 = 1_500;

/// How the tail breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The bound is the snapshot's xmax, one past the newest transaction that has *finished*.
    BoundFromSnapshotXmax,
    /// A read that was cut by its limit lets every gap die.
    CutIgnored,
    /// Skipped ids above the sequence's last value get a bound as well.
    SequenceIgnored,
    /// The transaction counter is read before the sequence.
    CounterBeforeSequence,
    /// The table's own xmin is looked up after the read's snapshot.
    TableXminWithinRead,
}

#[derive(Default)]
struct Transaction {
    /// Holds the lock of a writer on the table.
    writes: bool,
    ids: Vec<i64>,
}

/// What PostgreSQL keeps of the table, its sequence and its transactions.
struct Database {
    next_xid: u64,
    /// One past the newest finished transaction: a snapshot's xmax.
    finished_below: u64,
    running: BTreeMap<u64, Transaction>,
    sequence_last: i64,
    committed: BTreeSet<i64>,
    /// Nobody but the tail is at work any more.
    at_rest: bool,
}

struct Snapshot {
    xmin: u64,
    xmax: u64,
    rows: BTreeSet<i64>,
}

impl Database {
    fn new() -> Self {
        Self {
            next_xid: 3,
            finished_below: 3,
            running: BTreeMap::new(),
            sequence_last: 0,
            committed: BTreeSet::new(),
            at_rest: false,
        }
    }

    fn begin(&mut self) -> u64 {
        self.running.insert(self.next_xid, Transaction::default());
        self.next_xid += 1;
        self.next_xid - 1
    }

    /// Inserts a row by the sequence, `ahead == 0`, or with an explicit id that far above it. A taken id is skipped.
    fn insert(&mut self, xid: u64, ahead: i64) {
        self.sequence_last += i64::from(ahead == 0);
        let id = self.sequence_last + ahead;
        let is_taken =
            self.committed.contains(&id) || self.running.values().any(|other| other.ids.contains(&id));
        let transaction = self.running.get_mut(&xid).expect("the transaction is running");
        transaction.writes = true;
        if !is_taken {
            transaction.ids.push(id);
        }
    }

    fn end(&mut self, xid: u64, commit: bool) {
        let transaction = self.running.remove(&xid).expect("the transaction is running");
        if commit {
            self.committed.extend(transaction.ids);
        }
        self.finished_below = self.finished_below.max(xid + 1);
    }

    /// As `GetSnapshotData`: transactions from xmax on count as running, whether or not there are any.
    fn snapshot(&self) -> Snapshot {
        let xmax = self.finished_below;
        let oldest = self.running.keys().next().copied().unwrap_or(xmax);
        Snapshot {
            xmin: oldest.min(xmax),
            xmax,
            rows: self.committed.clone(),
        }
    }

    fn table_xmin(&self) -> u64 {
        self.running
            .iter()
            .find(|(_, transaction)| transaction.writes)
            .map_or(u64::MAX, |(&xid, _)| xid)
    }

    /// Something that an application does.
    fn happens(&mut self, rng: &mut StdRng) {
        let running = self.running.keys().copied().choose(rng);
        match (running, rng.random_range(0..10)) {
            (Some(xid), 0..=3) => self.insert(xid, 0),
            (Some(xid), 4) if rng.random_bool(0.3) => self.insert(xid, rng.random_range(1..12)),
            (Some(xid), 5..=7) => self.end(xid, rng.random_bool(0.75)),
            _ if self.running.len() < 5 => drop(self.begin()),
            _ => {}
        }
    }

    /// What other sessions do between two steps of a read.
    fn meanwhile(&mut self, rng: &mut StdRng) {
        for _ in 0..rng.random_range(0..4) {
            if self.at_rest {
                return;
            }
            self.happens(rng);
        }
    }
}

struct Simulation {
    rng: StdRng,
    database: Database,
    flaw: Flaw,
    seen: Seen,
    delivered: BTreeSet<i64>,
}

impl Simulation {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let seen = Seen::from_open(&OpenSet::above(0));
        let rng = StdRng::seed_from_u64(seed);
        Self {
            rng,
            database: Database::new(),
            flaw,
            seen,
            delivered: BTreeSet::new(),
        }
    }

    /// One read of the tail with at most `limit` rows. Was it cut?
    fn read(&mut self, limit: usize) -> bool {
        let Self {
            rng, database, flaw, ..
        } = self;
        let snapshot = database.snapshot();
        database.meanwhile(rng);
        let next_xid_before = database.next_xid;
        database.meanwhile(rng);
        let sequence_last = database.sequence_last;
        database.meanwhile(rng);
        let next_xid = match flaw {
            Flaw::BoundFromSnapshotXmax => snapshot.xmax,
            Flaw::CounterBeforeSequence => next_xid_before,
            _ => database.next_xid,
        };
        if *flaw == Flaw::TableXminWithinRead {
            self.seen.note_table_xmin(database.table_xmin());
        }
        let open = self.seen.open();
        let ids: Vec<_> = snapshot
            .rows
            .into_iter()
            .filter(|&id| open.contains(id))
            .take(limit)
            .collect();
        let is_cut = ids.len() == limit;
        let look = Look {
            at: None,
            xmin: snapshot.xmin,
            next_xid,
            sequence_last: if *flaw == Flaw::SequenceIgnored {
                i64::MAX
            } else {
                sequence_last
            },
            cut_at: ids
                .last()
                .copied()
                .filter(|_| is_cut && *flaw != Flaw::CutIgnored),
        };
        self.absorb(&look, &ids);
        is_cut
    }

    fn absorb(&mut self, look: &Look, ids: &[i64]) {
        let mut open = self.seen.open();
        let mut calls = Vec::new();
        self.seen.absorb(look, ids, |id, after| {
            open = open.without(id);
            assert_eq!(after, &open, "after the delivery of {id}");
            calls.push(id);
        });
        assert_eq!(calls, ids);
        for &id in ids {
            assert!(self.delivered.insert(id), "{id} was delivered twice");
        }
        let after = self.seen.open();
        assert!(after.is_subset(&open));
        assert_eq!(
            after,
            OpenSet::new(after.high(), self.seen.gaps.iter().map(|gap| gap.ids))
        );
        let bounded_end = self
            .seen
            .gaps
            .iter()
            .filter(|gap| gap.bound.is_some())
            .map(|gap| gap.ids.high)
            .max();
        assert!(bounded_end <= Some(look.sequence_last));
    }

    /// Runs to the end of all transactions. Returns the committed ids that were never delivered.
    fn run(mut self) -> Vec<i64> {
        let mut saved = (self.seen.open(), self.delivered.clone());
        for _ in 0..self.rng.random_range(20..300) {
            match self.rng.random_range(0..20) {
                0..=11 => self.database.happens(&mut self.rng),
                12..=17 => {
                    let limit = *[1, 2, 3, usize::MAX]
                        .iter()
                        .choose(&mut self.rng)
                        .expect("not empty");
                    self.read(limit);
                }
                18 if self.flaw != Flaw::TableXminWithinRead => {
                    self.seen.note_table_xmin(self.database.table_xmin());
                    self.database.meanwhile(&mut self.rng);
                }
                18 => {}
                _ if self.rng.random_bool(0.5) => saved = (self.seen.open(), self.delivered.clone()),
                // The relay was killed and starts from its saved position.
                _ => (self.seen, self.delivered) = (Seen::from_open(&saved.0), saved.1.clone()),
            }
        }
        self.settle()
    }

    /// Ends what runs, reads until nothing more can come, and returns what is missing.
    fn settle(mut self) -> Vec<i64> {
        for xid in self.database.running.keys().copied().collect::<Vec<_>>() {
            self.database.end(xid, self.rng.random_bool(0.75));
        }
        self.database.at_rest = true;
        while self.read(7) {}
        // One more read for the rows, one in which gaps born there die.
        self.read(usize::MAX);
        self.read(usize::MAX);
        let lost: Vec<_> = self
            .database
            .committed
            .difference(&self.delivered)
            .copied()
            .collect();
        if self.flaw == Flaw::None {
            assert!(
                !self.seen.lingers(),
                "rolled-back ids did not die: {:?}",
                self.seen
            );
            assert!(
                self.seen
                    .open()
                    .gaps()
                    .iter()
                    .all(|gap| gap.low > self.database.sequence_last)
            );
        }
        lost
    }
}

#[test]
fn no_order_of_commits_loses_or_repeats_a_row() {
    for seed in 0..SEEDS {
        let lost = Simulation::new(seed, Flaw::None).run();
        assert!(lost.is_empty(), "seed {seed} lost {lost:?}");
    }
}

#[test]
fn breaking_any_rule_of_the_read_loses_rows() {
    for flaw in [
        Flaw::BoundFromSnapshotXmax,
        Flaw::CutIgnored,
        Flaw::SequenceIgnored,
        Flaw::CounterBeforeSequence,
        Flaw::TableXminWithinRead,
    ] {
        let found = (0..SEEDS).find(|&seed| !Simulation::new(seed, flaw).run().is_empty());
        assert!(found.is_some(), "{flaw:?} lost nothing in {SEEDS} seeds");
    }
}
