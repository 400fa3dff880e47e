//! What happened and how it ended: the journals' entries and the tables' rows, once the writers have stopped.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::Client;

use super::sources::{Name, Rows, Source, Table, parsed, spelled};
use crate::torture::received::{ALL_ROOMS, Received};

/// One source's.
pub struct Truth {
    pub table: &'static Table,
    /// All that its journal ever got, by number.
    pub entries: BTreeMap<i64, Entry>,
    /// The rows when it was attached, and at the end.
    before: Rows,
    pub rows: Rows,
    /// Entries that became visible after one with a higher number.
    pub late: usize,
    /// Up to where the journal was pruned.
    pub pruned_to: i64,
}

pub struct Entry {
    /// As events have it.
    pub op: &'static str,
    pub name: Name,
    committed_at: f64,
    /// Its event can't be left out: it is a deletion, or the row stood in its room from then on to the end.
    is_required: bool,
}

impl Truth {
    pub async fn read(client: &Client, source: &Source, before: Rows) -> Self {
        // Of a copy that nobody pruned, too, an entry's transaction is that of the change.
        let entries = format!(
            "select id, op::text, room, key::text,
                    coalesce(extract(epoch from pg_xact_commit_timestamp(xmin)), 0)::float8
               from {}",
            source.table.entries()
        );
        let found = client.query(&entries, &[]).await.expect("read the entries");
        let entry = |row: &tokio_postgres::Row| {
            let entry = Entry {
                op: match row.get(1) {
                    "i" => "insert",
                    "u" => "update",
                    "d" => "delete",
                    other => panic!("an entry's operation is {other}"),
                },
                name: (row.get(2), spelled(&parsed(row.get(3)))),
                committed_at: row.get(4),
                is_required: false,
            };
            (row.get(0), entry)
        };
        let mut entries: BTreeMap<i64, Entry> = found.iter().map(entry).collect();
        assert_eq!(entries.len(), found.len(), "an entry's number stands for one");
        require(&mut entries);
        let snapshot = source.snapshot(&[ALL_ROOMS]).await;
        Self {
            table: source.table,
            late: late(&entries),
            entries,
            before,
            rows: snapshot.rows,
            pruned_to: snapshot.pruned_to,
        }
    }

    /// The entries whose events a subscriber must have.
    pub fn required<'a>(&'a self, one: &'a Received) -> impl Iterator<Item = i64> + 'a {
        let picture = one.picture.as_ref().expect("it makes a picture");
        let is_followed = |room: &str| one.rooms == [ALL_ROOMS] || one.rooms.contains(&room);
        self.entries
            .iter()
            .filter(move |(id, entry)| {
                entry.is_required && is_followed(&entry.name.0) && picture.awaits(**id)
            })
            .map(|(&id, _)| id)
    }

    /// How often `op` stands in the journal.
    pub fn count(&self, op: &str) -> usize {
        self.entries.values().filter(|entry| entry.op == op).count()
    }

    pub fn describe(&self, id: i64) -> String {
        match self.entries.get(&id) {
            Some(Entry { op, name, .. }) => format!("{id} ({op} of {} in {})", name.1, name.0),
            None => format!("{id} (no entry)"),
        }
    }

    /// Whether the entries, one after the other, lead from the rows that were there to those that are.
    pub fn complaints(&self) -> Vec<String> {
        let mut standing: HashSet<&Name> = self.before.keys().collect();
        let mut complaints = Vec::new();
        for (&id, entry) in &self.entries {
            let fits = match entry.op {
                "insert" => standing.insert(&entry.name),
                "delete" => standing.remove(&entry.name),
                _ => standing.contains(&entry.name),
            };
            if !fits {
                complaints.push(format!(
                    "the journal has {} of a row that was otherwise",
                    self.describe(id)
                ));
            }
        }
        let rows: HashSet<&Name> = self.rows.keys().collect();
        let unlike: Vec<&&Name> = standing.symmetric_difference(&rows).collect();
        if !unlike.is_empty() {
            complaints.push(format!(
                "the journal leads to other rows than the table's: {unlike:?}"
            ));
        }
        complaints
            .iter()
            .map(|what| format!("{}: {what}", self.table.name))
            .collect()
    }
}

/// An insertion or update that a deletion in the same room follows may go untold: the row may be gone when it is read.
fn require(entries: &mut BTreeMap<i64, Entry>) {
    let mut deleted = HashSet::new();
    for entry in entries.values_mut().rev() {
        entry.is_required = entry.op == "delete" || !deleted.contains(&entry.name);
        if entry.op == "delete" {
            deleted.insert(entry.name.clone());
        }
    }
}

fn late(entries: &BTreeMap<i64, Entry>) -> usize {
    let mut earliest_above = f64::INFINITY;
    let is_late = |entry: &&Entry| {
        let is_late = entry.committed_at > earliest_above;
        earliest_above = earliest_above.min(entry.committed_at);
        is_late
    };
    entries.values().rev().filter(is_late).count()
}
