//! The program's arguments, read once: what flags, variables and a settings file say together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use super::usage::usage_error;
use crate::config::{FileError, SettingsFile, render};

/// What the program was told to do.
#[derive(Debug)]
pub struct Invocation {
    pub cli: Cli,
    /// The settings in effect, for a person; empty unless the command is `serve`.
    pub settings: String,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    #[error(transparent)]
    File(#[from] FileError),
    /// One line that names flag and variable.
    #[error("{0}")]
    Usage(String),
    /// No error: help or the version was asked for.
    #[error("{0}")]
    Help(clap::Error),
}

impl Invocation {
    /// Reads `words`, the program's name first, the environment, and the file that either of them names.
    ///
    /// # Errors
    /// [`InvocationError`]: the file or the words are wrong, or help was asked for.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, InvocationError> {
        let words: Vec<OsString> = words.into_iter().collect();
        let command = Cli::command();
        let mut matches = command.clone().try_get_matches_from(&words).map_err(refused)?;
        let mut file = SettingsFile::default();
        if let Some(path) = settings_file(&matches) {
            file = SettingsFile::read(path, &command)?;
            let command = file.apply(command.clone());
            matches = command.try_get_matches_from(words).map_err(refused)?;
        }
        let settings = matches
            .subcommand_matches("serve")
            .map(|serve| render(&command, Some(serve), &file))
            .unwrap_or_default();
        let cli = Cli::from_arg_matches_mut(&mut matches).map_err(refused)?;
        Ok(Self { cli, settings })
    }
}

fn refused(error: clap::Error) -> InvocationError {
    match usage_error(&error) {
        Some(line) => InvocationError::Usage(line),
        None => InvocationError::Help(error),
    }
}

/// The file that `--config` or its variable names, where the command is one that takes settings from it.
fn settings_file(matches: &ArgMatches) -> Option<&Path> {
    match matches.subcommand()? {
        ("demo" | "tail", _) => None,
        (_, command) => command
            .get_one::<PathBuf>("config")
            .map(PathBuf::as_path)
            .filter(|path| !path.as_os_str().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str]) -> Option<PathBuf> {
        let matches = Cli::command()
            .try_get_matches_from(words)
            .expect("they are right");
        settings_file(&matches).map(ToOwned::to_owned)
    }

    #[test]
    fn the_file_may_be_named_before_and_behind_the_command() {
        for words in [
            &["rowcast", "--config", "a.toml", "serve"][..],
            &["rowcast", "serve", "--config=a.toml"],
        ] {
            assert_eq!(named(words), Some("a.toml".into()), "{words:?}");
        }
        assert_eq!(named(&["rowcast", "--config", "a.toml", "demo"]), None);
        assert_eq!(
            named(&["rowcast", "tail", "http://a", "--config", "a.toml", "room"]),
            None
        );
    }

    #[test]
    fn the_committed_example_is_what_the_options_say() {
        let example = include_str!("../../rowcast.example.toml");
        let current = render(&Cli::command(), None, &SettingsFile::default());
        assert!(
            example == current,
            "rowcast.example.toml is not current: env -i rowcast serve --print-config > rowcast.example.toml"
        );
    }

    /// Every key of the example is one that a file may have, and every default that it shows a value.
    #[test]
    fn the_example_without_its_comment_signs_is_a_file() {
        let example = include_str!("../../rowcast.example.toml");
        let mut defaults = 0;
        let lines = example.lines().map(|line| match line.strip_prefix('#') {
            // What has no default shows what it takes, as "URL".
            Some(setting) if !line.starts_with("# ") && setting.split(" = ").nth(1).is_some_and(is_value) => {
                defaults += 1;
                setting
            }
            _ => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rowcast.toml");
        std::fs::write(&path, text).expect("a file");
        SettingsFile::read(&path, &Cli::command()).expect("the defaults are settings");
        assert!(defaults > 20, "{defaults}");
    }

    fn is_value(text: &str) -> bool {
        text.chars().any(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    }
}
