//! The private directory of a server and the guardian that ends the server and removes the directory, whatever becomes
//! of the process that owns them.

use std::env;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::LaunchError;
use super::account::Account;

const SCRIPT: &str = include_str!("guardian.sh");

/// A Unix socket's path has at most 107 bytes (unix(7)), 103 on macOS; this is what may stand before `/.s.PGSQL.65535`.
const LONGEST_DIRECTORY: usize = 85;

/// A private directory and the shell that watches over it. Dropping it is the owner's end, too: it returns when the
/// server has ended and the directory is gone.
#[derive(Debug)]
pub(super) struct Guardian {
    directory: PathBuf,
    shell: Child,
    /// Held open. Other children do not inherit it: the standard library opens pipes close-on-exec.
    owner: Option<ChildStdin>,
}

impl Guardian {
    /// Starts the guardian, then makes the directory (mode 0700, owned by `account` where one is lent): in this order,
    /// so that there is no moment in which it would be left behind.
    pub(super) fn start(account: Option<&Account>) -> Result<Self, LaunchError> {
        let directory = base(account.is_some()).join(format!("rowcast-{:016x}", rand::random::<u64>()));
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("rowcast-guardian")
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| LaunchError::io("start /bin/sh", source))?;
        let owner = shell.stdin.take();
        let guardian = Self {
            directory,
            shell,
            owner,
        };
        DirBuilder::new()
            .mode(0o700)
            .create(&guardian.directory)
            .map_err(|source| LaunchError::io(format!("make {}", guardian.directory.display()), source))?;
        if let Some(account) = account {
            account.own(&guardian.directory)?;
        }
        Ok(guardian)
    }

    /// The private directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tells the guardian about an initdb that runs (`Some`), or that it is over: it lets one come to its end.
    pub(super) fn initdb(&mut self, pid: Option<u32>) -> Result<(), LaunchError> {
        let pid = pid.map_or_else(String::new, |pid| pid.to_string());
        let owner = self
            .owner
            .as_mut()
            .expect("the pipe is open until this is dropped");
        writeln!(owner, "{pid}").map_err(|source| LaunchError::io("reach the guardian", source))
    }

    /// The process group whose members end with the owner.
    pub(super) fn process_group(&self) -> i32 {
        i32::try_from(self.shell.id()).expect("a process id fits pid_t")
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.owner = None;
        // Its last act is to kill its own group, so any status will do.
        let _ = self.shell.wait();
    }
}

/// Where to make the directory: `TMPDIR`, unless its name is too long for a socket's or (for an account that is lent) it
/// is closed to others; else `/tmp`.
fn base(lent: bool) -> PathBuf {
    let preferred = env::temp_dir();
    let short =
        OsStr::as_bytes(preferred.as_os_str()).len() + "/rowcast-0123456789abcdef".len() <= LONGEST_DIRECTORY;
    if preferred.is_absolute() && short && (!lent || is_open_to_all(&preferred)) {
        preferred
    } else {
        PathBuf::from("/tmp")
    }
}

/// May everyone enter this directory and those above it?
fn is_open_to_all(directory: &Path) -> bool {
    directory.ancestors().all(|part| {
        part.metadata()
            .is_ok_and(|part| part.permissions().mode() & 0o001 != 0)
    })
}
