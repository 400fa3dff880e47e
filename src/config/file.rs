//! `rowcast.toml`: the settings as a file, below flags and variables and above the defaults.
//!
//! A setting is an option with an environment variable. Its table is the heading that `--help` shows it under, its key the
//! flag with `_` for `-`: `--ring-bytes` is `ring_bytes` in `[memory]`. What a value means is for the option's own parser: the
//! file is handed to the command line as other defaults, so that there is one way to read a value and one order of
//! precedence, clap's.

mod render;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use render::render;

/// The command whose settings the file holds; others take those that they share with it.
const SERVE: &str = "serve";

/// The demo has a database and an address of its own.
const WITHOUT_FILE: &str = "demo";

/// Below this likeness (Jaro-Winkler, 0 to 1) a name is no misspelling but another word.
const NEAR: f64 = 0.8;

/// Why a settings file is refused. One line that names the place.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("--config (ROWCAST_CONFIG) {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{place}: {reason}")]
    Syntax { place: Place, reason: String },
    #[error("{place}: there is no table [{name}]{}", mean(.near, "[", "]"))]
    Table {
        place: Place,
        name: String,
        near: Option<String>,
    },
    #[error("{place}: there is no setting {name:?} in [{table}]{}", mean(.near, "", ""))]
    Key {
        place: Place,
        table: String,
        name: String,
        near: Option<String>,
    },
    #[error("{place}: {name:?} stands in no table; it may belong below [{table}]")]
    NoTable {
        place: Place,
        name: String,
        table: String,
    },
    #[error("{place}: {name} is {wanted}")]
    Type {
        place: Place,
        name: String,
        wanted: &'static str,
    },
    #[error("{place}: {name}: {reason}")]
    Value {
        place: Place,
        name: String,
        reason: String,
    },
}

/// A line of a file, as `rowcast.toml:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    /// From 1.
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

fn mean(near: &Option<String>, before: &str, behind: &str) -> String {
    near.as_ref()
        .map(|near| format!("; {before}{near}{behind} may be meant"))
        .unwrap_or_default()
}

/// What a file sets.
#[derive(Debug, Default)]
pub struct SettingsFile {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The setting's flag, without the dashes.
    flag: String,
    values: Vec<String>,
    place: Place,
}

impl SettingsFile {
    /// Reads and checks a file, against the settings of `command` (the program's, with its subcommands).
    ///
    /// # Errors
    /// [`FileError`]: also where one value alone is wrong; how they go together is found out later.
    pub fn read(path: &Path, command: &Command) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path, command)
    }

    fn parse(text: &str, path: &Path, command: &Command) -> Result<Self, FileError> {
        let place = |at: usize| Place {
            path: path.to_owned(),
            line: text[..at].matches('\n').count() + 1,
        };
        let tables = DeTable::parse(text).map_err(|error| FileError::Syntax {
            place: place(error.span().map_or(0, |span| span.start)),
            reason: error.message().trim_end().replace('\n', ", "),
        })?;
        let known: Vec<&Arg> = settings(command).collect();
        let mut file = Self::default();
        for (table, content) in tables.get_ref() {
            let name = table.get_ref().as_ref();
            let DeValue::Table(content) = content.get_ref() else {
                return Err(stray(place(table.span().start), name, &known));
            };
            let inside: Vec<&Arg> = known
                .iter()
                .copied()
                .filter(|arg| table_of(arg) == name)
                .collect();
            if inside.is_empty() {
                return Err(FileError::Table {
                    place: place(table.span().start),
                    name: name.to_owned(),
                    near: nearest(name, known.iter().map(|arg| table_of(arg))),
                });
            }
            for (key, value) in content {
                let place = place(key.span().start);
                let key = key.get_ref().as_ref();
                let Some(arg) = inside.iter().find(|arg| key_of(arg) == key) else {
                    return Err(FileError::Key {
                        place,
                        table: name.to_owned(),
                        name: key.to_owned(),
                        near: near_setting(key, &inside, &known),
                    });
                };
                file.entries.push(Entry::new(arg, value, place)?);
            }
        }
        Ok(file)
    }

    /// The program's command with the file's values as defaults, wherever a setting is an option.
    pub fn apply(&self, command: Command) -> Command {
        let names: Vec<String> = command
            .get_subcommands()
            .map(|inner| inner.get_name().to_owned())
            .filter(|name| name != WITHOUT_FILE)
            .collect();
        let command = self.apply_to_one(command);
        names.into_iter().fold(command, |command, name| {
            command.mut_subcommand(name, |inner| self.apply_to_one(inner))
        })
    }

    fn apply_to_one(&self, command: Command) -> Command {
        self.entries.iter().fold(command, |command, entry| {
            let id = command
                .get_arguments()
                .find(|arg| is_setting(arg) && arg.get_long() == Some(&entry.flag))
                .map(|arg| arg.get_id().as_str().to_owned());
            match id {
                Some(id) => command.mut_arg(id, |arg| arg.default_values(entry.values.clone())),
                None => command,
            }
        })
    }

    /// Where a setting's value stands, if it does.
    fn place_of(&self, arg: &Arg) -> Option<&Place> {
        let entry = self
            .entries
            .iter()
            .find(|entry| arg.get_long() == Some(&entry.flag));
        entry.map(|entry| &entry.place)
    }
}

