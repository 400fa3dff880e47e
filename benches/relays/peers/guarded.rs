//! A server's process, in a process group of its own that ends with the benchmark, whatever becomes of that.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a server may take to start: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until its standard input ends, which is when the benchmark drops it or is gone, and ends the group `$1`:
/// asked first, forced after two seconds.
const GUARDIAN: &str = r#"
cat >/dev/null
kill -TERM -- "-$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.2
    kill -0 -- "-$1" 2>/dev/null || exit 0
done
kill -KILL -- "-$1" 2>/dev/null
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
        let process = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(process.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not the terminal's group: Ctrl-C would end it before its work.
            .process_group(0)
            .spawn()
            .context("start /bin/sh")?;
        let mut guarded = Self {
            process,
            guardian,
            owner: None,
            log: log.to_owned(),
        };
        guarded.owner = guarded.guardian.stdin.take();
        Ok(guarded)
    }

    /// The ids of the group's processes at the moment.
    pub fn pids(&self) -> Vec<u32> {
        let group = self.process.id();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| process_group(*pid) == Some(group))
            .collect()
    }

    /// What the process has said so far.
    pub fn log(&self) -> String {
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
        drop(self.owner.take());
        // The process first: until it is waited for, its group is there, and the guardian would wait for nothing.
        let _ = self.process.wait();
        let _ = self.guardian.wait();
    }
}

/// The process group of a process (proc(5), `stat`, field 5); `None`: there is no such process.
fn process_group(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may have spaces.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

/// A port on loopback that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens at the address. Errors: the process ends meanwhile, or it takes too long.
pub fn until_it_answers(process: &mut Guarded, address: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        process.has_not_ended()?;
        if began.elapsed() > PATIENCE {
            bail!("nothing listens at {address}:\n{}", process.last_words());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
