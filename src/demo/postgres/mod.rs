//! A private, throw-away PostgreSQL: for `rowcast demo`, and for the tests.
//!
//! It needs nothing set up: its programs are found ([`programs`]), root lends its processes an unprivileged account
//! ([`account`]), and its data and socket lie in a private directory. A guardian ([`guardian`]) ends it and removes the
//! directory when its owner ends, even by `kill -9`. It favours speed over the safety of its data: `fsync` is off.
//!
//! Everything here blocks for as long as it takes (a start: about half a second): call it from
//! `tokio::task::spawn_blocking` where other tasks wait for the thread.

mod account;
mod error;
mod guardian;
mod programs;
mod server;
mod standby;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use account::Account;
use guardian::Guardian;
use programs::Programs;

pub use error::LaunchError;

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The directory with `postgres` and `initdb`; `None`: the one that `ROWCAST_PG_BIN` names, else wherever they are.
    pub bin_dir: Option<PathBuf>,
    /// Settings as in `postgresql.conf`, name and value. They win over this module's own (`fsync` off).
    pub settings: Vec<(String, String)>,
}

/// How a server is asked to stop (PostgreSQL's manual, "Shutting Down the Server").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are ended, the data is put in order.
    Fast,
    /// At once, as in a crash: the next start recovers.
    Immediate,
}

/// A running (or, between [`Postgres::stop`] and [`Postgres::start_again`], stopped) private PostgreSQL.
///
/// Dropping it ends it and removes its directory.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    account: Option<Account>,
    options: Options,
    port: u16,
    /// Of the superuser `postgres`. Other users of the machine can reach the port, and whoever is superuser of a
    /// database may run programs as the account it runs under.
    password: String,
    /// The postmaster; `None` while stopped.
    server: Option<Child>,
    /// Dropped after this type's own `drop` has run.
    guardian: Guardian,
}

impl Postgres {
    /// Makes a data directory and starts a server on it, reachable through a Unix socket and a free port of 127.0.0.1.
    ///
    /// Errors: no PostgreSQL on this machine, no account to lend, or what `initdb` or the server had to say.
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        let mut postgres = Self::prepare(options)?;
        postgres.initialise()?;
        postgres.start_on_free_port()?;
        Ok(postgres)
    }

    /// Everything but the data directory.
    fn prepare(options: &Options) -> Result<Self, LaunchError> {
        let programs = Programs::find(options.bin_dir.as_deref())?;
        let account = Account::for_server()?;
        let guardian = Guardian::start(account.as_ref())?;
        let programs = match &account {
            Some(account) => programs.runnable_by(account, guardian.directory())?,
            None => programs,
        };
        Ok(Self {
            programs,
            account,
            options: options.clone(),
            port: 0,
            password: format!("{:032x}", rand::random::<u128>()),
            server: None,
            guardian,
        })
    }

    /// Runs `initdb`: UTF-8, the superuser `postgres`, a password on the port, none on the socket (its directory is
    /// closed to other accounts).
    fn initialise(&mut self) -> Result<(), LaunchError> {
        let password_file = self.directory().join("password");
        fs::write(&password_file, &self.password)
            .map_err(|source| LaunchError::io("write a password file", source))?;
        if let Some(account) = &self.account {
            account.own(&password_file)?;
        }
        // macOS and old glibc know no C.UTF-8.
        self.run_initdb("C.UTF-8", &password_file)
            .or_else(|_| self.run_initdb("C", &password_file))
    }

    fn run_initdb(&mut self, locale: &str, password_file: &Path) -> Result<(), LaunchError> {
        let data = self.data_directory();
        let initdb = self
            .command("initdb")
            .args([
                "--username=postgres",
                "--encoding=UTF8",
                "--no-sync",
                "--auth-local=trust",
                "--auth-host=password",
            ])
            .arg(format!("--locale={locale}"))
            .arg("--pwfile")
            .arg(password_file)
            .arg("--pgdata")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| LaunchError::io("run initdb", source))?;
        self.guardian.initdb(Some(initdb.id()))?;
        let output = initdb
            .wait_with_output()
            .map_err(|source| LaunchError::io("wait for initdb", source))?;
        self.guardian.initdb(None)?;
        LaunchError::unless_successful("initdb", &output)
    }

    /// The URL of a database of this server, for its superuser, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The port on 127.0.0.1. It stays the same over [`Postgres::start_again`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the superuser `postgres` over TCP, random.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The directory of the Unix socket, which asks for no password.
    pub fn socket_dir(&self) -> &Path {
        self.directory()
    }

    /// The directory with the server's programs.
    pub fn bin_dir(&self) -> PathBuf {
        self.programs.path("")
    }

    /// A command line that opens a session on `database`; `None` where this machine has no `psql`.
    pub fn psql_command(&self, database: &str) -> Option<String> {
        self.programs
            .psql()
            .map(|psql| format!("{} {}", psql.display(), self.url(database)))
    }

    /// The process id of the postmaster; `None` while stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// A process group whose members are ended together with this server, by `SIGQUIT` and then `SIGKILL`: for other
    /// processes that must not outlive the owner.
    pub fn process_group(&self) -> i32 {
        self.guardian.process_group()
    }

    /// The private directory: data, socket, log. It is gone when this is dropped.
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    fn data_directory(&self) -> PathBuf {
        self.directory().join("data")
    }
}

/// Can the server that `bin_dir` stands for ([`Options::bin_dir`]) load the extension library `name`, as
/// `shared_preload_libraries` would have it?
pub fn has_library(bin_dir: Option<&Path>, name: &str) -> Result<bool, LaunchError> {
    Ok(Programs::find(bin_dir)?.has_library(name))
}
