//! The sources as a relay finds them: every registered table, resolved against the catalog as it is now.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::room::RoomType;

/// `pg_attribute.atttypmod` of `varchar(n)` is n and the four bytes of a length header.
const VARCHAR_HEADER: i32 = 4;

/// One attached table, with its journal if it has one, as the tail, the replay and publish put it into their statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `[a-z0-9_-]{1,40}`.
    pub name: String,
    /// Schema-qualified and quoted: SQL text.
    pub relation: String,
    pub relation_oid: u32,
    /// Quoted: SQL text. Of a direct source what its rows are followed by; of one with a journal the key, where that is
    /// one column of an integer type and so gives the rows an order.
    pub id_column: Option<String>,
    /// Quoted: SQL text.
    pub room_column: String,
    /// SQL text over the room column, where the room is not simply its value.
    pub room_expression: Option<String>,
    pub room_type: RoomType,
    /// Which of `insert`, `update`, `delete` are events.
    pub changes: Vec<String>,
    /// What is followed in the table's place.
    pub journal: Option<Journal>,
    /// The columns that are sent, as they are named, not quoted; every column of the table unless attach limited them.
    pub columns: Vec<String>,
    /// The same, quoted, if attach limited them; `None`: every column, whatever is added later.
    pub payload_columns: Option<Vec<String>>,
    pub id_sequence_oid: u32,
    /// When a row was written, for the metrics; quoted: SQL text. Never with a journal, which notes it itself.
    pub time_column: Option<String>,
    /// The sequence that is the bell's flag.
    pub bell_oid: u32,
    /// The operator's switch: the flag stays 0.
    pub never_ring: bool,
    /// Which numbering of ids this is; a cursor of another epoch is a reset.
    pub epoch: i64,
    /// Every id up to here is closed in this epoch.
    pub start_id: i64,
    /// `pg_relation_filenode` of the id sequence in this epoch.
    pub sequence_filenode: u32,
    /// Another one means that other statements are needed: whoever reads with older ones throws the answer away.
    pub revision: i64,
    /// Grows with each attach; the lowest is the default source.
    pub ordinal: i64,
}

/// The journal of a source: a table of ours in which a trigger notes each change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Schema-qualified and quoted: SQL text.
    pub relation: String,
    pub relation_oid: u32,
    /// The columns that name a row.
    pub key: Vec<KeyColumn>,
    /// The room of a row of the table as its trigger notes it: SQL text over bare column names.
    pub room_text: String,
    /// How long entries are kept, in words: `7 days`, `100000 rows`.
    pub keep: String,
    /// Replicated changes are noted, too.
    pub always: bool,
    /// Written once for each statement instead of each row.
    pub per_statement: bool,
}

/// One column of a row's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Not quoted.
    pub name: String,
    /// Qualified and quoted: SQL text.
    pub sql_type: String,
    /// The operator that finds a value: SQL text.
    pub equals: String,
}

impl Source {
    /// The relation that is followed and whose writers count: the journal if there is one, else the table.
    pub fn followed_oid(&self) -> u32 {
        self.journal
            .as_ref()
            .map_or(self.relation_oid, |journal| journal.relation_oid)
    }

    /// Whether the newest rows are those with the highest keys, so that they can be read from the table although a
    /// journal is followed.
    pub fn lists_rows(&self) -> bool {
        self.journal.is_some() && self.id_column.is_some()
    }

    /// Whether the same statements serve both: all but the epoch and what goes with it, which a tail reads itself.
    pub fn has_same_shape(&self, other: &Self) -> bool {
        let Self {
            epoch,
            start_id,
            sequence_filenode,
            ordinal,
            ..
        } = other.clone();
        *other
            == Self {
                epoch,
                start_id,
                sequence_filenode,
                ordinal,
                ..self.clone()
            }
    }
}

/// A registered source, which may have lost its table since.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: String,
    pub ordinal: i64,
    pub source: Result<Source, Broken>,
}

/// Why a registered source can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", .remedy.iter().map(|remedy| format!(": {remedy}")).collect::<String>())]
pub struct Broken {
    /// In `snake_case`, stable.
    pub code: String,
    /// In words, beginning with "its", "role", "columns" or "row security".
    pub problem: String,
    /// Where one statement or step mends it.
    pub remedy: Option<String>,
}

/// What is wrong with a source that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In `snake_case`, stable.
    pub code: String,
    pub problem: String,
    pub remedy: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.problem, self.remedy)
    }
}

/// Every registered source, the first attached first, in one statement and so of one snapshot. Like all here it prepares
/// nothing: a pooler may run what follows on another connection.
pub async fn list(client: &Client) -> Result<Vec<Listed>, tokio_postgres::Error> {
    let rows = client
        .query_typed(include_str!("../../sql/list_sources.sql"), &[])
        .await?;
    rows.iter().map(listed).collect()
}

/// The schema check: what makes this source's rows missed, misjudged or late though it can be followed (partitions without
/// triggers, disabled triggers, a sequence that was altered), one line each; empty if all is well.
pub async fn check(client: &Client, source: &Source) -> Result<Vec<String>, tokio_postgres::Error> {
    let faults = faults(client, &source.name).await?;
    Ok(faults.iter().map(ToString::to_string).collect())
}

