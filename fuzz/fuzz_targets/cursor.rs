//! Cursors: a text that is read renders to itself, and sets that were read can be reckoned with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rowcast::cursor::{OpenSet, Resume};

/// Of two texts, with a line feed between.
fn open_set(text: &str) -> Option<OpenSet> {
    match Resume::parse(text) {
        Ok(Resume::Cursor(cursor)) => {
            assert_eq!(cursor.to_string(), text);
            Some(cursor.open)
        }
        Ok(Resume::RowId(id)) => {
            assert!(id >= 0);
            assert_eq!(id.to_string(), text);
            None
        }
        Err(_) => None,
    }
}

fuzz_target!(|text: &str| {
    let (one, other) = text.split_once('\n').unwrap_or((text, ""));
    let (Some(one), Some(other)) = (open_set(one), open_set(other)) else {
        return;
    };
    let (both, either) = (one.intersection(&other), one.union(&other));
    for set in [&one, &other] {
        assert!(both.is_subset(set) && set.is_subset(&either));
        assert_eq!(set.difference(set), []);
    }
    for range in one.difference(&other) {
        assert!(one.contains(range.low) && !other.contains(range.low));
        assert!(one.contains(range.high) && !other.contains(range.high));
    }
});
