//! The statements of one source, made once of the files in `sql/`: names of tables and columns, quoted by the server, are
//! put in. A journal is one more relation to follow: it goes through the same statements as a table.

use crate::room::RoomType;

use super::source::{Journal, Source};
use super::template::{body, fill_template};

/// The statements of one source.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// The tail's read.
    pub read: String,
    pub replay: Scoped,
    pub nth_newest: Scoped,
    /// The newest rows of a table whose journal is followed, where its key gives them an order.
    pub newest: Option<Scoped>,
    pub ceiling: String,
    /// Of a journal: deletes what stands above its sequence.
    pub forget_entries: Option<String>,
}

/// One statement over some rooms, and the same over all of them.
#[derive(Clone, Debug)]
pub(super) struct Scoped {
    pub rooms: String,
    pub all: String,
}

impl Scoped {
    fn new(make: impl Fn(&str) -> String) -> Self {
        Self {
            rooms: make(include_str!("../../sql/candidates_by_room.sql")),
            all: make(include_str!("../../sql/candidates_of_all.sql")),
        }
    }
}

/// Rows as statements look for them.
struct View<'a> {
    /// SQL text, as are those below: the relation, its id column and its room, whose type is `room_type`.
    relation: &'a str,
    id: &'a str,
    room: String,
    room_type: RoomType,
    /// A condition on the rows, or nothing.
    unless: String,
    op: &'a str,
    /// The row's key as JSON text.
    key: String,
    /// The row as JSON.
    payload: String,
    /// When a row was written, in microseconds since 1970.
    time: String,
}

/// Of rows that somebody missed, and of those without a time.
const NO_TIME: &str = "null::bigint";

/// In which order candidates are taken.
const UPWARDS: &str = "asc";
const DOWNWARDS: &str = "desc";

impl Statements {
    pub(super) fn new(source: &Source) -> Self {
        let followed = match &source.journal {
            None => View::of_table(source, source.id_column.as_deref().unwrap_or_default()),
            Some(journal) => View::of_journal(source, journal),
        };
        let read = followed.contents(
            include_str!("../../sql/candidates_by_id.sql"),
            UPWARDS,
            &wanted(&followed.payload),
            &followed.time,
        );
        let newest = source.journal.as_ref().zip(source.id_column.as_deref());
        Self {
            read: with_contents(include_str!("../../sql/read.sql"), &read),
            replay: Scoped::new(|candidates| {
                let contents = followed.contents(candidates, UPWARDS, &followed.payload, NO_TIME);
                with_contents(include_str!("../../sql/replay.sql"), &contents)
            }),
            nth_newest: Scoped::new(|candidates| followed.nth_newest(candidates)),
            newest: newest.map(|(journal, key)| {
                let table = View::of_unjournaled(source, journal, key);
                Scoped::new(|candidates| table.newest(candidates, journal))
            }),
            ceiling: followed.fill(include_str!("../../sql/ceiling.sql"), UPWARDS),
            forget_entries: source.journal.as_ref().map(|journal| {
                fill_template(include_str!("../../sql/forget_entries.sql"), |name| {
                    (name == "journal").then_some(&*journal.relation)
                })
            }),
        }
    }
}

impl<'a> View<'a> {
    /// The table itself, its rows followed by their ids.
    fn of_table(source: &'a Source, id: &'a str) -> Self {
        Self {
            relation: &source.relation,
            id,
            room: format!("rowcast_row.{}", source.room_column),
            room_type: source.room_type,
            unless: String::new(),
            op: "'i'",
            key: "null::text".to_owned(),
            payload: row_json(source, "picked.r"),
            time: source
                .time_column
                .as_deref()
                .map_or_else(|| NO_TIME.to_owned(), row_time),
        }
    }

