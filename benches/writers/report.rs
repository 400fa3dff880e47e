//! A page of results: the machine, the command, tables.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::page::{Table, build, load, machine};
use crate::server::Server;

/// A page of results.
pub struct Report {
    text: String,
    load_before: String,
}

impl Report {
    /// Begins with the title, the command, machine and versions.
    pub async fn begin(title: &str, command: &str, server: &Server) -> anyhow::Result<Self> {
        let (version, date, settings) = server.description().await?;
        let mut text = format!("# {title}\n\n");
        writeln!(text, "`{command}`, {date}, {}.", machine())?;
        writeln!(
            text,
            "Rowcast {} ({} build), PostgreSQL {version}: {settings}.",
            env!("CARGO_PKG_VERSION"),
            build()
        )?;
        writeln!(
            text,
            "Writers, PostgreSQL, relay and its subscriber share the machine."
        )?;
        eprintln!("{text}");
        Ok(Self {
            text,
            load_before: load(),
        })
    }

    /// One more table; it is printed at once.
    pub fn add(&mut self, table: &Table) {
        let table = table.markdown();
        println!("\n{table}");
        self.text.push('\n');
        self.text.push_str(&table);
    }

    /// One more paragraph.
    pub fn say(&mut self, paragraph: &str) {
        println!("\n{paragraph}");
        self.text.push('\n');
        self.text.push_str(paragraph);
        self.text.push('\n');
    }

    /// Ends with the machine's load, and writes the page to a file if there is to be one.
    pub fn end(mut self, file: Option<&Path>) -> anyhow::Result<()> {
        let load = format!(
            "Load average of the machine over the last minute: {} before, {} at the end (of which this benchmark's own part).",
            self.load_before,
            load()
        );
        self.say(&load);
        if let Some(file) = file {
            fs::write(file, &self.text)?;
            eprintln!("written to {}", file.display());
        }
        Ok(())
    }
}
