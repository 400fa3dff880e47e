//! `rowcast.toml`, as a person uses it: which commands take it, what wins, what is shown of it.

use std::path::PathBuf;

use crate::support::empty_database;
use crate::support::relay::run;

/// A file in a directory of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rowcast.toml");
    std::fs::write(&path, text).expect("a file");
    (directory, path)
}

#[tokio::test]
async fn commands_take_the_database_from_the_file() {
    let db = empty_database().await;
    db.batch_execute("create table messages (id bigserial primary key, room_id int, body text)")
        .await
        .expect("make");
    let (_directory, path) = file(&format!("[database]\ndatabase_url = '{}'\n", db.app_url));
    let config = path.to_str().expect("a path");
    let (status, _, stderr) = run(&["attach", "messages", "--room", "room_id", "--config", config]).await;
    assert!(status.success(), "{stderr}");
    let (status, table, stderr) = run(&["--config", config, "sources"]).await;
    assert!(status.success(), "{stderr}");
    assert!(table.contains("public.messages"), "{table}");
}

#[tokio::test]
async fn a_flag_wins_over_the_file_and_what_is_in_effect_is_printed() {
    let (_directory, path) = file(
        "[database]\ndatabase_url = 'postgresql://relay:hunter2@localhost/app'\n\n[http]\nheartbeat = '5s'\nretry = '2s'\n",
    );
    let config = path.to_str().expect("a path");
    let words = ["serve", "--config", config, "--heartbeat", "7s", "--print-config"];
    let (status, printed, stderr) = run(&words).await;
    assert!(status.success(), "{stderr}");
    for line in [
        "heartbeat = \"7s\" # from --heartbeat".to_owned(),
        format!("retry = \"2s\" # from {config}:6"),
        format!("database_url = \"***\" # from {config}:2"),
        "#pool_size = 8".to_owned(),
    ] {
        assert!(printed.lines().any(|each| each == line), "{line}\n{printed}");
    }
    assert!(!printed.contains("hunter2") && !stderr.contains("hunter2"));
}

#[tokio::test]
async fn a_file_that_is_wrong_is_one_line_and_exit_code_2() {
    let (_directory, path) = file("[http]\nhartbeat = '5s'\n");
    let config = path.to_str().expect("a path");
    let (status, stdout, stderr) = run(&["serve", "--config", config]).await;
    assert_eq!(status.code(), Some(2), "{stdout}{stderr}");
    assert_eq!(
        stderr,
        format!("rowcast: {config}:2: there is no setting \"hartbeat\" in [http]; heartbeat may be meant\n")
    );
    let (status, _, stderr) = run(&["serve", "--config", "/nowhere/rowcast.toml"]).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("--config (ROWCAST_CONFIG)") && stderr.contains("/nowhere/rowcast.toml"),
        "{stderr}"
    );
}
