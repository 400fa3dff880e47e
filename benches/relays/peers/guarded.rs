//! A server's process, in a process group of its own that ends with the benchmark, whatever becomes of that.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::clock;

/// How long a server may take to start: far longer than that ever should.
const START: Duration = Duration::from_secs(20);

/// Leads the process group of the server and all that it starts. Its first line of input is the server's process id; when
/// its input ends, which is when the benchmark drops it or is gone, it ends the group: asked first, forced after two seconds.
const GUARDIAN: &str = r#"
trap '' HUP INT QUIT TERM
read -r server
while read -r _; do :; done
kill -TERM 0
tries=0
while kill -0 "$server" 2>/dev/null && [ "$tries" -lt 40 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
kill -KILL 0
"#;

/// A process with all that it starts. Dropping it ends them and returns when the process has ended.
pub struct Guarded {
    process: Child,
    guardian: Child,
    /// Held open. Other children do not inherit it: the standard library opens pipes close-on-exec.
    owner: Option<ChildStdin>,
    log: PathBuf,
}

impl Guarded {
    /// Starts the command in a group of its own; what it says goes to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let said = File::create(log).with_context(|| format!("make {}", log.display()))?;
        let mut guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "guardian"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not the terminal's group: Ctrl-C would end the servers before the benchmark has said anything.
            .process_group(0)
            .spawn()
            .context("start /bin/sh")?;
        let mut owner = guardian.stdin.take().context("stdin is piped")?;
        // If it fails, the guardian's input ends, and so does the guardian.
        let process = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(guardian.id().cast_signed())
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        writeln!(owner, "{}", process.id())?;
        Ok(Self {
            process,
            guardian,
            owner: Some(owner),
            log: log.to_owned(),
        })
    }

    /// The ids of the process and of all that it has started and that runs, at the moment.
    pub fn pids(&self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes: Vec<(u32, u32)> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, parent(pid)?)))
            .collect();
        let mut found = vec![self.process.id()];
        let mut looked_at = 0;
        while let Some(&of) = found.get(looked_at) {
            let children = processes.iter().filter(|(_, parent)| *parent == of);
            found.extend(children.map(|(pid, _)| *pid));
            looked_at += 1;
        }
        found
    }

    /// What the process has said so far.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails, with the end of what it said, if the process has ended.
    fn has_not_ended(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("it ended with {status}:\n{}", self.last_words());
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let pids = self.pids();
        drop(self.owner.take());
        // The server first: until it is waited for, its process id is there, and the guardian would wait for nothing.
        let _ = self.process.wait();
        let _ = self.guardian.wait();
        // Of a supervisor that was forced to end, those that it put into groups of their own.
        for pid in pids.into_iter().skip(1).filter(|pid| parent(*pid) == Some(1)) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The parent of a process (proc(5), `stat`, field 4); `None`: there is no such process, or it has ended.
fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may have spaces.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}

/// A port on loopback that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens at the address. Errors: the process ends meanwhile, or it takes too long.
pub fn until_it_answers(process: &mut Guarded, address: SocketAddr) -> anyhow::Result<()> {
    until(process, || TcpStream::connect(address).is_ok())
        .with_context(|| format!("nothing listens at {address}"))
}

/// Waits until this request is answered with 200. Errors: the process ends meanwhile, or it takes too long.
pub fn until_it_says_ok(process: &mut Guarded, address: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let is_answered = || -> io::Result<bool> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_millis(500)))?;
        connection.write_all(request)?;
        let mut status = [0; b"HTTP/1.? 200".len()];
        connection.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    until(process, || is_answered().unwrap_or(false)).with_context(|| format!("{address} does not answer"))
}

fn until(process: &mut Guarded, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = clock::now();
    while Duration::from_nanos(clock::now() - began) < START {
        if is_so() {
            return Ok(());
        }
        process.has_not_ended()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("it has said:\n{}", process.last_words())
}
