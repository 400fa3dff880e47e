//! Brings schema `rowcast` to the version of this program.
//!
//! refinery applies the files of `migrations/` and keeps its history in `rowcast.migrations`. It takes no lock, so several
//! relays that start at once would fail; and the schema must stand before the history can. Both happen under one advisory
//! lock, held by a transaction of a session of its own: a session's lock would be lost or left behind in a pooler.

use tokio_postgres::Client;

use super::server;
use super::{PgError, in_words, open_unpinned};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// refinery's history table.
const HISTORY: &str = "rowcast.migrations";

const SCHEMA_STATE: &str = include_str!("../../sql/schema_state.sql");
/// One migration at a time: waits for the advisory lock, which the surrounding transaction then holds.
pub(super) const LOCK: &str = include_str!("../../sql/migration_lock.sql");
/// Makes the schema if it is missing.
pub(super) const CREATE_SCHEMA: &str = include_str!("../../sql/create_schema.sql");

/// Why the schema is not as this program needs it.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Connect(#[from] PgError),
    #[error("{0}")]
    Unsupported(String),
    /// The role may neither make the schema nor change it.
    #[error(
        "schema rowcast {state} and role {role} may not change it: run `rowcast migrate` once as role {owner} \
         (or pipe `rowcast migrate --print-sql` into its psql)"
    )]
    NotAllowed {
        state: &'static str,
        role: String,
        owner: String,
    },
    /// Another role's schema, whose history this role can't read.
    #[error(
        "role {role} may not read schema rowcast. As role {owner}: grant usage on schema rowcast to {role}; \
         grant select, insert, update, delete on all tables in schema rowcast to {role}; \
         grant select, update on all sequences in schema rowcast to {role}"
    )]
    NotReadable { role: String, owner: String },
    #[error(
        "schema rowcast is of a newer Rowcast (version {found}, this one knows {known}): use that one's program"
    )]
    Newer { found: i32, known: i32 },
    #[error("a migration failed: {}", one_line(.0))]
    Refinery(#[from] refinery::Error),
    #[error("{}", in_words(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

/// One migration: its version, name, text and refinery's checksum.
pub struct Step {
    pub version: i32,
    pub name: String,
    pub sql: String,
    pub checksum: u64,
}

/// Every migration of this program, in order.
pub fn steps() -> Vec<Step> {
    let runner = embedded::migrations::runner();
    let mut steps: Vec<Step> = runner
        .get_migrations()
        .iter()
        .map(|migration| Step {
            version: migration.version(),
            name: migration.name().to_owned(),
            sql: migration.sql().unwrap_or_default().to_owned(),
            checksum: migration.checksum(),
        })
        .collect();
    steps.sort_by_key(|step| step.version);
    steps
}

/// Migrates; returns the names of what was applied, none if all was there. Takes no lock when nothing is to be done, and
/// under a role that may not migrate it is an error only if something is.
pub async fn migrate(url: &str) -> Result<Vec<String>, MigrateError> {
    let mut client = open_unpinned(url, "migrate").await?;
    if let Some(reason) = server::unsupported_by(&client).await? {
        return Err(MigrateError::Unsupported(reason));
    }
    if is_current(&client).await? {
        return Ok(Vec::new());
    }
    let lock = open_unpinned(url, "migrate lock").await?;
    lock.batch_execute("begin").await?;
    lock.batch_execute(LOCK).await?;
    client.batch_execute(CREATE_SCHEMA).await?;
    let report = embedded::migrations::runner()
        .set_migration_table_name(HISTORY)
        .run_async(&mut client)
        .await?;
    lock.batch_execute("commit").await?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect())
}

/// Is there anything of Rowcast in the database?
pub async fn is_installed(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_typed_one(SCHEMA_STATE, &[]).await?;
    row.try_get("history_exists")
}

/// Does the schema stand at this program's version? An error if it doesn't and this role can't change that.
pub async fn is_current(client: &Client) -> Result<bool, MigrateError> {
    let known = steps().last().map_or(0, |step| step.version);
    let row = client.query_typed_one(SCHEMA_STATE, &[]).await?;
    let (role, owner) = (row.get("role"), row.get("owner"));
    let may_migrate: bool = row.get("may_migrate");
    let mut found = 0;
    if row.get("history_exists") {
        if !row.get::<_, bool>("history_readable") {
            return Err(MigrateError::NotReadable { role, owner });
        }
        let versions = client
            .query_typed(include_str!("../../sql/schema_versions.sql"), &[])
            .await?;
        found = versions.last().map_or(0, |version| version.get(0));
    }
    match found {
        _ if found > known => Err(MigrateError::Newer { found, known }),
        _ if found == known => Ok(true),
        _ if may_migrate => Ok(false),
        _ => {
            let state = if found == 0 {
                "is missing"
            } else {
                "is of an older Rowcast"
            };
            Err(MigrateError::NotAllowed { state, role, owner })
        }
    }
}

/// refinery wraps the server's error; a person wants to read the server's words.
fn one_line(error: &refinery::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(postgres) = inner.downcast_ref::<tokio_postgres::Error>() {
            return format!("{words}: {}", in_words(postgres));
        }
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
