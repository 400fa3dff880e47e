//! Figures and how they are written down: medians with their spread, tables in Markdown, the machine and the command.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::server::Server;

/// The same thing, measured several times.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, samples: impl IntoIterator<Item = f64>) {
        self.0.extend(samples);
    }

    /// The middle one, or the mean of the middle two; 0 if there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => 0.0,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The greatest; NaN if there are none.
    pub fn greatest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// `0.94 (0.91–0.97)`: the median, and the least and greatest if there are several.
    pub fn with_spread(&self, write: impl Fn(f64) -> String) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        match self.0.len() {
            0 => "–".to_owned(),
            _ if least >= self.greatest() => write(least),
            _ => format!(
                "{} ({}–{})",
                write(self.median()),
                write(least),
                write(self.greatest())
            ),
        }
    }
}

/// One table of results.
pub struct Table {
    title: String,
    /// What was done, and in which unit the figures are.
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<T: Into<String>>(title: &str, note: &str, head: impl IntoIterator<Item = T>) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in Markdown, its columns aligned for those who read it as it is.
    pub fn markdown(&self) -> String {
        let width = |column: usize| {
            let cells = self
                .rows
                .iter()
                .chain([&self.head])
                .filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!(
            "## {}\n\n{}\n\n{}{}{rows}",
            self.title,
            self.note,
            line(&self.head),
            line(&rule)
        )
    }
}

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

fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug: no fair figures"
    } else {
        "release"
    }
}

/// Processor, cores, memory, kernel, as Linux tells them.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_once(':')
            .map_or("?", |(_, value)| value.trim())
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kilobytes: f64 = field("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} cores of {}, {:.0} GiB, Linux {}",
        cores,
        field("/proc/cpuinfo", "model name"),
        kilobytes / 1024.0 / 1024.0,
        kernel.trim()
    )
}

/// The load average over a minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Two digits behind the point, as ratios are written.
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// A whole number with commas.
pub fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as MiB.
pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1024.0 / 1024.0)
}
