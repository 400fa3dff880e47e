//! The server's processes: starting on a free port, telling when it is ready, stopping.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::{LaunchError, Postgres, StopMode};

/// How long a start or a stop may take; both take well under a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks at a process or its pid file.
const GLANCE: Duration = Duration::from_millis(5);

/// Ports are drawn from here: below the range that systems lend to outgoing connections (32768 and above on Linux,
/// 49152 elsewhere), so that none of them takes the port while the server is stopped and about to start again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Draws of a port before giving up, and starts that lose the race for one.
const DRAWS: usize = 20;

impl Postgres {
    /// Starts on a port that is free now; another process may take it before the server has, which is why there is
    /// more than one try.
    pub(super) fn start_on_free_port(&mut self) -> Result<(), LaunchError> {
        let mut outcome = Err(LaunchError::NotRunning);
        for _ in 0..DRAWS {
            self.port = free_port()?;
            outcome = self.start_again();
            match &outcome {
                Err(LaunchError::EndedEarly { log }) if log.contains("could not bind") => (),
                _ => break,
            }
        }
        outcome
    }

    /// Starts the stopped server, on the same data and the same port.
    ///
    /// Returns when it accepts sessions (after a recovery, if it needs one). Does nothing while it runs.
    pub fn start_again(&mut self) -> Result<(), LaunchError> {
        if self.server.is_some() {
            return Ok(());
        }
        let log = File::create(self.log_file())
            .map_err(|source| LaunchError::io("write the server's log", source))?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data_directory())
            .stderr(log)
            .stdout(Stdio::null());
        for (name, value) in self.own_settings().iter().chain(&self.options.settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut server = command
            .spawn()
            .map_err(|source| LaunchError::io("start postgres", source))?;
        match self.wait_until_ready(&mut server) {
            Ok(()) => {
                self.server = Some(server);
                Ok(())
            }
            Err(error) => {
                let _ = server.kill();
                let _ = server.wait();
                Err(error)
            }
        }
    }

    /// Stops the server; its data stays. Returns when its last process has ended.
    ///
    /// Errors: [`LaunchError::NotRunning`]; [`LaunchError::Killed`] if it would not end.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), LaunchError> {
        let mut server = self.server.take().ok_or(LaunchError::NotRunning)?;
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        let pid = Pid::from_child(&server);
        kill_process(pid, signal).map_err(|source| LaunchError::io("signal the server", source.into()))?;
        if wait_for(&mut server, PATIENCE).map_err(|source| LaunchError::io("wait for the server", source))? {
            return Ok(());
        }
        let _ = server.kill();
        let _ = server.wait();
        Err(LaunchError::Killed {
            seconds: PATIENCE.as_secs(),
        })
    }

    /// A command that runs one of PostgreSQL's programs under the lent account, ends with the owner, and sees none of
    /// its environment (`PGDATA`, `PGPORT`, locales).
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .process_group(self.guardian.process_group());
        if let Some(account) = &self.account {
            account.lend(&mut command);
        }
        command
    }

    fn own_settings(&self) -> Vec<(String, String)> {
        [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", self.directory().display().to_string()),
            ("logging_collector", "off".to_owned()),
            ("fsync", "off".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Waits as pg_ctl does: line 1 of the postmaster's pid file is its process id, line 8 says `ready` once it accepts
    /// sessions (`miscadmin.h`, `LOCK_FILE_LINE_PM_STATUS`; PostgreSQL 10 and later).
    fn wait_until_ready(&self, server: &mut Child) -> Result<(), LaunchError> {
        let pid_file = self.data_directory().join("postmaster.pid");
        let pid = server.id().to_string();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            if lines.next() == Some(&pid) && lines.nth(6) == Some("ready") {
                return Ok(());
            }
            if server
                .try_wait()
                .map_err(|source| LaunchError::io("wait for the server", source))?
                .is_some()
            {
                return Err(LaunchError::EndedEarly { log: self.log() });
            }
            thread::sleep(GLANCE);
        }
        Err(LaunchError::TooSlow {
            seconds: PATIENCE.as_secs(),
            log: self.log(),
        })
    }

    fn log_file(&self) -> PathBuf {
        self.directory().join("server.log")
    }

    /// The last lines of the server's log since its last start.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Postgres {
    /// Quick and complete: an immediate stop, then the guardian (dropped next) removes the directory.
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.stop(StopMode::Immediate);
        }
    }
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
fn free_port() -> Result<u16, LaunchError> {
    let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..DRAWS {
        let port = rand::random_range(PORTS);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = error,
        }
    }
    Err(LaunchError::io("find a free port on 127.0.0.1", refused))
}

/// Waits for a process to end; `false` if it has not after `patience`.
fn wait_for(child: &mut Child, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(GLANCE);
    }
    Ok(true)
}
