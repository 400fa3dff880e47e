//! `sources`: what is attached, how it is followed, and what is wrong with it.

use clap::Args;
use serde_json::json;

use super::tables::migrated;
use crate::config::DatabaseArgs;
use crate::pg::source::{self, Source};

#[derive(Args, Clone, Debug)]
pub struct SourcesArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Lists the sources with what is wrong with them.
pub async fn sources(args: SourcesArgs) -> anyhow::Result<()> {
    let client = migrated(&args.database, "sources").await?;
    let mut found = Vec::new();
    for listed in source::list(&client).await? {
        let findings = match &listed.source {
            Ok(source) => source::check(&client, source).await?,
            Err(reason) => vec![format!("broken: {reason}")],
        };
        found.push((listed.name, listed.source.ok(), findings));
    }
    if args.json {
        let list: Vec<_> = found
            .iter()
            .map(|(name, source, findings)| as_json(name, source.as_ref(), findings))
            .collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        print!("{}", table(&found));
    }
    Ok(())
}

/// A source's name, the source unless it is broken, and what is wrong with it.
type Found = (String, Option<Source>, Vec<String>);

fn as_json(name: &str, source: Option<&Source>, findings: &[String]) -> serde_json::Value {
    let journal = source.and_then(|s| s.journal.as_ref());
    json!({
        "name": name,
        "table": source.map(|s| &s.relation),
        "kind": source.map(kind),
        "changes": source.map(|s| &s.changes),
        "journal": journal.map(|j| &j.relation),
        "keep": journal.map(|j| &j.keep),
        "always": journal.map(|j| j.always),
        "per_statement": journal.map(|j| j.per_statement),
        "id": source.map(|s| &s.id_column),
        "key": journal.map(|j| j.key.iter().map(|column| &column.name).collect::<Vec<_>>()),
        "room": source.map(room),
        "columns": source.map(|s| &s.columns),
        "time": source.map(|s| &s.time_column),
        "never_ring": source.map(|s| s.never_ring),
        "epoch": source.map(|s| s.epoch),
        "findings": findings,
    })
}

/// How a source is followed, in a word.
fn kind(source: &Source) -> &'static str {
    if source.journal.is_some() {
        "journal"
    } else {
        "direct"
    }
}

fn room(source: &Source) -> &str {
    source.room_expression.as_deref().unwrap_or(&source.room_column)
}

const HEAD: [&str; 8] = [
    "SOURCE", "TABLE", "KIND", "CHANGES", "KEEP", "KEY", "ROOM", "COLUMNS",
];

/// The cells of one source; what does not apply to it is a dash, what nobody knows a question mark.
fn cells(name: &str, source: Option<&Source>) -> [String; 8] {
    let Some(s) = source else {
        let mut unknown = HEAD.map(|_| "?".to_owned());
        name.clone_into(&mut unknown[0]);
        return unknown;
    };
    let dash = || "-".to_owned();
    let key = match &s.journal {
        Some(journal) => {
            let names: Vec<&str> = journal.key.iter().map(|column| column.name.as_str()).collect();
            names.join(",")
        }
        None => s.id_column.clone().unwrap_or_else(dash),
    };
    [
        name.to_owned(),
        s.relation.clone(),
        kind(s).to_owned(),
        s.changes.join(","),
        s.journal
            .as_ref()
            .map_or_else(dash, |journal| journal.keep.clone()),
        key,
        room(s).to_owned(),
        s.payload_columns
            .as_ref()
            .map_or_else(|| "all".to_owned(), |columns| columns.join(",")),
    ]
}

/// An aligned table: a row for each source, below it what is wrong.
fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "Nothing is attached. Try: rowcast attach TABLE --room COLUMN\n".to_owned();
    }
    let rows = found.iter().map(|(name, source, _)| cells(name, source.as_ref()));
    let rows: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text += &format!("{}\n", cells.join("  ").trim_end());
        let findings = number.checked_sub(1).map_or(&[][..], |index| &found[index].2);
        for finding in findings {
            text += &format!("  ! {finding}\n");
        }
    }
    text
}
