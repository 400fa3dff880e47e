//! The rules of birth and death, one by one.

use super::*;

/// Transaction 100 is the next and all before it are over; the sequence stands at 50.
const QUIET: Look = Look {
    xmin: 100,
    next_xid: 100,
    sequence_last: 50,
    cut_at: None,
    at: None,
};

fn read(seen: &mut Seen, look: Look, ids: &[i64]) -> Vec<(i64, i64)> {
    seen.absorb(&look, ids, |_, _| {});
    gaps(seen)
}

fn gaps(seen: &Seen) -> Vec<(i64, i64)> {
    seen.open().gaps().iter().map(|gap| (gap.low, gap.high)).collect()
}

fn starting_at(high: i64) -> Seen {
    Seen::from_open(&OpenSet::above(high))
}

#[test]
fn a_gap_is_as_old_as_its_first_read() {
    let (born, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(5));
    let mut seen = starting_at(10);
    assert_eq!(seen.ages(), (0, None));
    let at = |at| Look {
        xmin: 99,
        at: Some(at),
        ..QUIET
    };
    read(&mut seen, at(born), &[12, 15]);
    read(&mut seen, at(later), &[13, 20]);
    assert_eq!(seen.ages(), (3, Some(born)));
    read(
        &mut seen,
        Look {
            sequence_last: 14,
            ..at(later)
        },
        &[11, 14],
    );
    assert_eq!(
        seen.ages(),
        (1, Some(later)),
        "what is left of the others was born later"
    );
    read(&mut seen, QUIET, &[]);
    assert_eq!(seen.ages(), (0, None));
}

#[test]
fn a_gap_dies_in_a_later_read_than_its_birth() {
    let mut seen = starting_at(10);
    assert_eq!(read(&mut seen, QUIET, &[11, 14]), [(12, 13)]);
    assert!(seen.lingers());
    assert_eq!(
        read(
            &mut seen,
            Look {
                xmin: 99,
                next_xid: 101,
                ..QUIET
            },
            &[]
        ),
        [(12, 13)]
    );
    assert_eq!(read(&mut seen, QUIET, &[]), []);
    assert!(!seen.lingers());
}

#[test]
fn a_late_row_splits_its_gap_and_is_delivered() {
    let mut seen = starting_at(10);
    read(&mut seen, Look { xmin: 90, ..QUIET }, &[20]);
    assert_eq!(
        read(&mut seen, Look { xmin: 90, ..QUIET }, &[15, 19]),
        [(11, 14), (16, 18)]
    );
    assert_eq!(read(&mut seen, QUIET, &[11]), []);
    assert_eq!(seen.open(), OpenSet::above(20));
}

#[test]
fn a_gap_above_the_sequence_stays_open_until_the_sequence_has_passed_it() {
    let mut seen = starting_at(49);
    assert_eq!(read(&mut seen, QUIET, &[1_000]), [(50, 999)]);
    assert_eq!(read(&mut seen, QUIET, &[]), [(51, 999)]);
    assert!(!seen.lingers());
    let look = Look {
        sequence_last: 60,
        ..QUIET
    };
    assert_eq!(read(&mut seen, look, &[55]), [(51, 54), (56, 999)]);
    assert_eq!(read(&mut seen, look, &[]), [(61, 999)]);
}

#[test]
fn gaps_of_a_saved_position_get_their_bound_at_the_first_read() {
    let saved = OpenSet::new(30, [IdRange { low: 21, high: 22 }, IdRange { low: 25, high: 25 }]);
    let mut seen = Seen::from_open(&saved);
    assert_eq!(seen.open(), saved);
    assert!(!seen.lingers());
    assert_eq!(read(&mut seen, QUIET, &[21]), [(22, 22), (25, 25)]);
    assert!(seen.lingers());
    assert_eq!(read(&mut seen, QUIET, &[]), []);
}

#[test]
fn a_read_that_was_cut_buries_only_what_it_looked_at() {
    let mut seen = starting_at(10);
    read(&mut seen, Look { xmin: 90, ..QUIET }, &[15, 20, 25]);
    let cut = Look {
        cut_at: Some(17),
        ..QUIET
    };
    assert_eq!(read(&mut seen, cut, &[17]), [(18, 19), (21, 24)]);
    assert_eq!(read(&mut seen, QUIET, &[]), []);
}

#[test]
fn the_tables_own_xmin_counts_in_the_next_read_only() {
    let behind_a_foreign_transaction = Look { xmin: 4, ..QUIET };
    let mut seen = starting_at(10);
    read(&mut seen, behind_a_foreign_transaction, &[12]);
    seen.note_table_xmin(99);
    assert_eq!(
        read(&mut seen, behind_a_foreign_transaction, &[14]),
        [(11, 11), (13, 13)]
    );
    seen.note_table_xmin(100);
    assert_eq!(read(&mut seen, behind_a_foreign_transaction, &[16]), [(15, 15)]);
    assert_eq!(read(&mut seen, behind_a_foreign_transaction, &[]), [(15, 15)]);
    seen.note_table_xmin(u64::MAX);
    assert_eq!(read(&mut seen, behind_a_foreign_transaction, &[]), []);
}

#[test]
fn ten_thousand_rolled_back_ids_under_a_foreign_transaction_lengthen_nothing() {
    let mut seen = starting_at(0);
    for round in 1..=10_000 {
        let id = 2 * round;
        let look = Look {
            xmin: 4,
            next_xid: 100 + id as u64,
            sequence_last: id,
            cut_at: None,
            at: None,
        };
        assert!(read(&mut seen, look, &[id]).len() <= 1);
        assert!(seen.gaps.len() <= 1);
        seen.note_table_xmin(u64::MAX);
    }
}

#[test]
fn rolled_back_ids_in_a_row_are_one_gap() {
    let saved = OpenSet::new(60, [IdRange { low: 1, high: 59 }]);
    let mut seen = Seen::from_open(&saved);
    // The sequence passes one id of the gap after another while no transaction id is used up.
    for sequence_last in 1..=59 {
        read(
            &mut seen,
            Look {
                xmin: 4,
                sequence_last,
                ..QUIET
            },
            &[],
        );
        assert!(seen.gaps.len() <= 2);
    }
    assert_eq!(
        seen.gaps,
        [Gap {
            ids: IdRange { low: 1, high: 59 },
            bound: Some(Bound { xid: 100, at: None })
        }]
    );
}

#[test]
fn an_id_that_stands_twice_is_delivered_once_and_hides_no_other() {
    let mut seen = starting_at(0);
    let mut delivered = Vec::new();
    seen.absorb(&QUIET, &[1, 1, 2], |id, open| delivered.push((id, open.high())));
    assert_eq!(delivered, [(1, 1), (2, 2)]);
}
