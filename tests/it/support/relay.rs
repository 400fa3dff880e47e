//! The real `rowcast` program as a child process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, eventually, server};

/// A running (or ended) `rowcast`. Dropping it kills it.
pub struct Relay {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// What it listens on, `http://ADDRESS` or `https://ADDRESS`; empty for a command that does not serve.
    pub url: String,
    /// HTTP requests to it.
    pub client: Client,
}

impl Relay {
    /// `rowcast serve` on `database_url` and a free port, unless `arguments` have a `--listen`; returns when it listens.
    pub async fn serve(database_url: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["serve", "--database-url", database_url];
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(arguments);
        let mut relay = Self::start(&all);
        relay.wait_until_listening().await;
        relay
    }

    /// `rowcast` with these arguments. Of the environment it gets none but PATH (and a log level): no setting of the
    /// machine's user. It ends with the test process, however that ends.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(command(arguments).envs(variables.iter().copied()))
    }

    /// `rowcast serve` as [`Relay::serve`] starts it, but with this soft limit of descriptors.
    pub async fn serve_with_descriptors(soft: u32, database_url: &str, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -S -n {soft} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, PROGRAM, "serve", "--listen", "127.0.0.1:0"]);
        shell.args(["--database-url", database_url]);
        let mut relay = Self::spawn(prepared(&mut shell).args(arguments));
        relay.wait_until_listening().await;
        relay
    }

    /// The same, by a program that becomes `rowcast`: it and its arguments, behind which `$0` and the command line of a shell
    /// follow.
    pub fn start_by(program: &[String], arguments: &[&str]) -> Self {
        let mut by = Command::new(&program[0]);
        by.args(&program[1..]).args(["rowcast", PROGRAM]);
        Self::spawn(prepared(&mut by).args(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start rowcast");
        let log = Arc::default();
        let stderr = child.stderr.take().expect("stderr is piped");
        thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        Self {
            child,
            log,
            url: String::new(),
            client: Client::new(""),
        }
    }

    /// Waits for the log line that says `listening` and the address, and takes the address from it.
    pub async fn wait_until_listening(&mut self) {
        let mut url = None;
        eventually(async || {
            url = self.log().iter().find_map(|line| listening(line));
            assert!(
                url.is_some() || self.is_running(),
                "rowcast ended before it listened:\n{}",
                self.log().join("\n")
            );
            url.is_some()
        })
        .await;
        self.url = url.expect("the loop above ended with one");
        self.client = Client::new(&self.url);
    }

    /// What it has logged so far, by lines.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns once a line of the log contains `text`.
    #[track_caller]
    pub fn logs(&self, text: &str) -> impl Future<Output = ()> {
        eventually(async move || self.log().iter().any(|line| line.contains(text)))
    }

    /// HTTP requests to its listener for operators, whose address it has logged.
    pub fn operators(&self) -> Client {
        let log = self.log();
        let line = log
            .iter()
            .find(|line| line.contains("health and metrics are on http://"));
        let line = line.expect("the address of the listener for operators");
        let url = &line[line.find("http://").expect("the line has it")..];
        Client::new(url.split(['"', ' ']).next().unwrap_or_default())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("ask for the relay's status")
            .is_none()
    }

    /// Sends SIGTERM: drain and exit.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the relay");
    }

    /// Ends it as a crash would (SIGKILL), and waits for that.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub async fn exit_status(&mut self) -> ExitStatus {
        let mut status = None;
        eventually(async || {
            status = self.child.try_wait().expect("ask for the relay's status");
            status.is_some()
        })
        .await;
        status.expect("the loop above ended with one")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of the relay at {}\n{}", self.url, self.log().join("\n"));
        }
    }
}

/// Runs a command of `rowcast` to its end: exit status, stdout, stderr.
pub async fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    let mut command = tokio::process::Command::from(command(arguments));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = super::within(command.output()).await.expect("run rowcast");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_rowcast");

/// `rowcast` with these arguments, and none of the environment but PATH and a log level.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    prepared(command.args(arguments));
    command
}

/// Gives it the environment and the process group that all have.
fn prepared(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env(
            "ROWCAST_LOG_LEVEL",
            std::env::var_os("ROWCAST_TEST_LOG").unwrap_or_else(|| "rowcast=debug".into()),
        )
        .env("RUST_BACKTRACE", "1")
        .env("NO_COLOR", "1")
        .process_group(server().process_group())
}

/// The address in a line like `… listening on http://127.0.0.1:41234`, or `https://`.
fn listening(line: &str) -> Option<String> {
    let at = line.contains("listening on http").then(|| line.find("http"))??;
    let end = line[at..]
        .find(|c: char| c.is_whitespace() || "\"',;".contains(c))
        .map_or(line.len(), |end| at + end);
    Some(line[at..end].trim_end_matches('/').to_owned())
}

fn collect(stderr: ChildStderr, log: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
