//! The rows that were committed, held against those that were received.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::torture::faults::Stage;
use crate::torture::received::Received;
use crate::torture::verdict::{self, Wanting, around, list};
use crate::torture::writers::Tally;

/// The rows of the table at the end that were written during the run.
pub struct Truth {
    rows: HashMap<i64, Row>,
    /// Rows that were committed after a row with a higher id had been.
    pub late: i64,
}

struct Row {
    room: Option<String>,
    body: String,
    committed_at: String,
}

/// `earliest_above`: when the first row with a higher id was committed. Explicit ids count as late or not like others,
/// but they make nobody else late.
const LATE: &str = "
    select count(*) from (
        select committed_at, min(drawn_at) over (order by id desc rows between unbounded preceding and 1 preceding) as earliest_above
          from (select id, pg_xact_commit_timestamp(xmin) as committed_at,
                       case when body not like 'explicit%' then pg_xact_commit_timestamp(xmin) end as drawn_at
                  from messages where body <> 'before') timed
    ) compared where committed_at > earliest_above";

const ROWS: &str = "
    select id, room_id, body, pg_xact_commit_timestamp(xmin)::text from messages where body <> 'before'";

/// The same of a server that does not note when rows are committed.
const UNTIMED_ROWS: &str = "select id, room_id, body, null::text from messages where body <> 'before'";

impl Truth {
    /// Once the writers have stopped. The server must note when rows are committed.
    pub async fn read(client: &Client) -> Self {
        let late = client.query_one(LATE, &[]).await.expect("count late rows");
        Self {
            late: late.get(0),
            ..Self::of(client, ROWS).await
        }
    }

    /// The same of any server; which rows were late is not known.
    pub async fn read_untimed(client: &Client) -> Self {
        Self::of(client, UNTIMED_ROWS).await
    }

    async fn of(client: &Client, rows: &str) -> Self {
        let rows = client.query(rows, &[]).await.expect("read the table");
        let row = |row: &tokio_postgres::Row| {
            let committed_at: Option<String> = row.get(3);
            let truth = Row {
                room: row.get(1),
                body: row.get(2),
                committed_at: committed_at.unwrap_or_default(),
            };
            (row.get(0), truth)
        };
        Self {
            rows: rows.iter().map(row).collect(),
            late: 0,
        }
    }

    /// The ids that a subscriber of `rooms` must have.
    pub fn expected(&self, rooms: &[&str]) -> impl Iterator<Item = i64> {
        let in_rooms = |row: &Row| row.room.as_deref().is_some_and(|room| rooms.contains(&room));
        self.rows
            .iter()
            .filter(move |(_, row)| in_rooms(row))
            .map(|(&id, _)| id)
    }

    fn describe(&self, id: i64) -> String {
        match self.rows.get(&id) {
            Some(Row {
                room,
                body,
                committed_at,
            }) => {
                format!(
                    "{id} ({} {body:?}, committed {committed_at})",
                    room.as_deref().unwrap_or("no room")
                )
            }
            None => format!("{id} (never committed)"),
        }
    }
}

/// The figures of the run.
pub fn print(truth: &Truth, tally: &Tally, subscribers: &[Received], stage: &Stage) {
    println!("torture: {} rows, {} of them late", truth.rows.len(), truth.late);
    verdict::print(tally, subscribers, stage);
}

/// Fails where a row was lost, repeated or made up, or anything else happened that must not.
pub fn judge(truth: &Truth, subscribers: &[Received], seed: u64) {
    verdict::judge(seed, Vec::new(), subscribers, |one| complaints(truth, one));
}

fn complaints(truth: &Truth, one: &Received) -> Vec<String> {
    let mut lost: Vec<i64> = truth
        .expected(&one.rooms)
        .filter(|id| !one.ids.contains_key(id))
        .collect();
    let mut made_up: Vec<i64> = one
        .ids
        .keys()
        .copied()
        .filter(|id| !truth.rows.contains_key(id))
        .collect();
    lost.sort_unstable();
    made_up.sort_unstable();
    let mut complaints = Vec::new();
    if !lost.is_empty() {
        let all = list(&lost, |id| truth.describe(id));
        complaints.push(format!("lost {all}\n  its cursor is {:?}", one.cursor));
        complaints.extend(lost.iter().take(3).map(|&id| around(one, id)));
    }
    if !made_up.is_empty() {
        complaints.push(format!(
            "was told of rows that are not there, {}",
            list(&made_up, |id| truth.describe(id))
        ));
    }
    complaints
}

/// A run in which nothing went wrong shows nothing.
pub fn everything_happened(truth: &Truth, tally: &Tally, subscribers: &[Received], stage: &Stage) {
    let mut wanting = Wanting::default();
    wanting.expect(truth.rows.len() > 300, "more than 300 rows");
    wanting.expect(
        truth.late > 50,
        "more than 50 rows that became visible after a higher id",
    );
    wanting.expect(
        subscribers.iter().all(|one| one.ids.len() > 5),
        "rows for every subscriber",
    );
    wanting.expect_the_usual(tally, subscribers, stage);
    wanting.judge();
}
