//! `attach`, `detach`, `uninstall` and `migrate`.

use std::time::Duration;

use clap::Args;
use tokio_postgres::Client;

use super::usage;
use crate::config::{self, DatabaseArgs};
use crate::demo;
use crate::pg::attach::{self, AttachState, Attached, Attachment};
use crate::pg::{migrate, open_unpinned, script};

#[derive(Args, Clone, Debug)]
pub struct PatienceArgs {
    /// How long to go on trying while others use the table; each try waits a second at most
    #[arg(long, env = "ROWCAST_PATIENCE", value_name = "DURATION", default_value = "30s", value_parser = config::duration)]
    pub patience: Duration,

    /// Only print the SQL, for psql -1 -v ON_ERROR_STOP=1 -f FILE; needs no database and changes nothing
    #[arg(long)]
    pub print_sql: bool,
}

#[derive(Args, Clone, Debug)]
pub struct AttachArgs {
    /// The table, written as in SQL: public.messages, '"Odd"."My Table"'
    #[arg(value_name = "TABLE")]
    pub table: String,

    /// The column that names a row's room (text, varchar, uuid, smallint, int, bigint); with a journal of any type, or an
    /// expression over one column: 'lower(tenant)'
    #[arg(long, env = "ROWCAST_ROOM", value_name = "COLUMN")]
    pub room: String,

    /// The column that a sequence numbers (smallint, int, bigint); with a journal any unique one [default: the primary key]
    #[arg(long, env = "ROWCAST_ID", value_name = "COLUMN")]
    pub id: Option<String>,

    /// The columns to send, with commas between [default: all]
    #[arg(long, env = "ROWCAST_COLUMNS", value_name = "COLUMN,…", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,

    /// A timestamp column that says when a row was written: latency is measured from it [default: it is not measured; a
    /// journal notes the time itself]
    #[arg(long, env = "ROWCAST_TIME", value_name = "COLUMN")]
    pub time: Option<String>,

    /// The source's name, in URLs and in the database [default: the bare table name]
    #[arg(long, env = "ROWCAST_SOURCE", value_name = "NAME", value_parser = config::source_name)]
    pub source: Option<String>,

    /// Always poll, never NOTIFY, which PREPARE TRANSACTION forbids
    /// [default: true where max_prepared_transactions is above 0; unchanged if attached before]
    #[arg(long, env = "ROWCAST_NEVER_RING", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true)]
    pub never_ring: Option<bool>,

    #[command(flatten)]
    pub journal: JournalArgs,
    #[command(flatten)]
    pub patience: PatienceArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What is followed through a journal: a table of Rowcast's that a trigger writes, one entry for each change.
#[derive(Args, Clone, Debug)]
pub struct JournalArgs {
    /// The changes to follow: insert, update, delete, with commas between; any but insert alone makes a journal
    /// [default: insert]
    #[arg(long, env = "ROWCAST_CHANGES", value_name = "CHANGE,…", value_delimiter = ',',
          value_parser = ["insert", "update", "delete"], hide_possible_values = true)]
    pub changes: Option<Vec<String>>,

    /// Make a journal for inserts alone, too: any key will do, and ids may be drawn ahead
    #[arg(long, env = "ROWCAST_JOURNAL", value_parser = clap::builder::BoolishValueParser::new())]
    pub journal: bool,

    /// How much of the journal to keep: a time (12h, 7d, '90 days') or a number of entries ('100000 rows') [default: 7d]
    #[arg(long, env = "ROWCAST_KEEP", value_name = "TIME|'N rows'")]
    pub keep: Option<String>,

    /// Journal what logical replication applies, too
    #[arg(long, env = "ROWCAST_ALWAYS", value_parser = clap::builder::BoolishValueParser::new())]
    pub always: bool,

    /// Journal each statement at once, not row by row; not for partitioned tables
    #[arg(long, env = "ROWCAST_PER_STATEMENT", value_parser = clap::builder::BoolishValueParser::new())]
    pub per_statement: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DetachArgs {
    /// The source's name, as `rowcast sources` lists it
    #[arg(value_name = "NAME")]
    pub source: String,
    #[command(flatten)]
    pub patience: PatienceArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Args, Clone, Debug)]
