//! The bell's states, step by step.

use super::*;

const CALM: Heed = Heed {
    flag: false,
    xmin: 100,
    quiet: true,
    stormy: false,
};
const LOUD: Heed = Heed {
    flag: true,
    xmin: 100,
    quiet: false,
    stormy: true,
};

fn armed() -> Mode {
    let mut mode = Mode::new(false);
    assert_eq!(mode.on_listen_up(), Action::Read);
    assert_eq!(mode.on_read(&CALM), Action::Raise);
    assert_eq!(mode.on_raised(), Action::NoteNextXid);
    assert_eq!(mode.on_noted(100), Action::Read);
    assert_eq!(mode.on_read(&Heed { flag: true, ..CALM }), Action::Wait);
    assert_eq!(mode.pace(), Pace::Armed);
    mode
}

#[test]
fn a_storm_lowers_the_flag_and_quiet_raises_it() {
    let mut mode = armed();
    assert_eq!(mode.on_bell(), Action::Read);
    assert_eq!(mode.on_read(&LOUD), Action::Lower);
    assert_eq!(
        (mode.pace(), mode.on_busy()),
        (Pace::InFlight, Action::Wait),
        "our own busy comes back"
    );
    assert_eq!(mode.on_lowered(), Action::Read);
    assert_eq!(mode.pace(), Pace::Polling);
    assert_eq!(mode.on_read(&Heed { quiet: false, ..CALM }), Action::Wait);
    assert_eq!(mode.on_read(&CALM), Action::Raise);
}

#[test]
fn arming_waits_for_those_who_could_have_read_0() {
    let mut mode = Mode::new(false);
    let _ = (
        mode.on_listen_up(),
        mode.on_read(&CALM),
        mode.on_raised(),
        mode.on_noted(101),
    );
    let raised = Heed { flag: true, ..CALM };
    assert_eq!((mode.on_read(&raised), mode.pace()), (Action::Wait, Pace::Arming));
    mode.on_table_xmin(100);
    assert_eq!((mode.on_read(&raised), mode.pace()), (Action::Wait, Pace::Arming));
    mode.on_table_xmin(u64::MAX);
    assert_eq!(mode.pace(), Pace::Arming, "the look counts in the next read");
    assert_eq!((mode.on_read(&raised), mode.pace()), (Action::Wait, Pace::Armed));
}

#[test]
fn never_ring_polls_and_keeps_the_flag_down() {
    let mut mode = Mode::new(true);
    assert_eq!(mode.on_listen_up(), Action::Read);
    assert_eq!((mode.on_read(&CALM), mode.pace()), (Action::Wait, Pace::PollOnly));
    assert_eq!(mode.on_read(&Heed { flag: true, ..CALM }), Action::Lower);
    let _ = mode.on_lowered();
    assert_eq!(mode.set_never_ring(false), Action::Read);
    assert_eq!(mode.pace(), Pace::Polling);
    let mut mode = armed();
    assert_eq!(
        (mode.set_never_ring(true), mode.pace()),
        (Action::Read, Pace::PollOnly)
    );
}

#[test]
fn without_listen_it_polls_only_and_without_a_privilege_it_stops_trying() {
    let mut mode = armed();
    assert_eq!(
        (mode.on_listen_down(), mode.pace()),
        (Action::Read, Pace::PollOnly)
    );
    assert_eq!(mode.on_read(&CALM), Action::Wait);
    let _ = (mode.on_listen_up(), mode.on_read(&CALM));
    assert_eq!((mode.on_refused(), mode.pace()), (Action::Read, Pace::PollOnly));
    assert_eq!(
        (mode.on_read(&CALM), mode.on_read(&LOUD)),
        (Action::Wait, Action::Wait)
    );
    assert_eq!(
        (mode.on_reconnected(), mode.pace()),
        (Action::Read, Pace::Polling)
    );
}

#[test]
fn whoever_leaves_lowers_the_flag() {
    let mut mode = armed();
    assert_eq!(mode.shutdown(), Action::Lower);
    assert_eq!((mode.on_lowered(), mode.name()), (Action::Wait, "leaving"));
}
