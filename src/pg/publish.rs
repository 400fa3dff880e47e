//! Publishing: one row of an attached table, given as JSON, inserted through a session as the host's own code has it.
//!
//! The keys of the object are columns, the room is the one that was asked for. What the database says about a row
//! that it refuses goes to the log: its words hold other rows' values, and names that are nobody's business.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::source::{Journal, Source};
use super::statements::{literal, quoted, unquoted};
use super::template::fill_template;
use super::{Database, PgError};
use crate::room::Room;

/// Inserts the row; the placeholders are filled by [`statement`].
const PUBLISH: &str = include_str!("../../sql/publish.sql");

/// Finds the journal's entry of an inserted row.
const PUBLISHED: &str = include_str!("../../sql/published.sql");

/// How long an insert may take: it can wait for a lock of the host's own. Beyond it nobody knows whether it happened.
const INSERT_WITHIN: Duration = Duration::from_secs(30);

/// A row to insert: column names (unquoted) and their values as the client wrote them, so that a number keeps all of
/// its digits.
pub type NewRow = BTreeMap<String, Box<RawValue>>;

/// A row that was inserted.
#[derive(Debug)]
pub struct Published {
    /// The id of its event: the id column's value, or the number of the journal's entry. `None` where that could not be told
    /// (inserts are no events of this source, or the row went into no room).
    pub id: Option<i64>,
    /// Of a source with a journal: the row's key, a JSON object.
    pub key: Option<Box<RawValue>>,
}

