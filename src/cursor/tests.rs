//! Cursors against a model: a plain set over a small universe, whose last id stands for everything above.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The model's universe is `1..=LAST`; only ids below it are drawn, so that `LAST` is always open.
const LAST: i64 = 40;

type Model = BTreeSet<i64>;

fn range(low: i64, high: i64) -> IdRange {
    IdRange { low, high }
}

fn model(set: &OpenSet) -> Model {
    (1..=LAST).filter(|&id| set.contains(id)).collect()
}

fn from_model(model: &Model) -> OpenSet {
    let high = (1..=LAST).rev().find(|id| !model.contains(id)).unwrap_or(0);
    OpenSet::new(high, model.iter().map(|&id| range(id, id)))
}

fn model_of(ranges: &[IdRange]) -> Model {
    (1..=LAST)
        .filter(|id| ranges.iter().any(|range| range.low <= *id && *id <= range.high))
        .collect()
}

fn is_normal(set: &OpenSet) -> bool {
    let ranges: Vec<_> = set.ranges().collect();
    ranges
        .iter()
        .all(|range| 1 <= range.low && range.low <= range.high)
        && ranges.windows(2).all(|pair| pair[0].high < pair[1].low - 1)
        && ranges
            .last()
            .is_none_or(|last| (last.high == i64::MAX) == (set.high() < i64::MAX))
}

fn any_set() -> impl Strategy<Value = OpenSet> {
    let gaps = prop::collection::vec((-2..LAST + 5, 0..6i64), 0..12);
    (-2..LAST, gaps).prop_map(|(high, gaps)| {
        OpenSet::new(high, gaps.into_iter().map(|(low, more)| range(low, low + more)))
    })
}

/// Sets whose ids and gaps are spread over all of `i64`, with many or few gaps.
fn any_wide_set() -> impl Strategy<Value = OpenSet> {
    let scale = prop_oneof![Just(5_000), Just(1 << 33), Just(i64::MAX)];
    (scale, 0..1_500usize).prop_flat_map(|(scale, count)| {
        let gap = (1..=scale, 0..=scale / 2_000).prop_map(|(low, more)| range(low, low.saturating_add(more)));
        (0..=scale, prop::collection::vec(gap, count)).prop_map(|(high, gaps)| OpenSet::new(high, gaps))
    })
}

fn parse(text: &str) -> Result<Cursor, InvalidCursor> {
    match Resume::parse(text)? {
        Resume::Cursor(cursor) => Ok(cursor),
        Resume::RowId(id) => panic!("{text} is the row id {id}"),
    }
}

fn cursor(epoch: i64, high: i64, gaps: &[IdRange]) -> Cursor {
    Cursor {
        epoch,
        open: OpenSet::new(high, gaps.iter().copied()),
    }
}