pub struct UninstallArgs {
    #[command(flatten)]
    pub patience: PatienceArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Only print the SQL, for psql -1 -v ON_ERROR_STOP=1 -f FILE; needs no database and changes nothing
    #[arg(long)]
    pub print_sql: bool,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Attaches a table and says what was done, what will hurt and what to try next.
pub async fn attach(args: AttachArgs) -> anyhow::Result<()> {
    let attachment = Attachment {
        table: args.table,
        room: args.room,
        id: args.id,
        columns: args.columns,
        source: args.source,
        never_ring: args.never_ring,
        changes: args.journal.changes,
        journal: args.journal.journal.then_some(true),
        keep: args.journal.keep,
        always: args.journal.always.then_some(true),
        per_statement: args.journal.per_statement.then_some(true),
        time: args.time,
    };
    if args.patience.print_sql {
        print!("{}", script::attach(&attachment));
        return Ok(());
    }
    let client = migrated(&args.database, "attach").await?;
    let attached = attach::attach(&client, &attachment, args.patience.patience).await?;
    print!("{}", report(&attachment.table, &attached));
    Ok(())
}

/// Migrates the demo's database and attaches its table.
pub async fn attach_demo(url: &str) -> anyhow::Result<()> {
    let database = DatabaseArgs {
        database_url: Some(url.to_owned()),
    };
    let client = migrated(&database, "attach").await?;
    let attachment = Attachment {
        changes: Some(demo::CHANGES.map(str::to_owned).into()),
        ..Attachment::new(demo::TABLE, demo::ROOM_COLUMN)
    };
    attach::attach(&client, &attachment, Duration::ZERO).await?;
    Ok(())
}

/// Detaches a source.
pub async fn detach(args: DetachArgs) -> anyhow::Result<()> {
    if args.patience.print_sql {
        print!("{}", script::detach(&args.source));
        return Ok(());
    }
    let client = migrated(&args.database, "detach").await?;
    attach::detach(&client, &args.source, args.patience.patience).await?;
    println!("Detached source {}.", args.source);
    Ok(())
}

/// Removes everything of Rowcast from the database.
pub async fn uninstall(args: UninstallArgs) -> anyhow::Result<()> {
    if args.patience.print_sql {
        print!("{}", script::uninstall());
        return Ok(());
    }
    let url = args.database.url()?;
    let client = open_unpinned(url, "uninstall")
        .await
        .map_err(usage::unreachable)?;
    if !migrate::is_installed(&client).await? {
        println!("Nothing to remove: there is no schema rowcast.");
        return Ok(());
    }
    attach::uninstall(&client, args.patience.patience).await?;
    println!("Removed every trigger and schema rowcast.");
    Ok(())
}

/// Migrates the schema and says what was applied.
pub async fn migrate(args: MigrateArgs) -> anyhow::Result<()> {
    if args.print_sql {
        print!("{}", script::migrate());
        return Ok(());
    }
    let applied = migrate::migrate(args.database.url()?)
        .await
        .map_err(usage::database)?;
    if applied.is_empty() {
        println!("Schema rowcast is of this version already.");
    }
    for migration in applied {
        println!("Applied {migration}.");
    }
    Ok(())
}

/// A session on a database whose schema is of this program's version.
pub(super) async fn migrated(database: &DatabaseArgs, purpose: &str) -> anyhow::Result<Client> {
    let url = database.url()?;
    migrate::migrate(url).await.map_err(usage::database)?;
    open_unpinned(url, purpose).await.map_err(usage::unreachable)
}

fn report(table: &str, attached: &Attached) -> String {
    let source = &attached.source;
    let mut lines = vec![match attached.state {
        AttachState::Attached => format!("Attached {table} as source {source}:"),
        AttachState::Changed => format!("Changed source {source}:"),
        AttachState::Unchanged => {
            format!("Source {source} is attached like this already; nothing was changed.")
        }
    }];
    lines.extend(attached.changes.iter().map(|change| format!("  {change}")));
    lines.extend(
        attached
            .warnings
            .iter()
            .map(|warning| format!("Warning: {warning}")),
    );
    lines.push("Next:".to_owned());
    lines.push("  rowcast serve".to_owned());
    lines.push(format!(
        "  curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/v1/sources/{source}/rooms/ROOM/events\n"
    ));
    lines.join("\n")
}
