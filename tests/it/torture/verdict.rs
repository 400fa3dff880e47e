//! What was committed, held against what was received; and whether the run was worth anything.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::faults::Stage;
use super::subscribers::{Received, Transport};
use super::writers::Tally;

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

impl Truth {
    /// Once the writers have stopped.
    pub async fn read(client: &Client) -> Self {
        let rows = client.query(ROWS, &[]).await.expect("read the table");
        let row = |row: &tokio_postgres::Row| {
            let committed_at: Option<String> = row.get(3);
            let truth = Row {
                room: row.get(1),
                body: row.get(2),
                committed_at: committed_at.unwrap_or_default(),
            };
            (row.get(0), truth)
        };
        let late = client.query_one(LATE, &[]).await.expect("count late rows");
        Self {
            rows: rows.iter().map(row).collect(),
            late: late.get(0),
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
    println!(
        "torture: {} rows, {} of them late; {tally:?}; {:?}; modes changed {} times, epochs {}",
        truth.rows.len(),
        truth.late,
        stage.toll,
        stage.log_lines("the bell's mode"),
        stage.log_lines("subscribers are reset"),
    );
    for transport in Transport::ALL {
        let of_transport = || subscribers.iter().filter(move |one| one.transport == transport);
        let sum = |figure: fn(&Received) -> u64| of_transport().map(figure).sum::<u64>();
        println!(
            "torture: {transport:?}: {} subscribers received {} events in {} sessions; on the other relay {}, left {}, cut {}, refused {}",
            of_transport().count(),
            sum(|one| one.ids.len() as u64),
            sum(|one| one.sessions.len() as u64),
            sum(|one| one.tally.changes_of_relay),
            sum(|one| one.tally.left),
            sum(|one| one.tally.cut),
            sum(|one| one.tally.refused),
        );
    }
}

/// Fails where a row was lost, repeated or made up, or anything else happened that must not.
pub fn judge(truth: &Truth, subscribers: &[Received], seed: u64) {
    let complaints: Vec<String> = subscribers
        .iter()
        .enumerate()
        .flat_map(|(number, one)| {
            complaints(truth, one).into_iter().map(move |complaint| {
                format!(
                    "subscriber {number} ({:?} of {:?}) {complaint}",
                    one.transport, one.rooms
                )
            })
        })
        .collect();
    assert!(
        complaints.is_empty(),
        "ROWCAST_TORTURE_SEED={seed}\n{}",
        complaints.join("\n")
    );
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
    let all = |ids: &[i64]| {
        ids.iter()
            .take(20)
            .map(|&id| truth.describe(id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !lost.is_empty() {
        complaints.push(format!(
            "lost {}: {}\n  its cursor is {:?}",
            lost.len(),
            all(&lost),
            one.cursor
        ));
        complaints.extend(lost.iter().take(3).map(|&id| around(one, id)));
    }
    if !made_up.is_empty() {
        complaints.push(format!(
            "was told of {} rows that are not there: {}",
            made_up.len(),
            all(&made_up)
        ));
    }
    for &(id, first, second) in one.repeated.iter().take(20) {
        let (before, again) = (&one.sessions[first], &one.sessions[second]);
        complaints.push(format!(
            "got {} again: in session {first} {before:?}, in session {second} {again:?}",
            truth.describe(id)
        ));
    }
    complaints.extend(
        one.strange
            .iter()
            .take(20)
            .map(|strange| format!("met {strange}")),
    );
    complaints
}

/// The sessions that brought the lost id's neighbours: the row was lost there or between them.
fn around(one: &Received, id: i64) -> String {
    let below = one.ids.iter().filter(|(known, _)| **known < id).max();
    let above = one.ids.iter().filter(|(known, _)| **known > id).min();
    let describe = |neighbour: Option<(&i64, &usize)>| {
        neighbour.map_or("none".to_owned(), |(id, &session)| {
            let next = one.sessions.get(session + 1);
            format!(
                "{id} in session {session} {:?}, then {next:?}",
                one.sessions[session]
            )
        })
    };
    format!(
        "  around {id}: below {}; above {}",
        describe(below),
        describe(above)
    )
}

/// A run in which nothing went wrong shows nothing.
pub fn everything_happened(truth: &Truth, tally: &Tally, subscribers: &[Received], stage: &Stage) {
    let mut missing = Vec::new();
    let mut expect = |happened: bool, what: &str| {
        if !happened {
            missing.push(what.to_owned());
        }
    };
    expect(truth.rows.len() > 300, "more than 300 rows");
    expect(
        truth.late > 50,
        "more than 50 rows that became visible after a higher id",
    );
    expect(
        tally.committed.iter().all(|&count| count > 10),
        "commits at every isolation level",
    );
    expect(tally.rolled_back > 10, "roll-backs");
    expect(tally.savepoints_rolled_back > 10, "savepoints rolled back");
    expect(tally.cut_off > 0, "transactions cut off");
    expect(
        stage.log_lines("the bell's mode") > 5,
        "changes between the bell and polling",
    );
    expect(stage.toll.crashes > 0, "a crash of PostgreSQL");
    expect(stage.toll.kills > 1, "killed relays");
    expect(stage.toll.drains > 0, "a drained relay");
    expect(stage.toll.terminated_backends > 0, "terminated backends");
    for transport in Transport::ALL {
        let of_transport = || subscribers.iter().filter(move |one| one.transport == transport);
        let happens = |figure: fn(&Received) -> u64| of_transport().map(figure).sum::<u64>() > 0;
        expect(
            happens(|one| one.tally.changes_of_relay),
            "resumes on the other relay",
        );
        expect(happens(|one| one.tally.left), "subscribers that leave");
        expect(happens(|one| one.tally.cut), "subscribers that are cut off");
    }
    for one in subscribers {
        expect(one.ids.len() > 5, "rows for every subscriber");
    }
    assert!(
        missing.is_empty(),
        "this run shows nothing, for want of: {}",
        missing.join("; ")
    );
}
