//! What stands on the table that is written to.

use crate::server::Database;

/// A state of the table. The modes of one comparison take turns, run by run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: what the others are compared with.
    Plain,
    /// Attached, inserts read from the table itself.
    Direct,
    /// Attached with a journal of inserts, updates and deletions that a row trigger writes.
    Journal,
    /// The same, written by a trigger for each statement.
    PerStatement,
    /// A row-level trigger that sends the row by `pg_notify`, and one session that listens.
    RowNotify,
}

impl Mode {
    pub const ALL: [Self; 5] = [
        Self::Plain,
        Self::Direct,
        Self::Journal,
        Self::PerStatement,
        Self::RowNotify,
    ];
    pub const JOURNALS: [Self; 3] = [Self::Plain, Self::Journal, Self::PerStatement];

    /// As the tables of results have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "no trigger",
            Self::Direct => "direct",
            Self::Journal => "journal",
            Self::PerStatement => "journal, per statement",
            Self::RowNotify => "row-level pg_notify",
        }
    }

    /// Does a relay follow the table?
    pub fn is_followed(self) -> bool {
        matches!(self, Self::Direct | Self::Journal | Self::PerStatement)
    }

    /// Brings the table of this database into this state.
    pub async fn install(self, database: &Database) -> anyhow::Result<()> {
        let statement = match self {
            Self::Plain => return Ok(()),
            Self::Direct => include_str!("sql/attach_direct.sql"),
            Self::Journal => include_str!("sql/attach_journal.sql"),
            Self::PerStatement => include_str!("sql/attach_per_statement.sql"),
            Self::RowNotify => include_str!("sql/row_notify.sql"),
        };
        database.client.batch_execute(statement).await?;
        Ok(())
    }
}

/// The modes as round `round` takes them: each begins once, so that a machine that gets slower does not always hit the
/// same one.
pub fn in_turn(modes: &[Mode], round: u32) -> Vec<Mode> {
    let mut modes = modes.to_vec();
    let first = round as usize % modes.len();
    modes.rotate_left(first);
    modes
}
