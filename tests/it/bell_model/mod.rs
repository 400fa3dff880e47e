//! Every state that three writers and two tails can reach through the bell, on the project's own [`Mode`].
//!
//! The world: one flag, writers of one row each, relays that lose their LISTEN, die or leave. Everything that takes
//! time is a step of its own: a statement is decided on, executed, answered; a bell or a `busy` is heard when it
//! pleases. Each rule of the bell is then broken in turn, to show that the exploration would tell.

mod search;
mod steps;
mod world;

use std::collections::HashMap;

use world::RELAYS;

/// A rule broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    BoundNotedBeforeRaise,
    BusyDroppedWhileRaising,
    ArmingWaitSkipped,
    FlagUnread,
    TableXminFromBeforeTheBound,
    BellMarkedHeardAfterTheRead,
}

/// What else may happen.
#[derive(Clone, Copy, Default)]
struct Faults {
    dies: bool,
    leaves: bool,
    loses_listen: bool,
    loses_connection: bool,
}

struct Exploration {
    writers: usize,
    faults: Faults,
    flaw: Flaw,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy, Hash)]
enum Violation {
    /// Asleep, a row unseen, no wake-up on its way.
    AsleepWithUnseenRow,
    /// Asleep while the flag is 0, and nobody will tell.
    AsleepWhileFlagIsDown,
    /// Polls under load, and leaves the flag at 1.
    RingsForNobody,
    /// When all is over and quiet, not everybody comes to rest armed, with every row seen.
    NeverAtRest,
}

struct Outcome {
    states: usize,
    /// The first of each kind, with its history.
    violations: HashMap<Violation, String>,
}

fn assert_holds(what: &str, writers: usize, faults: Faults) {
    let outcome = Exploration {
        writers,
        faults,
        flaw: Flaw::None,
    }
    .run(None);
    println!(
        "{what}, {writers} writers, {RELAYS} relays: {} states",
        outcome.states
    );
    assert!(outcome.violations.is_empty(), "{what}: {:#?}", outcome.violations);
}

#[track_caller]
fn assert_caught(flaw: Flaw, faults: Faults, as_what: Violation) {
    let outcome = Exploration {
        writers: 2,
        faults,
        flaw,
    }
    .run(Some(as_what));
    let caught = outcome.violations.get(&as_what);
    println!(
        "{flaw:?}, after {} states: {as_what:?}: {caught:?}",
        outcome.states
    );
    assert!(caught.is_some(), "{flaw:?} was not caught as {as_what:?}");
}

#[test]
fn nobody_sleeps_over_a_row_in_any_state_of_three_writers_and_two_relays() {
    assert_holds("as designed", 3, Faults::default());
}

#[test]
fn a_busy_lost_with_its_relay_costs_one_backstop() {
    assert_holds(
        "a relay may die",
        2,
        Faults {
            dies: true,
            ..Faults::default()
        },
    );
}

#[test]
fn relays_that_leave_leave_nobody_asleep_over_a_row() {
    assert_holds(
        "relays may leave",
        2,
        Faults {
            leaves: true,
            ..Faults::default()
        },
    );
}

#[test]
fn relays_that_lose_listen_come_to_rest_again() {
    assert_holds(
        "LISTEN may be lost",
        2,
        Faults {
            loses_listen: true,
            ..Faults::default()
        },
    );
}

#[test]
fn relays_that_lose_their_reading_connection_come_to_rest_again() {
    assert_holds(
        "the reading connection may be lost",
        2,
        Faults {
            loses_connection: true,
            ..Faults::default()
        },
    );
}

#[test]
fn a_bound_noted_before_the_flag_is_raised_is_caught() {
    assert_caught(
        Flaw::BoundNotedBeforeRaise,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_busy_dropped_while_raising_is_caught() {
    assert_caught(
        Flaw::BusyDroppedWhileRaising,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn an_arming_wait_skipped_is_caught() {
    assert_caught(
        Flaw::ArmingWaitSkipped,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_flag_left_unread_is_caught_when_a_relay_dies() {
    let faults = Faults {
        dies: true,
        ..Faults::default()
    };
    assert_caught(Flaw::FlagUnread, faults, Violation::AsleepWithUnseenRow);
    assert_caught(Flaw::FlagUnread, faults, Violation::AsleepWhileFlagIsDown);
}

#[test]
fn a_look_at_the_locks_from_before_the_bound_is_caught() {
    assert_caught(
        Flaw::TableXminFromBeforeTheBound,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}

#[test]
fn a_bell_marked_as_heard_only_after_the_read_is_caught() {
    assert_caught(
        Flaw::BellMarkedHeardAfterTheRead,
        Faults::default(),
        Violation::AsleepWithUnseenRow,
    );
}
