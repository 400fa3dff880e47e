//! The plans that PostgreSQL chooses for the statements of a source: the very statements, under the very settings.

use serde_json::{Map, Value};
use tokio_postgres::types::{ToSql, Type};

use crate::pg::source::Source;
use crate::pg::statements::{Statements, quoted, room_index};
use crate::pg::template::fill_template;
use crate::pg::{PgError, Session};
use crate::room::RoomType;

const EXPLAIN: &str = include_str!("../../../sql/doctor_explain.sql");

/// The name that the statements give what they look for; PostgreSQL numbers it for partitions.
const ALIAS: &str = "rowcast_row";

/// Where journals stand, and no attached table.
const OWN_SCHEMA: &str = "rowcast";

/// How the relations of a source are read.
#[derive(Clone, Debug)]
pub struct Plans {
    /// By the tail: what is followed, by ranges of ids.
    pub read: Vec<Scan>,
    /// For a journal's entries: the table, by the rows' keys. Empty without a journal.
    pub rows: Vec<Scan>,
    /// For a replay: what is followed, by a room and ranges of ids.
    pub replay: Vec<Scan>,
    /// For the newest rows of a journal's table: by a room and ranges of keys. Empty where there is no such statement.
    pub newest: Vec<Scan>,
    /// The columns of an index on the table that `newest` can use, or without a journal `replay`: SQL text.
    pub room_index: Option<String>,
    /// The columns of a journal's key, each as SQL quotes it. Empty without a journal.
    pub key: Vec<String>,
}

/// How one table, journal or partition is scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    schema: String,
    /// Without its schema, not quoted.
    pub relation: String,
    /// As EXPLAIN has it: `Seq Scan`, `Index Scan`.
    pub node: String,
    /// `None`: the table itself is scanned.
    pub index: Option<String>,
    /// What the index itself answers; without it all of the index is walked.
    condition: Option<String>,
    /// What the index begins with: a column's name, or an expression. Without it in the condition all of the index is walked, too.
    first: String,
}

impl Scan {
    /// Whether an index leads to the rows that have some values in these columns (names, not quoted).
    pub fn is_led_by(&self, columns: &[&str]) -> bool {
        self.condition.is_some() && columns.contains(&self.first.as_str())
    }

    /// Whether an index leads to a room's rows from one id to another: it compares the pair of both, and does not begin with the
    /// id (its name, not quoted), in which case PostgreSQL compares the pair with all of it.
    pub fn is_led_by_room(&self, id: &str) -> bool {
        let compares_pairs = |condition: &String| condition.contains("ROW(");
        self.first != id && self.condition.as_ref().is_some_and(compares_pairs)
    }

    /// Whether the index itself compares a column (its name, not quoted).
    pub fn compares(&self, column: &str) -> bool {
        let condition = self.condition.as_deref().unwrap_or_default();
        let is_name = |letter: char| letter.is_alphanumeric() || "_$".contains(letter);
        let bare = format!(".{column}");
        let is_there = condition
            .match_indices(&bare)
            .any(|(at, _)| !condition[at + bare.len()..].starts_with(is_name));
        is_there || condition.contains(&format!(".{}", quoted(column)))
    }

    fn is_of_journal(&self) -> bool {
        self.schema == OWN_SCHEMA
    }
}

/// Has PostgreSQL plan the statements of `source`.
///
/// # Errors
///
/// As [`Session::read`]: also where the role may not read what they read, or the table stays locked.
pub async fn plans(session: &Session, source: &Source) -> Result<Plans, PgError> {
    let statements = Statements::new(source);
    // Any value of the type will do.
    let rooms = vec![match source.room_type {
        RoomType::Uuid => "00000000-0000-0000-0000-000000000000",
        _ => "0",
    }];
    let (lows, highs) = (vec![1_i64], vec![i64::MAX]);
    let (rows, bytes) = (1_000_i64, 1_i64 << 20);
    let common: [(&(dyn ToSql + Sync), Type); 6] = [
        (&source.name, Type::TEXT),
        (&lows, Type::INT8_ARRAY),
        (&highs, Type::INT8_ARRAY),
        (&rows, Type::INT8),
        (&bytes, Type::INT8),
        (&bytes, Type::INT8),
    ];
    let of_all: (&(dyn ToSql + Sync), Type) = (&None::<Vec<&[u8]>>, Type::BYTEA_ARRAY);
    let of_rooms: (&(dyn ToSql + Sync), Type) = (&rooms, Type::TEXT_ARRAY);
    let read = [&common[..], &[of_all]].concat();
    let replay = [&common[..], &[of_rooms]].concat();
    let newest = [&replay[..], &common[1..3]].concat();
    let read = explain(session, &statements.read, &read).await?;
    let replay = explain(session, &statements.replay.rooms, &replay).await?;
    let newest = match &statements.newest {
        Some(statement) => explain(session, &statement.rooms, &newest).await?,
        None => Vec::new(),
    };
    let is_followed = |scan: &Scan| source.journal.is_none() || scan.is_of_journal();
    let (read, rows) = read.into_iter().partition(is_followed);
    let key = source.journal.iter().flat_map(|journal| &journal.key);
    let key = key.map(|column| quoted(&column.name)).collect();
    Ok(Plans {
        read,
        rows,
        replay: replay.into_iter().filter(is_followed).collect(),
        newest,
        room_index: room_index(source),
        key,
    })
}