    /// The entries of a journal, each with the row that it speaks of.
    fn of_journal(source: &'a Source, journal: &'a Journal) -> Self {
        let key_columns = journal.key.iter();
        let definition: Vec<String> = key_columns
            .clone()
            .map(|column| format!("{} {}", quoted(&column.name), column.sql_type))
            .collect();
        let equality: Vec<String> = key_columns
            .map(|column| {
                let name = quoted(&column.name);
                format!("rowcast_row.{name} {} rowcast_key.{name}", column.equals)
            })
            .collect();
        let (definition, equality) = (definition.join(", "), equality.join(" and "));
        let row_json = row_json(source, "chosen.r");
        let payload = fill_template(
            body(include_str!("../../sql/row_of_entry.sql")),
            |name| match name {
                "row_json" => Some(&row_json),
                "key_definition" => Some(&definition),
                "key_equality" => Some(&equality),
                "table" => Some(&source.relation),
                "table_room" => Some(&journal.room_text),
                _ => None,
            },
        );
        Self {
            relation: &journal.relation,
            id: "id",
            room: "rowcast_row.room".to_owned(),
            room_type: RoomType::Text,
            unless: String::new(),
            op: "(picked.r).op::text",
            key: "(picked.r).key::text".to_owned(),
            payload,
            time: row_time("at"),
        }
    }

    /// The table of a journal, its rows in the order of their key; those whose insertion was not seen are left out.
    fn of_unjournaled(source: &'a Source, journal: &Journal, key: &'a str) -> Self {
        let room = match source.room_type {
            RoomType::Rendered => rendered_room(journal),
            _ => format!("rowcast_row.{}", source.room_column),
        };
        let unless = fill_template(
            body(include_str!("../../sql/unless_unseen.sql")),
            |name| match name {
                "id" => Some(key),
                "room" => Some(&room),
                _ => None,
            },
        );
        Self {
            room,
            unless,
            key: format!(
                "pg_catalog.jsonb_build_object({}, picked.id)::text",
                literal(&unquoted(key))
            ),
            ..Self::of_table(source, key)
        }
    }

    /// The candidates with their contents: `payload` and `time` of each.
    fn contents(&self, candidates: &str, direction: &'static str, payload: &str, time: &str) -> String {
        let candidates = self.fill(candidates, direction);
        fill_template(body(include_str!("../../sql/contents.sql")), |name| match name {
            "candidates" => Some(&candidates),
            "payload" => Some(payload),
            "time" => Some(time),
            "direction" => Some(direction),
            "op" => Some(self.op),
            "key" => Some(&self.key),
            _ => None,
        })
    }

    fn nth_newest(&self, candidates: &str) -> String {
        let candidates = self.fill(candidates, DOWNWARDS);
        fill_template(include_str!("../../sql/nth_newest.sql"), |name| {
            (name == "candidates").then_some(&candidates)
        })
    }

    fn newest(&self, candidates: &str, journal: &Journal) -> String {
        let contents = self.contents(candidates, DOWNWARDS, &self.payload, NO_TIME);
        let key_name = literal(&unquoted(self.id));
        fill_template(include_str!("../../sql/newest.sql"), |name| match name {
            "contents" => Some(contents.as_str()),
            "journal" => Some(&journal.relation),
            "key_name" => Some(&key_name),
            _ => None,
        })
    }

    /// One pass over the template: a name put in may itself look like a place holder.
    fn fill(&self, template: &str, direction: &'static str) -> String {
        fill_template(body(template), |name| match name {
            "relation" => Some(self.relation),
            "id" => Some(self.id),
            "room" => Some(&self.room),
            "room_type" => Some(self.room_type.name()),
            "unless" => Some(&self.unless),
            "direction" => Some(direction),
            _ => None,
        })
    }
}

/// The payload, of candidates in the rooms that are wanted.
fn wanted(payload: &str) -> String {
    fill_template(body(include_str!("../../sql/wanted.sql")), |name| {
        (name == "payload").then_some(payload)
    })
}

/// When a candidate was written, by this column (SQL text).
fn row_time(column: &str) -> String {
    fill_template(body(include_str!("../../sql/row_time.sql")), |name| {
        (name == "column").then_some(column)
    })
}

fn with_contents(template: &str, contents: &str) -> String {
    fill_template(template, |name| (name == "contents").then_some(contents))
}