/// The same by its parts, of a source that need not be one that can be followed.
pub async fn faults(client: &Client, source: &str) -> Result<Vec<Fault>, tokio_postgres::Error> {
    let statement = include_str!("../../sql/check_source.sql");
    let rows = client.query_typed(statement, &[(&source, Type::TEXT)]).await?;
    let fault = |row: &Row| {
        Ok(Fault {
            code: row.try_get("code")?,
            problem: row.try_get("problem")?,
            remedy: row.try_get("remedy")?,
        })
    };
    rows.iter().map(fault).collect()
}

fn listed(row: &Row) -> Result<Listed, tokio_postgres::Error> {
    let source = match row.try_get::<_, Option<Vec<String>>>("broken")? {
        Some(reason) => Err(broken(reason)),
        None => resolved(row)?,
    };
    Ok(Listed {
        name: row.try_get("name")?,
        ordinal: row.try_get("ordinal")?,
        source,
    })
}

/// Code, problem and, where there is one, remedy.
fn broken(reason: Vec<String>) -> Broken {
    let mut parts = reason.into_iter();
    Broken {
        code: parts.next().unwrap_or_default(),
        problem: parts.next().unwrap_or_default(),
        remedy: parts.next(),
    }
}

/// The outer error is a row that is not as the statement promises.
fn resolved(row: &Row) -> Result<Result<Source, Broken>, tokio_postgres::Error> {
    let journal = journal(row)?;
    let room_expression: Option<String> = row.try_get("room_expression")?;
    let room_type = match room_type(row.try_get("room_type")?, row.try_get("room_typmod")?) {
        Some(room_type) if room_expression.is_none() && row.try_get("room_strict")? => room_type,
        // A journal notes the text of any value.
        _ if journal.is_some() => RoomType::Rendered,
        _ => {
            let reason = ["column_type", "its room column is of another type now"];
            return Ok(Err(broken(reason.map(str::to_owned).into())));
        }
    };
    Ok(Ok(Source {
        name: row.try_get("name")?,
        relation: row.try_get("relation")?,
        relation_oid: row.try_get("relation_oid")?,
        id_column: row.try_get("id_column")?,
        room_column: row.try_get("room_column")?,
        room_expression,
        room_type,
        changes: row.try_get("changes")?,
        journal,
        columns: row.try_get("columns")?,
        payload_columns: row.try_get("payload_columns")?,
        id_sequence_oid: row.try_get("id_sequence_oid")?,
        time_column: row.try_get("time_column")?,
        bell_oid: row.try_get("bell_oid")?,
        never_ring: row.try_get("never_ring")?,
        epoch: row.try_get("epoch")?,
        start_id: row.try_get("start_id")?,
        sequence_filenode: row.try_get("sequence_filenode")?,
        revision: row.try_get("revision")?,
        ordinal: row.try_get("ordinal")?,
    }))
}

fn journal(row: &Row) -> Result<Option<Journal>, tokio_postgres::Error> {
    let Some(relation_oid) = row.try_get("journal_oid")? else {
        return Ok(None);
    };
    let names: Vec<String> = row.try_get("key_columns")?;
    let types: Vec<String> = row.try_get("key_types")?;
    let equals: Vec<String> = row.try_get("key_equals")?;
    let key = names.into_iter().zip(types).zip(equals);
    Ok(Some(Journal {
        relation: row.try_get("journal")?,
        relation_oid,
        room_text: row.try_get("room_text")?,
        key: key
            .map(|((name, sql_type), equals)| KeyColumn {
                name,
                sql_type,
                equals,
            })
            .collect(),
        keep: row.try_get::<_, Option<String>>("keep")?.unwrap_or_default(),
        always: row.try_get("always")?,
        per_statement: row.try_get("per_statement")?,
    }))
}

/// The room type of a column by its `atttypid` and `atttypmod`; `None` for types that attach refuses.
fn room_type(oid: u32, typmod: i32) -> Option<RoomType> {
    Some(match Type::from_oid(oid)? {
        Type::TEXT => RoomType::Text,
        Type::VARCHAR => RoomType::Varchar(u32::try_from(typmod - VARCHAR_HEADER).ok()),
        Type::UUID => RoomType::Uuid,
        Type::INT2 => RoomType::SmallInt,
        Type::INT4 => RoomType::Int,
        Type::INT8 => RoomType::BigInt,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{RoomType, room_type};

    #[test]
    fn a_varchars_length_is_its_typmod_without_the_header() {
        assert_eq!(room_type(1043, 24), Some(RoomType::Varchar(Some(20))));
        assert_eq!(room_type(1043, -1), Some(RoomType::Varchar(None)));
    }

    #[test]
    fn types_that_attach_refuses_are_no_rooms() {
        for oid in [16, 18, 700, 1042, 1114, 3802, 0] {
            assert_eq!(room_type(oid, -1), None, "{oid}");
        }
    }
}