/// The scans of a statement's plan that look for rows or entries.
async fn explain(
    session: &Session,
    statement: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Scan>, PgError> {
    let explain = fill_template(EXPLAIN, |name| (name == "statement").then_some(statement));
    let rows = session.read(&explain, params).await?;
    let plan: Value = rows.first().ok_or(PgError::NoAnswer)?.try_get(0)?;
    let mut scans = Vec::new();
    collect(&plan, &mut scans);
    begin_with(session, &mut scans).await?;
    Ok(scans)
}

/// Notes what the indexes of the scans begin with.
async fn begin_with(session: &Session, scans: &mut [Scan]) -> Result<(), PgError> {
    let of_indexes = scans
        .iter()
        .filter_map(|scan| Some((&*scan.schema, scan.index.as_deref()?)));
    let (schemas, names): (Vec<&str>, Vec<&str>) = of_indexes.unzip();
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let rows = session
        .read(include_str!("../../../sql/doctor_index.sql"), &params)
        .await?;
    for row in rows {
        let (name, first): (String, String) = (row.try_get("name")?, row.try_get("first")?);
        for scan in scans.iter_mut().filter(|scan| scan.index.as_ref() == Some(&name)) {
            scan.first.clone_from(&first);
        }
    }
    Ok(())
}

/// Looks at a plan and all that is in it.
fn collect(plan: &Value, scans: &mut Vec<Scan>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, scans)),
        Value::Object(node) => {
            scans.extend(scan(node));
            node.values().for_each(|part| collect(part, scans));
        }
        _ => {}
    }
}

fn scan(node: &Map<String, Value>) -> Option<Scan> {
    let text = |name: &str| node.get(name)?.as_str().map(str::to_owned);
    text("Alias")?.starts_with(ALIAS).then_some(())?;
    Some(Scan {
        schema: text("Schema").unwrap_or_default(),
        relation: text("Relation Name")?,
        node: text("Node Type").unwrap_or_default(),
        index: text("Index Name"),
        condition: text("Index Cond"),
        first: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_scans_of_rows_are_found_at_any_depth_and_no_others() {
        let row = |more: Value| {
            let mut node = json!({"Node Type": "Index Scan", "Schema": "public", "Relation Name": "m", "Alias": "rowcast_row_1"});
            let Value::Object(more) = more else { unreachable!() };
            node.as_object_mut().unwrap().extend(more);
            node
        };
        let led = row(json!({"Index Name": "i", "Index Cond": "((id >= open.low) AND (id <= open.high))"}));
        let paired = row(json!({"Index Cond": "(ROW(room, id) >= ROW(wanted.room, open.low))"}));
        let header = json!({"Node Type": "Seq Scan", "Relation Name": "sources", "Alias": "s"});
        let plan = json!([{"Plan": {"Node Type": "Append", "Plans": [header, {"Plans": [row(json!({})), led]}, paired]}}]);
        let mut scans = Vec::new();
        collect(&plan, &mut scans);
        for (scan, first) in scans.iter_mut().zip(["", "id", "room"]) {
            first.clone_into(&mut scan.first);
        }
        let how: Vec<_> = scans
            .iter()
            .map(|scan| (scan.is_led_by(&["id"]), scan.is_led_by_room("id")))
            .collect();
        assert_eq!(how, [(false, false), (true, false), (false, true)]);
        scans[2].first = "id".to_owned();
        assert!(
            !scans[2].is_led_by_room("id"),
            "all of an index on (id, room) is walked"
        );
        let both = "((rowcast_row.room_no = (picked.r).place) AND (rowcast_row.id = rowcast_key.id))";
        scans[0].condition = Some(both.to_owned());
        let compared = ["id", "room_no", "room"].map(|column| scans[0].compares(column));
        assert_eq!(
            compared,
            [true, true, false],
            "a name is not the beginning of another"
        );
    }
}
