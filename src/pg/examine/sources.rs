//! Facts about what is attached.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::pg::source::Source;
use crate::pg::statements::unquoted;
use crate::pg::template::fill_template;
use crate::pg::{PgError, Session};

/// A privilege that the role lacks on one object.
#[derive(Clone, Debug)]
pub struct Lacking {
    /// `None`: all sources need it.
    pub source: Option<String>,
    /// The object: SQL text.
    pub name: String,
    /// As in a grant: `select, update`.
    pub privileges: String,
    /// What it is needed for.
    pub purpose: String,
    /// The grant.
    pub remedy: String,
}

/// A trigger of a source that is not as it should be.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The table or partition: SQL text.
    pub member: String,
    pub is_partition: bool,
    pub name: String,
    /// `missing`, `wrong`, `surplus`, `disabled` or `stale`.
    pub state: String,
    /// In words; of one that is not there `enabled`, too.
    pub enabled: String,
    /// A statement.
    pub remedy: String,
}

/// How the ids of what is followed stand to their sequence.
#[derive(Clone, Debug)]
pub struct Ids {
    /// The highest id, 0 without rows.
    pub highest: i64,
    /// The sequence's last value, 0 before its first.
    pub drawn: i64,
    /// The highest drawn id that a relay has seen closed, in this epoch.
    pub seen: i64,
    /// The sequence was restarted since the epoch began.
    pub is_anew: bool,
    /// The highest that can be drawn.
    pub most: i64,
    /// SQL text.
    pub sequence: String,
    /// Whoever inserts may look at the flag.
    pub bell_is_public: bool,
    /// SQL text.
    pub bell: String,
    /// Attach would find the index on the table's room and id that it asks for, whatever PostgreSQL makes of it.
    pub has_room_index: bool,
    /// The table itself, not its journal: an index can't be made on it concurrently.
    pub is_partitioned: bool,
}

/// What attach would warn of.
#[derive(Clone, Debug)]
pub struct Remark {
    pub code: String,
    pub problem: String,
}

/// What this role lacks to follow what is attached, and to insert into it where clients may publish.
pub async fn lacking(session: &Session, publishes: bool) -> Result<Vec<Lacking>, PgError> {
    let statement = include_str!("../../../sql/doctor_privileges.sql");
    let rows = session.read(statement, &[(&publishes, Type::BOOL)]).await?;
    let lacking = |row: &Row| {
        Ok(Lacking {
            source: row.try_get("source")?,
            name: row.try_get("name")?,
            privileges: row.try_get("privileges")?,
            purpose: row.try_get("purpose")?,
            remedy: row.try_get("remedy")?,
        })
    };
    rows.iter().map(lacking).collect()
}

/// The triggers of a source that are not as they should be.
pub async fn triggers(session: &Session, source: &str) -> Result<Vec<Trigger>, PgError> {
    let statement = include_str!("../../../sql/doctor_triggers.sql");
    let rows = session.read(statement, &[(&source, Type::TEXT)]).await?;
    let trigger = |row: &Row| {
        Ok(Trigger {
            member: row.try_get("member")?,
            is_partition: row.try_get("is_partition")?,
            name: row.try_get("trigger_name")?,
            state: row.try_get("state")?,
            enabled: row.try_get("enabled")?,
            remedy: row.try_get("remedy")?,
        })
    };
    rows.iter().map(trigger).collect()
}

/// Reads the highest id, by its index. `None`: the source is no longer registered, or its sequence is gone.
pub async fn ids(session: &Session, source: &Source) -> Result<Option<Ids>, PgError> {
    let (relation, id) = match &source.journal {
        Some(journal) => (journal.relation.as_str(), "id"),
        None => (
            source.relation.as_str(),
            source.id_column.as_deref().unwrap_or_default(),
        ),
    };
    let statement = fill_template(include_str!("../../../sql/doctor_ids.sql"), |name| match name {
        "relation" => Some(relation),
        "id" => Some(id),
        _ => None,
    });
    let id = unquoted(id);
    let rows = session
        .read(&statement, &[(&source.name, Type::TEXT), (&id, Type::TEXT)])
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Ids {
        highest: row.try_get("highest")?,
        drawn: row.try_get("drawn")?,
        seen: row.try_get("seen")?,
        is_anew: row.try_get("is_anew")?,
        most: row.try_get("most")?,
        sequence: row.try_get("sequence")?,
        bell_is_public: row.try_get("bell_is_public")?,
        bell: row.try_get("bell")?,
        has_room_index: row.try_get("has_room_index")?,
        is_partitioned: row.try_get("is_partitioned")?,
    }))
}

/// What attach would warn of, but for indexes.
pub async fn remarks(session: &Session, source: &str) -> Result<Vec<Remark>, PgError> {
    let statement = include_str!("../../../sql/doctor_warnings.sql");
    let rows = session.read(statement, &[(&source, Type::TEXT)]).await?;
    let remark = |row: &Row| {
        Ok(Remark {
            code: row.try_get("code")?,
            problem: row.try_get("problem")?,
        })
    };
    rows.iter().map(remark).collect()
}
