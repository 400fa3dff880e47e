//! Whether indexes lead to what the relay reads, by the plans that PostgreSQL really chooses.

use super::Finding;
use crate::pg::examine::{Plans, Scan};
use crate::pg::source::Source;

/// Judges the plans of one source.
pub(super) fn judge(source: &Source, plans: &Plans, is_partitioned: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let followed = source
        .journal
        .as_ref()
        .map_or(&source.relation, |journal| &journal.relation);
    let id = match &source.journal {
        Some(_) => "id",
        None => source.id_column.as_deref().unwrap_or("id"),
    };
    let make = |relation: &str, columns: &str| match is_partitioned && relation == source.relation {
        true => format!(
            "create index on {relation} ({columns});    -- not concurrently: the table is partitioned"
        ),
        false => format!("create index concurrently on {relation} ({columns});"),
    };
    if let Some(scan) = plans.read.iter().find(|scan| !scan.is_led()) {
        found.push(
            Finding::error(
                "no_id_index",
                format!("No index on {id} leads to new rows of {followed}: {}", how(scan)),
            )
            .why("Each read of the tail, up to 500 a second, goes through all of it.")
            .remedy(make(followed, id)),
        );
    }
    if let Some(scan) = plans.rows.iter().find(|scan| !scan.is_led()) {
        found.push(
            Finding::error(
                "no_key_index",
                format!("No index leads from a journal's entry to its row: {}", how(scan)),
            )
            .why("Each change that is read goes through the whole table.")
            .remedy(make(&source.relation, &plans.key_index)),
        );
    }
    if let Some(scan) = plans.replay.iter().find(|scan| !scan.is_led_by_room()) {
        let columns = match (&source.journal, &plans.room_index) {
            (None, Some(columns)) => columns.clone(),
            _ => "room, id".to_owned(),
        };
        found.push(
            Finding::warning(
                "no_room_index",
                format!("No index leads to a room's rows of {followed}: {}", how(scan)),
            )
            .why("Each replay, of everybody who reconnects, goes through the rows of all rooms.")
            .remedy(make(followed, &columns)),
        );
    }
    let newest = plans.newest.iter().find(|scan| !scan.is_led_by_room());
    if let (Some(scan), Some(columns)) = (newest, &plans.room_index) {
        found.push(
            Finding::warning(
                "no_room_index",
                format!(
                    "No index leads to a room's newest rows of {}: {}",
                    source.relation,
                    how(scan)
                ),
            )
            .why("Each `last=N` and `before=KEY` goes through the rows of all rooms.")
            .remedy(make(&source.relation, columns)),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(
            "plans",
            "Indexes lead to its new rows and to those of a room",
        ));
    }
    found
}

/// How PostgreSQL goes there instead, in words.
fn how(scan: &Scan) -> String {
    let relation = &scan.relation;
    match (&scan.index, scan.is_led()) {
        (None, _) => format!("PostgreSQL chooses {} of {relation}", scan.node),
        (Some(index), true) => {
            format!("PostgreSQL finds all rows of the room by index {index} and sorts them")
        }
        (Some(index), false) => format!("PostgreSQL walks through all of index {index}"),
    }
}
