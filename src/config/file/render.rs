//! The settings in effect as a file: every key with what it means and where its value comes from.

use std::ffi::OsStr;
use std::fmt::Write as _;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::{SERVE, SettingsFile, is_list, is_switch, key_of, settings, table_of};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// All settings of `command` as `rowcast.toml`: those that were given with where they come from, the others as comments with
/// their defaults. Secrets are hidden. `matches` are those of `serve`; `file` is what was applied to the command.
pub fn render(command: &Command, matches: Option<&ArgMatches>, file: &SettingsFile) -> String {
    let mut text = format!(
        "# The settings of rowcast {SERVE}. A flag wins over its variable, a variable over this file.\n\
         # Durations: 15s, 200ms, 1m; a number is seconds. Sizes: 64KiB, 1MiB; a number is bytes.\n\n"
    );
    let all: Vec<&Arg> = settings(command).collect();
    let mut tables: Vec<String> = Vec::new();
    for table in all.iter().map(|arg| table_of(arg)) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    for table in tables {
        // Writing to a string can't fail.
        let _ = writeln!(text, "[{table}]");
        for arg in all.iter().filter(|arg| table_of(arg) == table) {
            for line in arg
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default()
                .lines()
            {
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "{}\n", line(arg, matches, file));
        }
    }
    format!("{}\n", text.trim_end())
}

/// `key = value`, behind a `#` where it was not given.
fn line(arg: &Arg, matches: Option<&ArgMatches>, file: &SettingsFile) -> String {
    let key = key_of(arg);
    let id = arg.get_id().as_str();
    let given = matches.and_then(|matches| {
        let from = match matches.value_source(id)? {
            ValueSource::CommandLine => format!("--{}", arg.get_long()?),
            ValueSource::EnvVariable => arg.get_env()?.to_string_lossy().into_owned(),
            _ => file.place_of(arg)?.to_string(),
        };
        Some((matches.get_raw(id)?.collect::<Vec<_>>(), from))
    });
    match given {
        Some((values, from)) => format!("{key} = {} # from {from}", value(arg, &values)),
        None => {
            let default: Vec<&OsStr> = arg
                .get_default_values()
                .iter()
                .map(|value| value.as_os_str())
                .collect();
            format!("#{key} = {}", value(arg, &default))
        }
    }
}

/// Values as TOML. Without any, what the option takes stands for them: the line is a comment then.
fn value(arg: &Arg, values: &[&OsStr]) -> String {
    let name = || {
        arg.get_value_names()
            .and_then(|names| names.first())
            .map_or("…", |name| name.as_str())
    };
    let text = |value: &OsStr| match arg.is_hide_env_values_set() {
        true => quoted(HIDDEN),
        false => quoted(&value.to_string_lossy()),
    };
    match values {
        [] if is_switch(arg) => "false".to_owned(),
        [] if is_list(arg) => format!("[{}]", quoted(name())),
        [] => quoted(name()),
        values if is_list(arg) => {
            let texts: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("[{}]", texts.join(", "))
        }
        [value, ..] if is_switch(arg) => value.to_string_lossy().into_owned(),
        [value, ..] => match value.to_string_lossy().parse::<u64>() {
            // Not of a name like 007.
            Ok(number) if !arg.is_hide_env_values_set() && *value == number.to_string().as_str() => {
                number.to_string()
            }
            _ => text(value),
        },
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
