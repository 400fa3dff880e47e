//! What the writers of a followed table do: inserts in many forms.

use rand::Rng;
use rand::rngs::StdRng;

use crate::torture::ROOMS;
use crate::torture::writers::{Step, Transaction, pause};

/// This writer does nothing but slow inserts.
const DAWDLER: usize = 0;

/// A transaction, planned before it runs.
pub fn plan(writer: usize, rng: &mut StdRng) -> Transaction {
    let insert = |rng: &mut StdRng| Step::Statement(insert(writer, rng));
    if writer == DAWDLER || rng.random_bool(0.3) {
        return Transaction::single(insert(rng));
    }
    Transaction::of_several(rng, 3, insert)
}

/// One statement that inserts, in one of many forms. The body says which.
fn insert(writer: usize, rng: &mut StdRng) -> String {
    let (one, other) = (room(rng), room(rng));
    if writer == DAWDLER {
        return slow(writer, &one, rng.random_range(0.1..0.8));
    }
    match rng.random_range(0..200) {
        0..80 => format!("insert into messages (room_id, body) values ({one}, 'one by {writer}')"),
        80..120 => {
            let row = |_| format!("({}, 'several by {writer}')", room(rng));
            let rows: Vec<String> = (0..7).map(row).collect();
            format!("insert into messages (room_id, body) values {}", rows.join(", "))
        }
        120..140 => slow(writer, &one, pause(rng).as_secs_f64()),
        140..160 => {
            let (rows, seconds) = (rng.random_range(1..4), pause(rng).as_secs_f64());
            format!(
                "insert into messages (room_id, body) select {one}, slow('select by {writer}', {seconds}) from generate_series(1, {rows})"
            )
        }
        160..198 => {
            let rows = rng.random_range(1..20);
            format!(
                "insert into messages (room_id, body) select case n % 2 when 0 then {one} else {other} end, 'series by {writer}' from generate_series(1, {rows}) n"
            )
        }
        // Above the sequence an explicit id is as exact as a drawn one; who draws it later meets a conflict.
        _ => {
            let above = rng.random_range(20..300);
            format!(
                "insert into messages (id, room_id, body) select last_value + {above}, {one}, 'explicit by {writer}' from messages_id_seq"
            )
        }
    }
}

/// The id's default is evaluated before the later columns' values: so long before the row is there.
fn slow(writer: usize, room: &str, seconds: f64) -> String {
    format!("insert into messages (room_id, body) values ({room}, slow('slow by {writer}', {seconds}))")
}

/// A room as an SQL literal; now and then none.
fn room(rng: &mut StdRng) -> String {
    if rng.random_bool(0.02) {
        return "null".to_owned();
    }
    format!("'{}'", ROOMS[rng.random_range(0..ROOMS.len())])
}