/// Why a row was not inserted. None of the texts is for clients.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The row names the room column with another value than the room that was asked for.
    #[error("the row names another room")]
    WrongRoom,
    /// The room is computed from a column, so that no value of it can be chosen for a room.
    #[error("the room is an expression: rows can't be published into it")]
    ComputedRoom,
    /// The table lacks a column that the row names.
    #[error("the row names a column that the table lacks")]
    UnknownColumn(#[source] PgError),
    /// The row names a column that no table can have.
    #[error("the row names a column that no table can have")]
    ImpossibleColumn,
    /// A value has the wrong type, a constraint is violated, or a trigger of the host refused the row.
    #[error("the database refused the row")]
    Rejected(#[source] PgError),
    /// A unique constraint has such a row already.
    #[error("such a row exists already")]
    Duplicate(#[source] PgError),
    /// The relay's role may not insert this row: a privilege or a policy.
    #[error("the relay's role may not insert this row")]
    Forbidden(#[source] PgError),
    /// The database is away, overloaded or read-only; the row may have been inserted when a connection broke.
    #[error("the database can't take a row now")]
    Unavailable(#[source] PgError),
    /// A trigger of the host swallowed the row, or a rule did something else instead.
    #[error("the table took no row")]
    NotInserted,
    /// Anything else.
    #[error("publishing failed")]
    Failed(#[source] PgError),
}

impl From<PgError> for PublishError {
    fn from(error: PgError) -> Self {
        match error.sqlstate().cloned() {
            Some(state) if !error.is_connection_lost() => Self::by_state(&state, error),
            _ => Self::Unavailable(error),
        }
    }
}

impl PublishError {
    /// Sorts a server's error by its SQLSTATE (PostgreSQL manual, appendix A).
    fn by_state(state: &SqlState, error: PgError) -> Self {
        match *state {
            SqlState::UNIQUE_VIOLATION => return Self::Duplicate(error),
            SqlState::UNDEFINED_COLUMN => return Self::UnknownColumn(error),
            SqlState::INSUFFICIENT_PRIVILEGE => return Self::Forbidden(error),
            SqlState::DATATYPE_MISMATCH | SqlState::GENERATED_ALWAYS => return Self::Rejected(error),
            SqlState::READ_ONLY_SQL_TRANSACTION => return Self::Unavailable(error),
            _ => {}
        }
        match &state.code()[..2] {
            // Data, integrity constraint, a view's check option, a program limit (nesting), `raise exception`.
            "22" | "23" | "44" | "54" | "P0" => Self::Rejected(error),
            // Connection, serialisation and deadlock, resources, a lock or statement timeout, shutdown, disk.
            "08" | "40" | "53" | "55" | "57" | "58" => Self::Unavailable(error),
            _ => Self::Failed(error),
        }
    }
}

/// Inserts `row` into the source's table, in `room`.
///
/// # Errors
/// [`PublishError`]; nothing was inserted, except perhaps where it is [`PublishError::Unavailable`].
pub async fn publish(
    database: &Database,
    source: &Source,
    room: &Room,
    row: &NewRow,
) -> Result<Published, PublishError> {
    if source.room_expression.is_some() {
        return Err(PublishError::ComputedRoom);
    }
    let row = in_room(source, room, row)?;
    if !row.keys().all(|name| is_column_name(name)) {
        return Err(PublishError::ImpossibleColumn);
    }
    let statement = statement(source, row.keys().map(String::as_str));
    let json = serde_json::to_string(&row).expect("texts and valid JSON");
    let insert = tokio::time::timeout(INSERT_WITHIN, insert(database, source, &statement, &json));
    insert.await.map_err(|_| PgError::TimedOut {
        waited: INSERT_WITHIN,
    })?
}

async fn insert(
    database: &Database,
    source: &Source,
    statement: &str,
    json: &str,
) -> Result<Published, PublishError> {
    let session = database.host_session().await?;
    let rows = session
        .query_typed(statement, &[(&json, Type::TEXT)])
        .await
        .map_err(PgError::from)?;
    // A trigger of the host returned null, or a rule did something else instead.
    let row = rows.first().ok_or(PublishError::NotInserted)?;
    let id = row.try_get("id").map_err(PgError::from)?;
    let key: Option<String> = row.try_get("key").map_err(PgError::from)?;
    let (Some(journal), Some(key)) = (&source.journal, key) else {
        return Ok(Published { id, key: None });
    };
    let statement = fill_template(PUBLISHED, |name| {
        (name == "journal").then_some(&*journal.relation)
    });
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&key, Type::TEXT), (&source.id_sequence_oid, Type::OID)];
    // The row stands. Where inserts are not noted, or a pooler is in between, nothing was drawn in this session.
    let id = match session.query_typed(&statement, &params).await {
        Ok(rows) => rows.first().and_then(|row| row.try_get("id").ok().flatten()),
        Err(error) => {
            tracing::debug!(%error, "the entry of a published row was not found");
            None
        }
    };
    let key = RawValue::from_string(key).ok();
    Ok(Published { id, key })
}

/// The row with its room column set to `room`'s canonical text, which every room type takes as its input.
fn in_room(source: &Source, room: &Room, row: &NewRow) -> Result<NewRow, PublishError> {
    let column = unquoted(&source.room_column);
    if let Some(value) = row.get(&column) {
        let text: String = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
        if value.get() == "null" || source.room_type.parse(&text).as_ref() != Ok(room) {
            return Err(PublishError::WrongRoom);
        }
    }
    let mut row = row.clone();
    let value = serde_json::value::to_raw_value(room.as_str()).expect("a text is valid JSON");
    row.insert(column, value);
    Ok(row)
}

/// The insert for these columns.
fn statement<'a>(source: &Source, columns: impl Iterator<Item = &'a str>) -> String {
    let columns = columns.map(quoted).collect::<Vec<_>>().join(", ");
    let (id, key) = match &source.journal {
        None => (
            format!("{}::bigint", source.id_column.as_deref().unwrap_or("null")),
            "null::text".to_owned(),
        ),
        Some(journal) => ("null::bigint".to_owned(), key_object(journal)),
    };
    fill_template(PUBLISH, |name| match name {
        "relation" => Some(source.relation.as_str()),
        "columns" => Some(&columns),
        "id" => Some(&id),
        "key" => Some(&key),
        _ => None,
    })
}

/// A row's key as the journal's trigger notes it.
fn key_object(journal: &Journal) -> String {
    let members: Vec<String> = journal
        .key
        .iter()
        .map(|column| format!("{}, {}", literal(&column.name), quoted(&column.name)))
        .collect();
    format!("pg_catalog.jsonb_build_object({})::text", members.join(", "))
}

/// Whether a table can have such a column. A name that is too long would be cut, and then mean another column
/// (PostgreSQL manual, 4.1.1: NAMEDATALEN is 64).
fn is_column_name(name: &str) -> bool {
    (1..64).contains(&name.len()) && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::RoomType;

    fn source() -> Source {
        Source {
            name: "messages".into(),
            relation: "public.\"{id}\"".into(),
            relation_oid: 1,
            id_column: Some("\"id\"".into()),
            room_column: "\"Room \"\"1\"\"\"".into(),
            room_expression: None,
            room_type: RoomType::Int,
            changes: vec!["insert".into()],
            journal: None,
            columns: Vec::new(),
            payload_columns: None,
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

    fn row(json: &str) -> NewRow {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn identifiers_are_quoted_and_filled_once() {
        let text = statement(&source(), ["bo\"dy", "{relation}"].into_iter());
        assert!(
            text.contains("insert into public.\"{id}\" (\"bo\"\"dy\", \"{relation}\")"),
            "{text}"
        );
        assert!(text.contains("returning \"id\"::bigint"), "{text}");
    }

    #[test]
    fn a_name_that_no_column_can_have_reaches_no_statement() {
        assert!(is_column_name("a") && is_column_name(&"x".repeat(63)) && is_column_name("a b\"c"));
        assert!(!is_column_name("") && !is_column_name(&"x".repeat(64)) && !is_column_name("a\0"));
    }

    #[test]
    fn the_room_is_set_and_numbers_keep_their_digits() {
        let filled = in_room(
            &source(),
            &Room::canonical("42"),
            &row(r#"{"n": 12345678901234567890.123456789}"#),
        );
        let json = serde_json::to_string(&filled.unwrap()).unwrap();
        assert_eq!(json, r#"{"Room \"1\"":"42","n":12345678901234567890.123456789}"#);
    }

    #[test]
    fn a_body_that_names_the_room_must_agree() {
        let room = Room::canonical("42");
        for same in ["42", "\"42\"", "\"042\""] {
            let row = row(&format!(r#"{{"Room \"1\"": {same}}}"#));
            assert!(in_room(&source(), &room, &row).is_ok(), "{same}");
        }
        for other in ["43", "\"x\"", "null", "[42]", "true"] {
            let row = row(&format!(r#"{{"Room \"1\"": {other}}}"#));
            assert!(
                matches!(in_room(&source(), &room, &row), Err(PublishError::WrongRoom)),
                "{other}"
            );
        }
    }
}