impl Entry {
    fn new(arg: &Arg, value: &Spanned<DeValue<'_>>, place: Place) -> Result<Self, FileError> {
        let name = key_of(arg);
        let wrong = |wanted| FileError::Type {
            place: place.clone(),
            name: name.clone(),
            wanted,
        };
        let values = match value.get_ref() {
            DeValue::Boolean(value) if is_switch(arg) => vec![value.to_string()],
            _ if is_switch(arg) => return Err(wrong("true or false")),
            DeValue::Array(values) if is_list(arg) => {
                let texts: Option<Vec<String>> = values.iter().map(|value| text(value.get_ref())).collect();
                texts.ok_or_else(|| wrong("a list of texts"))?
            }
            value => vec![text(value).ok_or_else(|| match is_list(arg) {
                true => wrong("a list of texts"),
                false => wrong("a text, or a number"),
            })?],
        };
        let flag = arg.get_long().unwrap_or_default().to_owned();
        // Alone, so that the line is known.
        let words = values.iter().map(|value| format!("--{flag}={value}"));
        if !is_switch(arg)
            && let Err(error) = Command::new("rowcast")
                .no_binary_name(true)
                .arg(arg.clone().required(false))
                .try_get_matches_from(words)
        {
            return Err(FileError::Value {
                place,
                name,
                reason: first_line(&error),
            });
        }
        Ok(Self { flag, values, place })
    }
}

/// What clap says first: `invalid value 'soon' for '--heartbeat <DURATION>': …`.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        _ => None,
    }
}

/// Options that are settings: of every command, and of `serve`.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    let serve = command.find_subcommand(SERVE).into_iter();
    let own = serve.flat_map(Command::get_arguments);
    own.chain(command.get_arguments()).filter(|arg| is_setting(arg))
}

/// Whether an option is a setting: it has a variable, and does not speak of settings itself.
fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_help_heading() != Some("Settings")
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn table_of(arg: &Arg) -> String {
    arg.get_help_heading().unwrap_or_default().to_lowercase()
}

fn key_of(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// The setting that a key may mean: one of its table, else one of another, which is named then.
fn near_setting(key: &str, inside: &[&Arg], known: &[&Arg]) -> Option<String> {
    let elsewhere = || {
        let near = nearest(key, known.iter().map(|arg| key_of(arg)))?;
        let arg = known.iter().find(|arg| key_of(arg) == near)?;
        Some(format!("{near} in [{}]", table_of(arg)))
    };
    match known.iter().any(|arg| key_of(arg) == key) {
        true => elsewhere(),
        false => nearest(key, inside.iter().map(|arg| key_of(arg))).or_else(elsewhere),
    }
}

/// A value before the first table.
fn stray(place: Place, name: &str, known: &[&Arg]) -> FileError {
    let near = nearest(name, known.iter().map(|arg| key_of(arg)));
    let arg = near.and_then(|near| known.iter().find(|arg| key_of(arg) == near));
    FileError::NoTable {
        place,
        name: name.to_owned(),
        table: arg.or(known.first()).map(|arg| table_of(arg)).unwrap_or_default(),
    }
}

fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let likeness = |candidate: &String| strsim::jaro_winkler(name, candidate);
    candidates
        .filter(|candidate| likeness(candidate) >= NEAR)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}