proptest! {
    #[test]
    fn every_operation_agrees_with_a_plain_set(one in any_set(), other in any_set(), id in -2..LAST) {
        let (a, b) = (model(&one), model(&other));
        prop_assert!(is_normal(&one));
        prop_assert_eq!(&from_model(&a), &one);
        prop_assert_eq!(one.is_subset(&other), a.is_subset(&b));
        prop_assert_eq!(one.intersection(&other), from_model(&(&a & &b)));
        prop_assert_eq!(one.union(&other), from_model(&(&a | &b)));

        let difference = one.difference(&other);
        prop_assert_eq!(model_of(&difference), &a - &b);
        prop_assert!(difference.windows(2).all(|pair| pair[0].high + 1 < pair[1].low));

        let mut rest = a.clone();
        prop_assert_eq!(one.clone().remove(id), rest.remove(&id));
        prop_assert_eq!(one.without(id), from_model(&rest));
        prop_assert_eq!(one.above_id(id), from_model(&a.iter().copied().filter(|&open| open > id).collect()));
        prop_assert_eq!(one.intersection(&OpenSet::above(id)), one.above_id(id));
    }

    #[test]
    fn operations_hold_over_all_of_i64(one in any_wide_set(), other in any_wide_set(), id in 1..=i64::MAX) {
        let (both, either) = (one.intersection(&other), one.union(&other));
        for set in [&one, &both, &either, &one.above_id(id), &one.without(id), &one.without(i64::MAX)] {
            prop_assert!(is_normal(set));
        }
        prop_assert!(both.is_subset(&one) && both.is_subset(&other));
        prop_assert!(one.is_subset(&either) && other.is_subset(&either));
        prop_assert!(!one.without(id).contains(id));
        // A set is what it shares with another and what it does not, and these two share nothing.
        let alone = OpenSet::new(i64::MAX, one.difference(&other));
        prop_assert_eq!(both.union(&alone), one);
        prop_assert_eq!(both.intersection(&alone).ranges().count(), 0);
    }

    #[test]
    fn a_text_that_was_given_out_reads_back_and_renders_to_itself(
        epoch in 1..=MAX_EPOCH, open in any_wide_set(),
    ) {
        let given = Cursor { epoch, open };
        let text = given.to_string();
        let read = parse(&text).expect("a rendered cursor parses");
        prop_assert!(text.len() <= MAX_TEXT_BYTES);
        prop_assert_eq!(read.to_string(), text);
        prop_assert!(given.open.is_subset(&read.open));
        let expected = given.open.gaps().len().min(max_ranges(given.open.high()));
        prop_assert_eq!(read.open.gaps().len(), expected);
        if expected == given.open.gaps().len() {
            prop_assert_eq!(read, given);
        } else {
            prop_assert_eq!(read.open.high(), given.open.high());
        }
    }

    #[test]
    fn abridging_gives_up_the_fewest_ids(
        lengths in prop::collection::vec((1..4i64, 1..9i64), MAX_TEXT_RANGES..700),
    ) {
        let mut gaps = Vec::new();
        let mut next = 1;
        for &(open, seen) in &lengths {
            gaps.push(range(next, next + open - 1));
            next += open + seen;
        }
        let given = cursor(1, next - 1, &gaps);
        let read = parse(&given.to_string()).expect("a rendered cursor parses");
        let repeated: i64 = read.open.difference(&given.open).iter().map(|range| range.high - range.low + 1).sum();
        let mut between: Vec<_> = lengths[..lengths.len() - 1].iter().map(|&(_, seen)| seen).collect();
        between.sort_unstable();
        prop_assert_eq!(repeated, between[..lengths.len() - MAX_TEXT_RANGES].iter().sum::<i64>());
    }

    #[test]
    fn no_text_makes_parsing_panic(text in ".*") {
        let _ = Resume::parse(&text);
    }

    #[test]
    fn what_parses_is_canonical(text in "[0-9]{1,3}\\.[0-9]{1,3}(~[0-9~,.-]{0,12})?") {
        if let Ok(cursor) = parse(&text) {
            prop_assert!(is_normal(&cursor.open));
            prop_assert_eq!(cursor.to_string(), text);
        }
    }
}

#[test]
fn texts_are_those_of_the_documentation() {
    assert_eq!(cursor(4711, 1050, &[]).to_string(), "4711.1050");
    assert_eq!(
        cursor(4711, 1050, &[range(1043, 1043)]).to_string(),
        "4711.1050~7"
    );
    assert_eq!(
        cursor(4711, 1050, &[range(1043, 1043), range(1046, 1049)]).to_string(),
        "4711.1050~1-4,7"
    );
    assert_eq!(
        parse("4711.1050~1-4,7"),
        Ok(cursor(4711, 1050, &[range(1043, 1043), range(1046, 1049)]))
    );
    assert_eq!(parse("1.0"), Ok(cursor(1, 0, &[])));
    assert_eq!(parse("1.2~1"), Ok(cursor(1, 2, &[range(1, 1)])));
}

