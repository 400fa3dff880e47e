//! `pg_dump` and back, by PostgreSQL's own programs.

use std::path::Path;
use std::process::Output;

use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio_postgres::Client;

use super::{server, within};

/// What `pg_dump` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A script for psql.
    Plain,
    /// An archive for `pg_restore`.
    Custom,
}

/// A dumped database.
pub struct Dump {
    file: NamedTempFile,
    format: Format,
}

/// Dumps a database of the tests' server with this URL; `None` if no `pg_dump` here takes the server (npm's PostgreSQL comes
/// without one).
pub async fn of(client: &Client, url: &str, format: Format) -> Option<Dump> {
    let version = client
        .query_one("show server_version_num", &[])
        .await
        .expect("a version");
    let version: String = version.get(0);
    if !can_dump(version.parse().expect("a number")).await {
        return None;
    }
    let file = NamedTempFile::new().expect("a file");
    let dump = Dump { file, format };
    let kind = match format {
        Format::Plain => "plain",
        Format::Custom => "custom",
    };
    program("pg_dump", &["--format", kind, "--file", dump.path(), url]).await;
    Some(dump)
}

impl Dump {
    fn path(&self) -> &str {
        self.file.path().to_str().expect("a path")
    }

    /// Restores it into a database with nothing in it, as the role of the URL. Nothing may fail.
    pub async fn restore(&self, url: &str) {
        match self.format {
            Format::Plain => program("psql", &["-q", "-v", "ON_ERROR_STOP=1", "-f", self.path(), url]).await,
            Format::Custom => program("pg_restore", &["--exit-on-error", "--dbname", url, self.path()]).await,
        };
    }
}

async fn can_dump(server_version: i32) -> bool {
    let output = program("pg_dump", &["--version"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said
        .split(' ')
        .nth(2)
        .and_then(|version| version.split('.').next());
    number.and_then(|major| major.parse::<i32>().ok()) >= Some(server_version / 10_000)
}

/// Runs a program of PostgreSQL's; it must succeed.
async fn program(name: &str, arguments: &[&str]) -> Output {
    let own = server().bin_dir().join(name);
    let path = if own.exists() {
        own.as_path()
    } else {
        Path::new(name)
    };
    let output = within(Command::new(path).args(arguments).output())
        .await
        .expect(name);
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
