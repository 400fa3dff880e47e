//! Finds PostgreSQL's programs on this machine, wherever a distribution, an installer or npm has put them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::LaunchError;
use super::account::Account;

/// The environment variable that names the directory to take the programs from.
const BIN_VARIABLE: &str = "ROWCAST_PG_BIN";

/// Where distributions and installers put the programs, `*` standing for a part of one name: Debian, Red Hat (PGDG),
/// Homebrew on both processors, Postgres.app, and npm's @embedded-postgres as `scripts/setup.sh` or a host's own
/// project installs it.
const PLACES: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "target/*/node_modules/@embedded-postgres/*/native/bin",
    "node_modules/@embedded-postgres/*/native/bin",
];

/// A directory with `postgres` and `initdb` in it.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// Takes `explicit`, else the directory that `ROWCAST_PG_BIN` names, else the first found on PATH and in the usual
    /// places, newest version first. A directory that was named and holds no PostgreSQL is an error, never passed over.
    pub(super) fn find(explicit: Option<&Path>) -> Result<Self, LaunchError> {
        let named = explicit.map(Path::to_owned).or_else(|| {
            env::var_os(BIN_VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        });
        if let Some(named) = named {
            return Self::in_directory(&named).ok_or(LaunchError::NoProgramsIn(named));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(PLACES.iter().flat_map(|place| expand(Path::new(place))))
            .find_map(|directory| Self::in_directory(&directory))
            .ok_or(LaunchError::NotInstalled)
    }

    /// The programs behind `directory`, whose `postgres` may be a link to where it lives beside the others.
    fn in_directory(directory: &Path) -> Option<Self> {
        let postgres = directory.join("postgres").canonicalize().ok()?;
        let bin = postgres.parent()?.to_owned();
        bin.join("initdb").is_file().then_some(Self { bin })
    }

    /// The path of one of the programs.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// `psql`, from beside the server or from PATH. npm's packages bring none.
    pub(super) fn psql(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        std::iter::once(self.bin.clone())
            .chain(env::split_paths(&path))
            .map(|directory| directory.join("psql"))
            .find(|psql| psql.is_file())
    }

    /// Can the server load the extension library `name`? Looks where Debian, PGDG and npm's packages keep them.
    pub(super) fn has_library(&self, name: &str) -> bool {
        ["so", "dylib"].iter().any(|suffix| {
            let file = format!("{name}.{suffix}");
            ["../lib", "../lib/postgresql"]
                .iter()
                .any(|lib| self.bin.join(lib).join(&file).is_file())
        })
    }

    /// Programs that `account` can run: these, or where a checkout lies in a directory that is closed to it (`/root`)
    /// a copy of npm's relocatable package in `directory`.
    pub(super) fn runnable_by(self, account: &Account, directory: &Path) -> Result<Self, LaunchError> {
        if self.runs_under(account) {
            return Ok(self);
        }
        let package = self.bin.parent().unwrap_or(&self.bin);
        if !package.join("pg-symlinks.json").is_file() {
            return Err(LaunchError::NotRunnable {
                bin: self.bin,
                account: account.name.clone(),
            });
        }
        let copy = directory.join("programs");
        let owner = format!("{}:{}", account.uid, account.gid);
        run("cp", &["-RPp".into(), package.into(), copy.clone().into()])?;
        run("chown", &["-R".into(), owner.into(), copy.clone().into()])?;
        let copy = Self {
            bin: copy.join("bin"),
        };
        if copy.runs_under(account) {
            return Ok(copy);
        }
        Err(LaunchError::NotRunnable {
            bin: copy.bin,
            account: account.name.clone(),
        })
    }

    fn runs_under(&self, account: &Account) -> bool {
        let mut command = Command::new(self.path("postgres"));
        command
            .arg("--version")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        account.lend(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// Runs a program of the system to its end.
fn run(program: &str, arguments: &[OsString]) -> Result<(), LaunchError> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LaunchError::io(format!("run {program}"), source))?;
    LaunchError::unless_successful(program, &output)
}

/// The directories that a place's pattern stands for, those with the highest version in their names first.
fn expand(place: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in place.components() {
        let part = part.as_os_str();
        let Some((before, after)) = part.to_str().and_then(|part| part.split_once('*')) else {
            found.iter_mut().for_each(|directory| directory.push(part));
            continue;
        };
        found = found
            .iter()
            .flat_map(|directory| matching(directory, before, after))
            .collect();
    }
    found
}

/// The entries of `directory` whose names are `before`, anything, `after`; highest version first.
fn matching(directory: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(before) && name.ends_with(after))
        .collect();
    names.sort_by_cached_key(|name| std::cmp::Reverse((version(name), name.clone())));
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// The numbers in a name, for comparing: `postgresql@16` is `[16]`, `9.6` is `[9, 6]`.
fn version(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{expand, version};
    use std::fs;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("postgresql@16") > version("postgresql@9.6"));
        assert!(version("17") > version("9"));
    }

    #[test]
    fn a_place_stands_for_every_version_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "18"] {
            fs::create_dir_all(directory.path().join(name).join("bin")).unwrap();
        }
        let expected: Vec<_> = ["18", "15", "9.6"]
            .iter()
            .map(|name| directory.path().join(name).join("bin"))
            .collect();
        assert_eq!(expand(&directory.path().join("*/bin")), expected);
    }
}
