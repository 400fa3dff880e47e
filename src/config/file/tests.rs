//! What a file may say, and what it is told where it may not.

use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::*;
use crate::config::{ServeArgs, ServeConfig};
use crate::telemetry::LogArgs;

#[derive(Parser, Debug)]
struct Program {
    #[command(subcommand)]
    command: Commands,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Subcommand, Debug)]
enum Commands {
    Serve(Box<ServeArgs>),
}

fn read(text: &str) -> Result<SettingsFile, FileError> {
    SettingsFile::parse(text, Path::new("rowcast.toml"), &Program::command())
}

/// The configuration of `serve` with this file and these words.
fn config(text: &str, words: &[&str]) -> ServeConfig {
    let file = read(text).expect("a good file");
    let words = ["rowcast", "serve"].iter().chain(words);
    let matches = file
        .apply(Program::command())
        .try_get_matches_from(words)
        .expect("good words");
    let Commands::Serve(args) = Program::from_arg_matches(&matches).expect("serve").command;
    ServeConfig::new(*args).expect("they go together")
}

/// The one line that a file is refused with.
fn refusal(text: &str) -> String {
    let line = read(text).expect_err("a bad file").to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

const DATABASE: &str = "[database]\ndatabase_url = 'postgresql://localhost/x'\n";

#[test]
fn a_file_sets_every_kind_of_value() {
    let text = format!(
        "{DATABASE}pool_size = 1_0\n[http]\nallow_publish = true\nheartbeat = '5s'\ngrace_period = 3\n\
         allow_origin = ['https://a.org', 'https://b.org']\n[memory]\nring_bytes = '64KiB'\n"
    );
    let config = config(&text, &[]);
    assert_eq!(config.database_url, "postgresql://localhost/x");
    assert_eq!(config.pool_size, 10);
    assert!(config.allow_publish);
    assert_eq!(config.heartbeat.as_secs(), 5);
    assert_eq!(config.grace_period.as_secs(), 3);
    assert_eq!(config.allow_origins, ["https://a.org", "https://b.org"]);
    assert_eq!(config.ring_bytes, 65_536);
}

#[test]
fn a_flag_wins_over_the_file() {
    let text = format!("{DATABASE}[http]\nheartbeat = '5s'\nallow_origin = ['https://a.org']\n");
    let config = config(&text, &["--heartbeat", "7s", "--allow-origin", "https://b.org"]);
    assert_eq!(config.heartbeat.as_secs(), 7);
    assert_eq!(config.allow_origins, ["https://b.org"]);
}

#[test]
fn an_unknown_key_is_refused_and_the_near_one_named() {
    assert_eq!(
        refusal("[http]\n\nhartbeat = '5s'"),
        "rowcast.toml:3: there is no setting \"hartbeat\" in [http]; heartbeat may be meant"
    );
    assert_eq!(
        refusal("[http]\nring_bytes = 5"),
        "rowcast.toml:2: there is no setting \"ring_bytes\" in [http]; ring_bytes in [memory] may be meant"
    );
    assert_eq!(
        refusal("[htpp]\nheartbeat = '5s'"),
        "rowcast.toml:1: there is no table [htpp]; [http] may be meant"
    );
    assert_eq!(
        refusal("[http]\nxyzzy = 1"),
        "rowcast.toml:2: there is no setting \"xyzzy\" in [http]"
    );
    assert_eq!(
        refusal("heartbeat = '5s'"),
        "rowcast.toml:1: \"heartbeat\" stands in no table; it may belong below [http]"
    );
}

#[test]
fn a_wrong_value_names_its_line() {
    let line = refusal("[http]\nallow_publish = true\nheartbeat = 'soon'");
    assert!(
        line.starts_with("rowcast.toml:3: heartbeat: ") && line.contains("15s"),
        "{line}"
    );
    assert_eq!(
        refusal("[http]\nallow_publish = 'yes'"),
        "rowcast.toml:2: allow_publish is true or false"
    );
    assert_eq!(
        refusal("[http]\nallow_origin = [true]"),
        "rowcast.toml:2: allow_origin is a list of texts"
    );
    assert_eq!(
        refusal("[database]\npool_size = 1.5"),
        "rowcast.toml:2: pool_size is a text, or a whole number"
    );
    assert!(refusal("[database]\npool_size = 0").starts_with("rowcast.toml:2: pool_size: "));
    assert!(refusal("[http\n").starts_with("rowcast.toml:1: "));
    assert!(refusal("[http]\nheartbeat = 1\nheartbeat = 2").starts_with("rowcast.toml:3: "));
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let line = refusal("[access]\njwks_url = 'ht!tp://u:hunter4@id.example.com'");
    assert!(
        line.starts_with("rowcast.toml:2: jwks_url: ") && !line.contains("hunter4"),
        "{line}"
    );
}

#[test]
fn what_is_in_effect_is_shown_with_its_source_and_without_secrets() {
    let secret = "0123456789abcdef0123456789abcdef";
    let text = format!(
        "{DATABASE}[access]\nauth = 'jwt'\njwt_secret = '{secret}'\njwt_audience = '007'\n[http]\nheartbeat = 5\n"
    );
    let file = read(&text).expect("a good file");
    let command = Program::command();
    let matches = file
        .apply(command.clone())
        .try_get_matches_from(["rowcast", "serve", "--listen", "[::1]:80", "--allow-publish"])
        .expect("good words");
    let shown = render(&command, matches.subcommand_matches("serve"), &file);
    for line in [
        "database_url = \"***\" # from rowcast.toml:2",
        "jwt_secret = \"***\" # from rowcast.toml:5",
        "listen = \"[::1]:80\" # from --listen",
        "allow_publish = true # from --allow-publish",
        "jwt_audience = \"007\" # from rowcast.toml:6",
        "heartbeat = 5 # from rowcast.toml:8",
        "#ring_events = 1000",
        "#log_format = \"auto\"",
    ] {
        assert!(shown.lines().any(|each| each == line), "{line}\n{shown}");
    }
    assert!(!shown.contains(secret) && !shown.contains("localhost"), "{shown}");
    read(&shown.replace("\"***\"", "'postgresql://localhost/x'")).expect("it is a file, too");
}
