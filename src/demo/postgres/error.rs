//! What can keep a private PostgreSQL from starting, in words that say what to do.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Output};

/// A private PostgreSQL could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(
        "found no PostgreSQL: install it (Debian: apt-get install postgresql; or run scripts/setup.sh), \
         or name the directory of its programs in ROWCAST_PG_BIN"
    )]
    NotInstalled,
    #[error("{} holds no PostgreSQL: the directory with postgres and initdb is wanted (--pg-bin, ROWCAST_PG_BIN)", .0.display())]
    NoProgramsIn(PathBuf),
    #[error("the programs in {} can't be run by the account {account}: move them to a directory that is open to all", .bin.display())]
    NotRunnable { bin: PathBuf, account: String },
    #[error(
        "PostgreSQL does not run as root, and this machine has neither an account postgres nor nobody to lend it"
    )]
    NoAccount,
    #[error("can't {what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed ({status}): {output}")]
    Failed {
        program: String,
        status: ExitStatus,
        output: String,
    },
    #[error("PostgreSQL ended while starting; the end of its log:\n{log}")]
    EndedEarly { log: String },
    #[error("PostgreSQL did not start within {seconds} s; the end of its log:\n{log}")]
    TooSlow { seconds: u64, log: String },
    #[error("PostgreSQL did not stop within {seconds} s and was killed")]
    Killed { seconds: u64 },
    #[error("PostgreSQL is not running")]
    NotRunning,
}

impl LaunchError {
    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// An error with what the program said, unless it succeeded.
    pub(super) fn unless_successful(program: &str, output: &Output) -> Result<(), Self> {
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        Err(Self::Failed {
            program: program.to_owned(),
            status: output.status,
            output: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }
}
