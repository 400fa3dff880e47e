//! Errors of the command line as one line that names the flag and the variable.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;
use crate::pg::migrate::MigrateError;

/// clap's error in one line: what it says in several, and the variable that means the same as the flag. Help and version
/// are no errors: `None`.
pub fn usage_error(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return None;
        }
        _ => {}
    }
    let text = error.to_string();
    let said: Vec<&str> = text
        .split("\n\nUsage:")
        .next()
        .unwrap_or_default()
        .split("\n\nFor more information")
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let mut line = said.join(" ").trim_start_matches("error: ").to_owned();
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(variable) = variable_of(&Cli::command(), argument)
    {
        line = format!("{line} (the environment variable is {variable})");
    }
    Some(line)
}

/// The variable of a flag given as clap shows it, `--heartbeat <DURATION>`.
fn variable_of(command: &Command, shown: &str) -> Option<String> {
    let name = shown.split([' ', '=']).next()?.trim_start_matches("--");
    let own = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name))
        .and_then(|argument| argument.get_env())
        .map(|variable| variable.to_string_lossy().into_owned());
    own.or_else(|| {
        command
            .get_subcommands()
            .find_map(|inner| variable_of(inner, shown))
    })
}

/// An error on the way to the database, with the flag that says which one.
pub fn database(error: MigrateError) -> anyhow::Error {
    match error {
        MigrateError::Connect(error) => unreachable(error),
        other => anyhow::Error::new(other),
    }
}

/// No session: the flag that says where.
pub fn unreachable(error: impl Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::anyhow!("--database-url (DATABASE_URL): {error}")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Cli, usage_error};

    fn line(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).expect_err("the arguments are wrong");
        usage_error(&error).expect("not help")
    }

    #[test]
    fn a_wrong_value_names_flag_and_variable_in_one_line() {
        let line = line(&["rowcast", "serve", "--heartbeat", "soon"]);
        assert!(
            line.contains("--heartbeat") && line.contains("ROWCAST_HEARTBEAT") && line.contains("15s"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }

    #[test]
    fn an_unknown_flag_is_one_line() {
        let line = line(&["rowcast", "serve", "--hartbeat", "15s"]);
        assert!(line.contains("--hartbeat") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn help_is_no_error() {
        let error = Cli::try_parse_from(["rowcast", "--help"]).expect_err("help");
        assert_eq!(usage_error(&error), None);
    }
}
