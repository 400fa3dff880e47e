//! The launcher of private PostgreSQL servers: what it starts works, and nothing of it stays.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rowcast::demo::postgres::{LaunchError, Options, Postgres, StopMode};
use rustix::process::{Pid, test_kill_process};

use crate::support::{connect, database, empty_database, eventually, own_server, test_options};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, other) = (database().await, database().await);
    one.batch_execute("create table t ()").await.unwrap();
    other.batch_execute("create table t ()").await.unwrap();
    let empty = empty_database().await;
    let row = empty
        .query_one("select current_database()::text, version()", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), empty.name);
    println!("{}", row.get::<_, String>(1));
}

#[tokio::test]
async fn rows_survive_an_immediate_stop() {
    let mut server = own_server(&[]);
    let (url, port) = (server.url("postgres"), server.port());
    let client = connect(&url).await;
    client
        .batch_execute("create table kept (n int); insert into kept values (1), (2)")
        .await
        .unwrap();

    server.stop(StopMode::Immediate).unwrap();
    assert_eq!(server.pid(), None);
    eventually(async || client.is_closed()).await;
    assert!(matches!(
        server.stop(StopMode::Fast),
        Err(LaunchError::NotRunning)
    ));

    server.start_again().unwrap();
    assert_eq!((server.url("postgres"), server.port()), (url.clone(), port));
    let count: i64 = connect(&url)
        .await
        .query_one("select count(*) from kept", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_standby_replicates() {
    let mut primary = own_server(&[]);
    connect(&primary.url("postgres"))
        .await
        .batch_execute("create table t (n int)")
        .await
        .unwrap();
    let standby = primary.start_standby(&test_options(&[])).unwrap();
    let client = connect(&primary.url("postgres")).await;
    client.batch_execute("insert into t values (1)").await.unwrap();

    let reader = connect(&standby.url("postgres")).await;
    assert!(
        reader
            .query_one("select pg_is_in_recovery()", &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
    eventually(async || !reader.query("select from t", &[]).await.unwrap().is_empty()).await;
}

#[tokio::test]
async fn the_port_asks_for_the_password() {
    let server = own_server(&[]);
    let url = server.url("postgres").replace(server.password(), "guess");
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err()
    );
    let url = format!(
        "host={} port={} user=postgres dbname=postgres",
        server.socket_dir().display(),
        server.port()
    );
    connect(&url).await;
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = own_server(&[]);
    let (pid, directory) = (server.pid().unwrap(), server.directory().to_owned());
    drop(server);
    assert!(!is_running(pid) && !directory.exists());
}

#[test]
fn a_directory_without_postgres_is_refused_by_name() {
    let options = Options {
        bin_dir: Some(PathBuf::from("/nowhere/bin")),
        ..Options::default()
    };
    let error = Postgres::start(&options).unwrap_err().to_string();
    assert!(
        error.contains("/nowhere/bin") && error.contains("ROWCAST_PG_BIN"),
        "{error}"
    );
}

#[test]
fn a_setting_that_postgres_refuses_is_shown_with_its_reason() {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = Postgres::start(&Options {
        settings,
        ..Options::default()
    })
    .unwrap_err()
    .to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_demo_killed_with_9_leaves_nothing() {
    let temporary = temporary();
    let mut demo = demo(temporary.path());
    let stdout = BufReader::new(demo.stdout.take().unwrap());
    let invited = stdout
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("Watch"));
    assert!(invited, "the demo ended before it was ready");
    let directory = std::fs::read_dir(temporary.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let lock = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let postmaster: u32 = lock.lines().next().unwrap().parse().unwrap();
    assert!(is_running(postmaster));
    demo.kill().unwrap();
    demo.wait().unwrap();
    eventually(async || !directory.exists() && !is_running(postmaster)).await;
}

#[tokio::test]
async fn a_demo_killed_with_9_during_initdb_leaves_nothing() {
    let temporary = temporary();
    let mut demo = demo(temporary.path());
    eventually(async || find(temporary.path(), "postgresql.conf")).await;
    demo.kill().unwrap();
    demo.wait().unwrap();
    eventually(async || std::fs::read_dir(temporary.path()).unwrap().next().is_none()).await;
}

/// A directory for a demo's server, which runs as another user where the tests run as root.
fn temporary() -> tempfile::TempDir {
    let temporary = tempfile::Builder::new().prefix("rc").tempdir().unwrap();
    open_to_all(temporary.path());
    temporary
}

fn demo(temporary: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rowcast"))
        .args(["demo", "--listen", "127.0.0.1:0"])
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs, or has ended without anyone having asked for its status: where PID 1 reaps nobody, that is how it stays.
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && !status.contains(") Z ")
}

fn find(directory: &Path, name: &str) -> bool {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name() == name || (entry.path().is_dir() && find(&entry.path(), name)))
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
