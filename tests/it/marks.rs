//! What the benchmark's load client believes: that it finds each row in whatever pieces its bytes come, and counts what is
//! lost, repeated or reordered.

#[path = "../../benches/relays/marks.rs"]
#[allow(dead_code)]
mod format;

#[path = "../../benches/relays/seen.rs"]
#[allow(dead_code)]
mod seen;

use format::{LENGTH, Mark, Tail, Window};
use seen::{Counts, Seen};

/// The marks of a text that comes in two reads, cut at `at`.
fn in_two_reads(text: &[u8], at: usize) -> Vec<Option<Mark>> {
    let (mut window, mut tail, mut found) = (Window::new(), Tail::EMPTY, Vec::new());
    for part in [&text[..at], &text[at..]] {
        window.space()[..part.len()].copy_from_slice(part);
        window.scan(&mut tail, 0..part.len(), |mark| found.push(mark));
    }
    found
}

fn mark(sequence: u64) -> Mark {
    Mark {
        sequence,
        written: 1_000_000_007 * sequence,
    }
}

fn counts(sequences: &[u64], last: u64) -> Counts {
    let (mut seen, mut counts) = (Seen::default(), Counts::default());
    for sequence in sequences {
        seen.take(*sequence, &mut counts);
    }
    seen.end(last, &mut counts);
    counts
}

#[test]
fn a_mark_is_found_wherever_a_read_ends() {
    let text = format!(
        "id: 1.2\ndata: {{\"body\":\"{}\"}}\n\ndata: {{\"body\":\"{}\"}}\n\n@SE",
        mark(7).body(60),
        mark(8).body(LENGTH)
    );
    for at in 0..=text.len() {
        let found = in_two_reads(text.as_bytes(), at);
        assert_eq!(found, [Some(mark(7)), Some(mark(8))], "cut at {at}");
    }
}

#[test]
fn a_mark_is_found_when_every_byte_is_a_read_of_its_own() {
    let text = format!("@S@SEQ{}", mark(9).body(100));
    let (mut window, mut tail, mut found) = (Window::new(), Tail::EMPTY, Vec::new());
    for byte in text.bytes() {
        window.space()[0] = byte;
        window.scan(&mut tail, 0..1, |mark| found.push(mark));
    }
    assert_eq!(found, [Some(mark(9))]);
}

#[test]
fn a_part_of_a_read_is_not_mixed_with_what_stands_before_it() {
    let text = format!("{}HTTP/1.1 200 OK\r\n\r\n{}", mark(1).body(0), mark(2).body(0));
    let mut window = Window::new();
    window.space()[..text.len()].copy_from_slice(text.as_bytes());
    let mut found = Vec::new();
    window.scan(
        &mut Tail::EMPTY.clone(),
        text.len() - LENGTH..text.len(),
        |mark| {
            found.push(mark);
        },
    );
    assert_eq!(found, [Some(mark(2))]);
}

#[test]
fn what_cuts_a_mark_in_two_is_garbled() {
    let mut text = mark(1).body(80);
    text.insert_str(20, "\r\n1f\r\n");
    text.push_str(&mark(2).body(80));
    assert_eq!(in_two_reads(text.as_bytes(), 30), [None, Some(mark(2))]);
}

#[test]
fn rows_in_order_are_clean_wherever_a_connection_begins() {
    let counts = counts(&[5, 6, 7], 7);
    assert!(counts.is_clean());
    assert_eq!(counts.deliveries, 3);
}

#[test]
fn a_row_that_is_passed_by_and_one_that_never_comes_are_lost() {
    assert_eq!(counts(&[1, 2, 5], 7).lost, 4);
}

#[test]
fn a_row_that_comes_late_is_reordered_and_not_lost() {
    let counts = counts(&[1, 4, 3, 2, 5], 5);
    assert_eq!((counts.lost, counts.reordered, counts.repeated), (0, 2, 0));
}

#[test]
fn a_row_that_comes_twice_is_repeated() {
    let counts = counts(&[1, 2, 2, 4, 3, 3], 4);
    assert_eq!((counts.lost, counts.reordered, counts.repeated), (0, 1, 2));
}
