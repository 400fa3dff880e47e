//! The journals and tables, held against what was received and the pictures that were made of it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Client;

use super::holder::Held;
use super::sources::{Name, Rows, Source};
use super::truth::Truth;
use crate::torture::faults::Stage;
use crate::torture::received::{ALL_ROOMS, Received};
use crate::torture::verdict::{self, SHOWN, Wanting, around, list};
use crate::torture::writers::Tally;

/// The figures of the run.
pub fn print(truths: &[Truth], tally: &Tally, held: &Held, subscribers: &[Received], stage: &Stage) {
    for truth in truths {
        println!(
            "torture: {}: {} inserts, {} updates, {} deletes, {} of them late; {} rows; pruned to {}",
            truth.table.name,
            truth.count("insert"),
            truth.count("update"),
            truth.count("delete"),
            truth.late,
            truth.rows.len(),
            truth.pruned_to,
        );
    }
    println!(
        "torture: {held:?}; relays that pruning overtook {}",
        stage.log_lines("entries were pruned from the journal before"),
    );
    verdict::print(tally, subscribers, stage);
}

/// Fails where an entry was lost, repeated or made up, where a picture is not like the table, or a journal not like
/// what happened to it.
pub fn judge(truths: &[Truth], held: &Held, subscribers: &[Received], seed: u64) {
    let of_journals = truths.iter().flat_map(Truth::complaints);
    let all = of_journals.chain(held.complaints.iter().cloned()).collect();
    verdict::judge(seed, all, subscribers, |one| complaints(of(truths, one), one));
}

/// The source that a subscriber follows.
pub fn of<'a>(truths: &'a [Truth], one: &Received) -> &'a Truth {
    let is_followed = |truth: &&Truth| one.path.ends_with(truth.table.name);
    truths.iter().find(is_followed).expect("it follows a source")
}

fn complaints(truth: &Truth, one: &Received) -> Vec<String> {
    let picture = one.picture.as_ref().expect("it makes a picture");
    let lost: Vec<i64> = truth
        .required(one)
        .filter(|id| !one.ids.contains_key(id))
        .collect();
    let is_made_up = |id: &i64| {
        let (op, name) = &picture.told[id];
        let entry = truth.entries.get(id);
        entry.is_none_or(|entry| entry.op != op || entry.name != *name)
    };
    let mut made_up: Vec<i64> = picture.told.keys().copied().filter(is_made_up).collect();
    made_up.sort_unstable();
    let mut complaints = Vec::new();
    if !lost.is_empty() {
        let all = list(&lost, |id| truth.describe(id));
        complaints.push(format!("lost {all}\n  its cursor is {:?}", one.cursor));
        complaints.extend(lost.iter().take(3).map(|&id| around(one, id)));
    }
    if !made_up.is_empty() {
        let told = |id| format!("{:?} for {}", picture.told[&id], truth.describe(id));
        complaints.push(format!("was told of what is not so, {}", list(&made_up, told)));
    }
    complaints.extend(unlike(&picture.rows, &rows_of(truth, one)));
    complaints
}

/// The table's rows of a subscriber's rooms.
fn rows_of(truth: &Truth, one: &Received) -> Rows {
    let is_followed = |(room, _): &Name| one.rooms == [ALL_ROOMS] || one.rooms.contains(&room.as_str());
    let rows = truth.rows.iter().filter(|(name, _)| is_followed(name));
    rows.map(|(name, row)| (name.clone(), row.clone())).collect()
}

/// Where a picture and the table differ.
fn unlike(picture: &Rows, rows: &Rows) -> Vec<String> {
    let names: HashSet<&Name> = picture.keys().chain(rows.keys()).collect();
    let differs = names
        .into_iter()
        .filter(|name| picture.get(name) != rows.get(name));
    differs
        .take(SHOWN)
        .map(|name| {
            let (shown, is) = (picture.get(name), rows.get(name));
            format!("has in its picture of {name:?} {shown:?}, in the table stands {is:?}")
        })
        .collect()
}

/// How often each operation must have happened to each table.
const ENOUGH: usize = 15;

/// Whether each operation happened often enough to each table, and pruning to those that it is meant for.
pub async fn is_enough(client: &Client, sources: &[Arc<Source>]) -> bool {
    for source in sources {
        let (name, entries) = (source.table.name, source.table.entries());
        let enough = format!(
            "select count(*) filter (where op = 'i') >= {ENOUGH} and count(*) filter (where op = 'u') >= {ENOUGH}
                    and count(*) filter (where op = 'd') >= {ENOUGH}
                    and ({} or min(id) <= (select pruned_to from rowcast.sources where name = '{name}'))
               from {entries}",
            source.table.keep.is_none()
        );
        let found = client.query_one(&enough, &[]).await.expect("count the entries");
        if !found.get::<_, bool>(0) {
            return false;
        }
    }
    true
}

/// A run in which nothing went wrong shows nothing.
pub fn everything_happened(
    truths: &[Truth],
    tally: &Tally,
    held: &Held,
    subscribers: &[Received],
    stage: &Stage,
) {
    let mut wanting = Wanting::default();
    for truth in truths {
        for op in ["insert", "update", "delete"] {
            wanting.expect(
                truth.count(op) >= ENOUGH,
                &format!("{ENOUGH} of {op} in {}", truth.table.name),
            );
        }
        let first = truth.entries.keys().next();
        let is_pruned = first.is_some_and(|first| *first <= truth.pruned_to);
        wanting.expect(
            is_pruned == truth.table.keep.is_some(),
            &format!("pruning of {} as it should be", truth.table.name),
        );
    }
    let late: usize = truths.iter().map(|truth| truth.late).sum();
    wanting.expect(
        late > 50,
        "more than 50 entries that became visible after a higher number",
    );
    wanting.expect(held.long_enough > 0, "a transaction that held back the pruning");
    let expired: u64 = subscribers.iter().map(|one| one.tally.expired).sum();
    wanting.expect(expired > 2, "subscribers that came too late");
    wanting.expect(
        subscribers
            .iter()
            .all(|one| one.ids.len() > 5 || one.tally.expired > 0),
        "events for every subscriber",
    );
    wanting.expect_the_usual(tally, subscribers, stage);
    wanting.judge();
}
