//! The account a server's processes run under: PostgreSQL refuses to run as root, so root lends them another.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::LaunchError;

/// Accounts worth trying, best first. `postgres` can read PostgreSQL's programs however they were installed.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The account to lend to a server's processes; `None` where this process is not root and needs none.
    pub(super) fn for_server() -> Result<Option<Self>, LaunchError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd")
            .map_err(|source| LaunchError::io("read the accounts in /etc/passwd", source))?;
        CANDIDATES
            .iter()
            .find_map(|name| Self::parse(&passwd, name))
            .map(Some)
            .ok_or(LaunchError::NoAccount)
    }

    /// Finds `name` in the text of `/etc/passwd` (`name:password:uid:gid:…`, passwd(5)); root in disguise does not count.
    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let uid: u32 = fields.next()?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (uid != 0).then(|| Self {
            name: name.to_owned(),
            uid,
            gid,
        })
    }

    /// Makes `command` run under this account, without this process's supplementary groups.
    pub(super) fn lend(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes this account the owner of a file.
    pub(super) fn own(&self, path: &Path) -> Result<(), LaunchError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|source| LaunchError::io(format!("hand {} to {}", path.display(), self.name), source))
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let account = Account::parse(PASSWD, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(Account::parse(PASSWD, "post"), None);
    }

    #[test]
    fn root_is_never_lent() {
        assert_eq!(Account::parse(PASSWD, "root"), None);
        assert_eq!(Account::parse("postgres:x:0:0::/:/bin/sh\n", "postgres"), None);
    }
}
