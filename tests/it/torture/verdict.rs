//! What a verdict has in common: figures, complaints, and whether the run was worth anything.

use super::faults::Stage;
use super::received::{Received, Session, Transport};
use super::writers::Tally;

/// How many complaints of a kind are printed.
pub const SHOWN: usize = 20;

/// The figures of the run, by transport.
pub fn print(tally: &Tally, subscribers: &[Received], stage: &Stage) {
    println!(
        "torture: {tally:?}; {:?}; modes changed {} times, epochs {}",
        stage.toll,
        stage.log_lines("the bell's mode"),
        stage.log_lines("subscribers are reset"),
    );
    for transport in Transport::ALL {
        let of_transport = || subscribers.iter().filter(move |one| one.transport == transport);
        let sum = |figure: fn(&Received) -> u64| of_transport().map(figure).sum::<u64>();
        println!(
            "torture: {transport:?}: {} subscribers received {} events in {} sessions; on the other relay {}, left {}, cut {}, refused {}, expired {}",
            of_transport().count(),
            sum(|one| one.ids.len() as u64),
            sum(|one| one.sessions.len() as u64),
            sum(|one| one.tally.changes_of_relay),
            sum(|one| one.tally.left),
            sum(|one| one.tally.cut),
            sum(|one| one.tally.refused),
            sum(|one| one.tally.expired),
        );
    }
}

/// Fails with all that `complaints` finds at any subscriber, and these complaints about the rest.
pub fn judge(
    seed: u64,
    mut all: Vec<String>,
    subscribers: &[Received],
    complaints: impl Fn(&Received) -> Vec<String>,
) {
    for (number, one) in subscribers.iter().enumerate() {
        let repeated = one
            .repeated
            .iter()
            .take(SHOWN)
            .map(|&(id, first, second)| repeated(one, id, first, second));
        let strange = one
            .strange
            .iter()
            .take(SHOWN)
            .map(|strange| format!("met {strange}"));
        all.extend(
            complaints(one)
                .into_iter()
                .chain(repeated)
                .chain(strange)
                .map(|what| {
                    format!(
                        "subscriber {number} ({:?} of {} {:?}) {what}",
                        one.transport, one.path, one.rooms
                    )
                }),
        );
    }
    assert!(all.is_empty(), "ROWCAST_TORTURE_SEED={seed}\n{}", all.join("\n"));
}

fn repeated(one: &Received, id: i64, first: usize, second: usize) -> String {
    let (before, again) = (&one.sessions[first], &one.sessions[second]);
    format!("got {id} again: in session {first} {before}, in session {second} {again}")
}

/// The first of some ids, each described, and how many they are.
pub fn list(ids: &[i64], describe: impl Fn(i64) -> String) -> String {
    let shown: Vec<String> = ids.iter().take(SHOWN).map(|&id| describe(id)).collect();
    format!("{}: {}", ids.len(), shown.join(", "))
}

/// The sessions that brought a lost id's neighbours: the row was lost there or between them.
pub fn around(one: &Received, id: i64) -> String {
    let below = one.ids.iter().filter(|(known, _)| **known < id).max();
    let above = one.ids.iter().filter(|(known, _)| **known > id).min();
    let describe = |neighbour: Option<(&i64, &usize)>| {
        neighbour.map_or("none".to_owned(), |(id, &session)| {
            let next = one.sessions.get(session + 1).map(Session::to_string);
            format!(
                "{id} in session {session} {}, then {next:?}",
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

/// A run in which nothing went wrong shows nothing: collects what it is in want of.
#[derive(Default)]
pub struct Wanting(Vec<String>);

impl Wanting {
    pub fn expect(&mut self, happened: bool, what: &str) {
        if !happened {
            self.0.push(what.to_owned());
        }
    }

    /// What every run needs, whatever is followed.
    pub fn expect_the_usual(&mut self, tally: &Tally, subscribers: &[Received], stage: &Stage) {
        self.expect(
            tally.committed.iter().all(|&count| count > 10),
            "commits at every isolation level",
        );
        self.expect(tally.rolled_back > 10, "roll-backs");
        self.expect(tally.savepoints_rolled_back > 10, "savepoints rolled back");
        self.expect(tally.cut_off > 0, "transactions cut off");
        self.expect(
            stage.log_lines("the bell's mode") > 5,
            "changes between the bell and polling",
        );
        self.expect(stage.toll.crashes > 0, "a crash of PostgreSQL");
        self.expect(stage.toll.kills > 1, "killed relays");
        self.expect(stage.toll.drains > 0, "a drained relay");
        self.expect(stage.toll.terminated_backends > 0, "terminated backends");
        for transport in Transport::ALL {
            let of_transport = || subscribers.iter().filter(move |one| one.transport == transport);
            let happens = |figure: fn(&Received) -> u64| of_transport().map(figure).sum::<u64>() > 0;
            self.expect(
                happens(|one| one.tally.changes_of_relay),
                "resumes on the other relay",
            );
            self.expect(happens(|one| one.tally.left), "subscribers that leave");
            self.expect(happens(|one| one.tally.cut), "subscribers that are cut off");
        }
    }

    /// Fails where something is wanting.
    pub fn judge(self) {
        assert!(
            self.0.is_empty(),
            "this run shows nothing, for want of: {}",
            self.0.join("; ")
        );
    }
}