#[test]
fn a_bare_integer_is_a_row_id() {
    assert_eq!(Resume::parse("0"), Ok(Resume::RowId(0)));
    assert_eq!(Resume::parse("9223372036854775807"), Ok(Resume::RowId(i64::MAX)));
    for text in [
        "",
        "-1",
        "+1",
        "00",
        "01",
        " 1",
        "1 ",
        "1\n",
        "9223372036854775808",
        "1e3",
        "٣",
        "1_000",
        "~1",
    ] {
        assert_eq!(Resume::parse(text), Err(InvalidCursor), "{text:?}");
    }
}

#[test]
fn every_other_spelling_is_refused() {
    for text in [
        "1.",
        ".1",
        ".",
        "1.1.1",
        "0.5",
        "9007199254740993.5",
        "1.9223372036854775808",
        "01.5",
        "1.05",
        "+1.5",
        "1.-5",
        "1.5 ",
        "1. 5",
        "1.5~",
        "1.5~0",
        "1.5~01",
        "1.5~0-2",
        "1.5~5",
        "1.5~1-5",
        "1.5~2-2",
        "1.5~3-2",
        "1.5~1,1",
        "1.5~3,1",
        "1.5~1,2",
        "1.5~1-2,3",
        "1.9~1-3,2-5",
        "1.5~1,",
        "1.5~,1",
        "1.5~1,,3",
        "1.5~1-",
        "1.5~-1",
        "1.5~1--2",
        "1.9~1-2-3",
        "1.5~1~3",
        "1.0~1",
        "1.1~1",
        "1.5~9223372036854775807",
        "1.5~18446744073709551617",
        "1.5~１",
        "1.9223372036854775807~1-9223372036854775807",
    ] {
        assert_eq!(Resume::parse(text), Err(InvalidCursor), "{text:?}");
    }
}

#[test]
fn a_text_holds_512_ranges_and_12_kib_at_most() {
    let text = |ranges: i64| {
        let distances: Vec<_> = (1..=ranges).map(|range| (2 * range).to_string()).collect();
        format!("1.5000~{}", distances.join(","))
    };
    assert_eq!(parse(&text(512)).map(|cursor| cursor.open.gaps().len()), Ok(512));
    assert_eq!(parse(&text(513)), Err(InvalidCursor));
    assert_eq!(Resume::parse(&"1".repeat(MAX_TEXT_BYTES + 1)), Err(InvalidCursor));
    assert_eq!(
        Resume::parse(&format!("1.5~{}", "1".repeat(MAX_TEXT_BYTES))),
        Err(InvalidCursor)
    );
}

#[test]
fn nothing_overflows_at_the_last_id() {
    let all_seen = OpenSet::above(i64::MAX);
    assert_eq!(all_seen.ranges().count(), 0);
    assert!(!all_seen.contains(i64::MAX));
    assert!(all_seen.is_subset(&all_seen) && !OpenSet::above(0).is_subset(&all_seen));
    assert_eq!(OpenSet::new(i64::MAX, [range(7, i64::MAX)]), OpenSet::above(6));
    assert_eq!(
        OpenSet::new(i64::MAX, [range(i64::MIN, i64::MAX)]),
        OpenSet::above(i64::MIN)
    );
    assert_eq!(OpenSet::above(0).difference(&all_seen), [range(1, i64::MAX)]);
    assert_eq!(OpenSet::above(5).above_id(i64::MAX), all_seen);

    let last_but_one = OpenSet::above(5).without(i64::MAX);
    assert_eq!(
        (last_but_one.high(), last_but_one.gaps()),
        (i64::MAX, &[range(6, i64::MAX - 1)][..])
    );
    let text = Cursor {
        epoch: MAX_EPOCH,
        open: last_but_one.clone(),
    }
    .to_string();
    assert_eq!(parse(&text).map(|cursor| cursor.open), Ok(last_but_one));
    assert_eq!(OpenSet::above(i64::MAX - 1).without(i64::MAX), all_seen);
    assert_eq!(all_seen.without(i64::MIN), all_seen);
}
