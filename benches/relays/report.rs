//! What was measured, written down: a table for each scenario, the goals, the plots, machine and versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::figures::Figure;
use crate::goals;
use crate::page::{Samples, Table, build, load, machine, sensible};
use crate::plot;

/// What a page says beside its figures.
pub struct Page<'a> {
    /// As a person types it to have the same again.
    pub command: &'a str,
    /// PostgreSQL's version and settings.
    pub postgres: &'a str,
    /// Each server's name and version, or why it isn't measured.
    pub servers: &'a [(String, String)],
    /// Each scenario's name and what it finds out, in their order.
    pub scenarios: &'a [(&'a str, &'a str)],
    pub figures: &'a [Figure],
    /// Runs that came to nothing, and why.
    pub failures: &'a [String],
    /// The load average before the first run ([`load`]).
    pub load_before: &'a str,
}

/// Counts that are only worth a line where something was wrong.
const FAULTS: [&str; 3] = ["lost", "repeated", "reordered"];

/// Of the growth, which is a table of its own length: what the others have already said.
const NOT_OF_GROWTH: [&str; 2] = ["p50", "client's CPU"];

impl Page<'_> {
    /// Prints the page, and writes it to a file if there is to be one, with its plots beside.
    ///
    /// Errors: a file can't be written.
    pub fn publish(&self, file: Option<&Path>) -> anyhow::Result<()> {
        let plots = plot::of_growth(self.figures);
        let text = self.markdown(&plots)?;
        println!("{text}");
        let Some(file) = file else { return Ok(()) };
        let directory = file.with_file_name("plots");
        fs::create_dir_all(&directory)?;
        for plot in &plots {
            fs::write(directory.join(plot.file), plot.svg())?;
        }
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        eprintln!("written to {}", file.display());
        Ok(())
    }

    fn markdown(&self, plots: &[plot::Plot]) -> anyhow::Result<String> {
        let mut parts = vec![self.head()?, goals::table(self.figures).markdown()];
        let measured = self.scenarios.iter().filter_map(|(name, what)| {
            let figures: Vec<&Figure> = self.figures.iter().filter(|one| one.scenario == *name).collect();
            (!figures.is_empty()).then(|| scenario(name, what, &figures).markdown())
        });
        parts.extend(measured);
        if !plots.is_empty() {
            let links = plots
                .iter()
                .map(|plot| format!("![{}](plots/{})\n", plot.title, plot.file));
            parts.push(format!("## Plots\n\n{}", links.collect::<Vec<_>>().join("\n")));
        }
        if !self.failures.is_empty() {
            parts.push(format!(
                "## Runs that failed\n\n- {}\n",
                self.failures.join("\n- ")
            ));
        }
        Ok(parts.join("\n"))
    }

    fn head(&self) -> anyhow::Result<String> {
        let servers = self
            .servers
            .iter()
            .map(|(name, version)| format!("- {name}: {version}\n"));
        Ok(format!(
            "# Rowcast beside other relays\n\n\
             `{command}`, {date}, revision {revision} ({build}), {machine}. Load average of the machine over a minute: \
             {before} before, {after} at the end (of which this benchmark's own part). Servers, PostgreSQL, writer and subscribers \
             share the machine; differences under 20 % mean nothing.\n\n\
             {servers}- PostgreSQL {postgres}\n\n\
             Medians (least–greatest) of runs in which the servers take turns; latency from just before the INSERT if nothing else \
             is said. After a `×`: as a multiple of the limit's, of `limit` for latency, of `limit, joined` for deliveries and CPU. \
             `limit`: one thread that writes prepared frames, one at a time; `joined`: all that wait for a socket in one write. \
             Where nothing is said of events that are lost, repeated or reordered, there were none.\n",
            command = self.command,
            date = jiff::Zoned::now().date(),
            revision = revision(),
            build = build(),
            machine = machine(),
            before = self.load_before,
            after = load(),
            servers = servers.collect::<String>(),
            postgres = self.postgres,
        ))
    }
}

/// The table of one scenario: a line for each load and quantity, a column for each server.
fn scenario(name: &str, what: &str, figures: &[&Figure]) -> Table {
    let servers = in_order(figures.iter().map(|one| one.server.as_str()));
    let head = ["", "", ""].into_iter().chain(servers.iter().copied());
    let mut table = Table::new(&title(name), &format!("{}.", capital(what)), head).figures_from(3);
    for load in in_order(figures.iter().map(|one| one.load.as_str())) {
        let of_load: Vec<&Figure> = figures.iter().copied().filter(|one| one.load == load).collect();
        let mut name_of_load = load;
        for what in in_order(of_load.iter().map(|one| one.what)) {
            let of_what: Vec<&Figure> = of_load.iter().copied().filter(|one| one.what == what).collect();
            if !is_worth_a_line(name, what, &of_what) {
                continue;
            }
            let cells = servers.iter().map(|server| cell(server, what, &of_what));
            let unit = of_what.first().map_or("", |one| one.unit);
            let start = [name_of_load, what, unit].map(str::to_owned);
            table.row(start.into_iter().chain(cells));
            name_of_load = "";
        }
    }
    table
}

fn is_worth_a_line(scenario: &str, what: &str, figures: &[&Figure]) -> bool {
    let is_fault = FAULTS.contains(&what);
    let is_zero = figures
        .iter()
        .all(|one| one.values.iter().all(|value| *value == 0.0));
    !(is_fault && is_zero || scenario == "growth" && NOT_OF_GROWTH.contains(&what))
}

/// `4.97 (4.80–5.20) ×1.35`
fn cell(server: &str, what: &str, figures: &[&Figure]) -> String {
    let of = |server: &str| figures.iter().find(|one| one.server == server);
    let Some(figure) = of(server) else {
        return "–".to_owned();
    };
    let samples = Samples::of(&figure.values);
    let text = samples.with_spread(sensible);
    let limit = match what {
        "p50" | "p99" => "limit",
        "deliveries" | "CPU per delivery" => "limit, joined",
        _ => return text,
    };
    match of(limit).map(|limit| Samples::of(&limit.values).median()) {
        Some(limit) if limit > 0.0 && !server.starts_with("limit") => {
            format!("{text} ×{}", sensible(samples.median() / limit))
        }
        _ => text,
    }
}

/// Each once, in the order of their first appearance.
fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn title(name: &str) -> String {
    match name {
        "fanout" => "Fan-out".to_owned(),
        "commit" => "Commit to client".to_owned(),
        "longpoll" => "Long poll".to_owned(),
        name => capital(name),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The commit that is measured, with `+` if files differ from it.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let said = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        said.status
            .success()
            .then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    let revision = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    format!("{revision}{}", if changed { "+" } else { "" })
}
