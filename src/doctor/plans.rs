//! Whether indexes lead to what the relay reads, by the plans that PostgreSQL really chooses.

use super::Finding;
use crate::pg::examine::{Ids, Plans, Scan, unquoted};
use crate::pg::source::Source;
use crate::room::RoomType;

/// Judges the plans of one source.
pub(super) fn judge(source: &Source, plans: &Plans, ids: &Ids) -> Vec<Finding> {
    let mut found = by_id(source, plans, ids);
    found.extend(by_room(source, plans, ids));
    if found.is_empty() {
        let what = "Indexes lead to its new rows and to those of a room";
        found.push(Finding::ok("plans", what));
    }
    found
}

/// How new rows are found, and the rows of a journal's entries.
fn by_id(source: &Source, plans: &Plans, ids: &Ids) -> Vec<Finding> {
    let mut found = Vec::new();
    let (followed, id) = match &source.journal {
        Some(journal) => (&journal.relation, "id"),
        None => (&source.relation, source.id_column.as_deref().unwrap_or_default()),
    };
    let key = source.journal.iter().flat_map(|journal| &journal.key);
    let key: Vec<&str> = key.map(|column| column.name.as_str()).collect();
    if let Some(scan) = plans.read.iter().find(|scan| !scan.is_led_by(&[&unquoted(id)])) {
        let what = format!("No index on {id} leads to new rows of {followed}: {}", how(scan));
        found.push(
            Finding::error("no_id_index", what)
                .why("Each read of the tail, up to 500 a second, goes through all of it.")
                .remedy(make(source, ids, followed, id)),
        );
    }
    // An index on room and key serves as well, where it compares both.
    let is_led = |scan: &Scan| {
        scan.is_led_by(&key)
            || scan.compares(&unquoted(&source.room_column)) && key.iter().any(|column| scan.compares(column))
    };
    if let Some(scan) = plans.rows.iter().find(|scan| !is_led(scan)) {
        let what = format!("No index leads from a journal's entry to its row: {}", how(scan));
        found.push(
            Finding::error("no_key_index", what)
                .why("Each change that is read goes through the whole table.")
                .remedy(make(source, ids, &source.relation, &plans.key.join(", "))),
        );
    }
    found
}

/// How the rows of a room are found.
fn by_room(source: &Source, plans: &Plans, ids: &Ids) -> Vec<Finding> {
    let mut found = Vec::new();
    let key = unquoted(source.id_column.as_deref().unwrap_or_default());
    let id = if source.journal.is_some() { "id" } else { &key };
    let replay = plans.replay.iter().find(|scan| !scan.is_led_by_room(id));
    let newest = plans.newest.iter().find(|scan| !scan.is_led_by_room(&key));
    if let (Some(scan), Some(journal)) = (replay, &source.journal) {
        found.push(
            no_room_index("rows", &journal.relation, scan)
                .why("Each replay, of everybody who reconnects, goes through the changes of all rooms.")
                .remedy(make(source, ids, &journal.relation, "room, id")),
        );
    }
    let of_table = match &source.journal {
        None => replay.map(|scan| (scan, "rows", "Each replay, of everybody who reconnects,")),
        Some(_) => newest.map(|scan| (scan, "newest rows", "Each `last=N` and `before=KEY`")),
    };
    let (Some((scan, rows, who)), Some(columns)) = (of_table, &plans.room_index) else {
        return found;
    };
    // An expression's index serves only with the collation that the statement compares with, which attach does not look at.
    if ids.has_room_index && source.room_type != RoomType::Rendered {
        let what = format!(
            "The index on ({columns}) of {} is not taken for a room's {rows}: {}",
            source.relation,
            how(scan)
        );
        found.push(
            Finding::note("other_room_index", what)
                .why(format!(
                    "Right for a small table. In a large one {who} reads and sorts all rows of the room. It goes by statistics."
                ))
                .remedy(format!("analyze {};", source.relation)),
        );
    } else {
        found.push(
            no_room_index(rows, &source.relation, scan)
                .why(format!("{who} goes through the rows of all rooms."))
                .remedy(make(source, ids, &source.relation, columns)),
        );
    }
    found
}

fn no_room_index(rows: &str, relation: &str, scan: &Scan) -> Finding {
    let what = format!("No index leads to a room's {rows} of {relation}: {}", how(scan));
    Finding::warning("no_room_index", what)
}

/// The statement that makes an index. A partitioned table takes none concurrently.
fn make(source: &Source, ids: &Ids, relation: &str, columns: &str) -> String {
    match ids.is_partitioned && relation == source.relation {
        true => format!("create index on {relation} ({columns});"),
        false => format!("create index concurrently on {relation} ({columns});"),
    }
}

/// How PostgreSQL goes there instead, in words.
fn how(scan: &Scan) -> String {
    match &scan.index {
        None => format!("PostgreSQL chooses {} of {}", scan.node, scan.relation),
        Some(index) => format!("PostgreSQL goes through index {index}"),
    }
}