/// The room of a table's row where it is the text of some other value: an expression over bare column names.
fn rendered_room(journal: &Journal) -> String {
    format!("(({}) collate pg_catalog.\"C\")", journal.room_text)
}

/// The columns of the index on the table that a room's rows are found by, as the statements above compare them: SQL text.
/// `None` where the table is not asked for a room's rows.
pub(super) fn room_index(source: &Source) -> Option<String> {
    let id = source.id_column.as_deref()?;
    Some(match (&source.journal, source.room_type) {
        (Some(journal), RoomType::Rendered) => format!("{}, {id}", rendered_room(journal)),
        _ => format!("{}, {id}", source.room_column),
    })
}

/// The columns that are sent of `row`, as JSON.
fn row_json(source: &Source, row: &str) -> String {
    match &source.payload_columns {
        None => format!("pg_catalog.row_to_json({row})"),
        Some(columns) => {
            let list: Vec<String> = columns.iter().map(|column| format!("({row}).{column}")).collect();
            let list = list.join(", ");
            format!("(select pg_catalog.row_to_json(rowcast_sent) from (select {list}) rowcast_sent)")
        }
    }
}

/// A name as an SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of an SQL identifier, quoted or not.
pub(super) fn unquoted(identifier: &str) -> String {
    let inner = identifier
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| identifier.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// A text as an SQL literal, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::source::KeyColumn;

    fn source(journal: Option<Journal>, room_expression: Option<&str>) -> Source {
        Source {
            name: "messages".into(),
            relation: "public.\"odd {id}\"".into(),
            relation_oid: 1,
            id_column: Some("id".into()),
            room_column: "\"room {candidates}\"".into(),
            room_expression: room_expression.map(str::to_owned),
            room_type: room_expression.map_or(RoomType::Int, |_| RoomType::Rendered),
            changes: Vec::new(),
            journal,
            columns: Vec::new(),
            payload_columns: Some(vec!["\"{unless}\"".into()]),
            id_sequence_oid: 1,
            time_column: None,
            bell_oid: 1,
            never_ring: false,
            epoch: 1,
            start_id: 0,
            sequence_filenode: 1,
            revision: 0,
            ordinal: 1,
        }
    }

    fn journal() -> Journal {
        Journal {
            relation: "rowcast.journal_messages".into(),
            relation_oid: 2,
            key: vec![KeyColumn {
                name: "id".into(),
                sql_type: "pg_catalog.int8".into(),
                equals: "operator(pg_catalog.=)".into(),
            }],
            room_text: "(lower(room))::pg_catalog.text".into(),
            keep: "7 days".into(),
            always: false,
            per_statement: false,
        }
    }

    /// Every statement that is made, without the names with braces of the source itself.
    fn all(source: &Source) -> Vec<String> {
        let made = Statements::new(source);
        let scoped = [Some(made.replay), Some(made.nth_newest), made.newest];
        let scoped = scoped.into_iter().flatten().flat_map(|one| [one.rooms, one.all]);
        let all = scoped.chain([made.read, made.ceiling]).chain(made.forget_entries);
        all.map(|sql| {
            ["{id}\"", "{candidates}\"", "{unless}\""]
                .iter()
                .fold(sql, |sql, name| sql.replace(name, ""))
        })
        .collect()
    }

    #[test]
    fn no_place_holder_is_left_in_any_statement() {
        let direct = all(&source(None, None));
        let journaled = all(&source(Some(journal()), Some("lower(room)")));
        assert_eq!(
            (direct.len(), journaled.len()),
            (6, 9),
            "a direct source lists nothing"
        );
        for sql in direct.iter().chain(&journaled) {
            assert!(!sql.contains('{'), "{sql}");
        }
    }

    #[test]
    fn a_text_is_a_literal_and_a_name_an_identifier_whatever_stands_in_them() {
        assert_eq!(literal(r"it's \"), r"E'it''s \\'");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(
            (unquoted("\"a\"\"b\""), unquoted("ab")),
            ("a\"b".to_owned(), "ab".to_owned())
        );
    }
}
