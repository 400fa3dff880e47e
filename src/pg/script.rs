//! `--print-sql`: what a command would do, as a script for psql that an administrator can read and run.
//!
//! Plain SQL, for `psql -1 -v ON_ERROR_STOP=1 -f` and for any tool that runs one transaction. It brings the migrations that
//! are missing, with refinery's history rows, so that a relay finds a schema of its version.

use std::fmt::Write as _;

use super::attach::{Attachment, UNINSTALL};
use super::migrate::{CREATE_SCHEMA, LOCK, Step, steps};

const HEADER: &str = "-- Written by rowcast --print-sql; nothing was changed yet. Run it in one transaction:\n\
    --   psql -1 -v ON_ERROR_STOP=1 -f FILE \"$DATABASE_URL\"\n";

/// The schema alone.
pub fn migrate() -> String {
    let mut script = format!(
        "{HEADER}\n{}{}{}",
        LOCK,
        CREATE_SCHEMA,
        include_str!("../../sql/create_history.sql"),
    );
    for step in steps() {
        script.push_str(&guarded(&step));
    }
    script
}

/// The schema, then the attach.
pub fn attach(attachment: &Attachment) -> String {
    let mut script = format!(
        "{}\nselect rowcast.attach({}, room => {}",
        migrate(),
        literal(&attachment.table),
        literal(&attachment.room)
    );
    for (name, list) in [("columns", &attachment.columns), ("changes", &attachment.changes)] {
        if let Some(list) = list {
            let words: Vec<String> = list.iter().map(|word| literal(word)).collect();
            let _ = write!(script, ", {name} => array[{}]::text[]", words.join(", "));
        }
    }
    for (name, value) in [
        ("id", &attachment.id),
        ("source", &attachment.source),
        ("keep", &attachment.keep),
        ("time_column", &attachment.time),
    ] {
        if let Some(value) = value {
            let _ = write!(script, ", {name} => {}", literal(value));
        }
    }
    for (name, choice) in [
        ("never_ring", attachment.never_ring),
        ("journal", attachment.journal),
        ("always", attachment.always),
        ("per_statement", attachment.per_statement),
    ] {
        if let Some(choice) = choice {
            let _ = write!(script, ", {name} => {choice}");
        }
    }
    script.push_str(");\n");
    script
}

/// The schema, then the detach.
pub fn detach(source: &str) -> String {
    format!("{}\nselect rowcast.detach({});\n", migrate(), literal(source))
}

/// Detaches all and drops the schema.
pub fn uninstall() -> String {
    format!("{HEADER}\n{};\n", UNINSTALL.trim_end())
}

/// One migration, run only where the history does not have it yet.
fn guarded(step: &Step) -> String {
    let tag = format!("$rowcast_v{}$", step.version);
    format!(
        "\ndo $do$\nbegin\nif not exists (select from rowcast.migrations where version = {version}) then\n\
         execute {tag}\n{sql}\n{tag};\n\
         insert into rowcast.migrations (version, name, applied_on, checksum) values ({version}, {name},\n    \
         pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.now()), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '{checksum}');\n\
         end if;\nend\n$do$;\n",
        version = step.version,
        sql = step.sql.trim_end(),
        name = literal(&step.name),
        checksum = step.checksum,
    )
}

/// An SQL string literal, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn literals_keep_quotes_and_backslashes() {
        assert_eq!(literal("plain"), "'plain'");
        assert_eq!(literal("o'clock"), "'o''clock'");
        assert_eq!(literal(r"a\b'"), r" E'a\\b'''");
    }
}
