//! A PgBouncer before the tests' server: what Rowcast meets in managed databases. Its sessions are the relays' role's.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{eventually, server};

/// What the pooler does with the start-up parameter `options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupOptions {
    Refused,
    Ignored,
}

/// When a server's session is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    Transaction,
    Session,
}

/// A running PgBouncer; ends when dropped.
pub struct Pooler {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Pooler {
    /// Starts one in transaction mode before the server that the tests share.
    pub async fn start(options: StartupOptions) -> Self {
        Self::start_in(PoolMode::Transaction, options).await
    }

    /// The same in either mode.
    pub async fn start_in(mode: PoolMode, options: StartupOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ignored = match options {
            StartupOptions::Refused => "extra_float_digits",
            StartupOptions::Ignored => "extra_float_digits, options",
        };
        // In session mode each of the relay's keeps a server's session to itself.
        let (mode, size) = match mode {
            PoolMode::Transaction => ("transaction", 2),
            PoolMode::Session => ("session", 20),
        };
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=relay password=secret\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {size}\nserver_tls_sslmode = disable\n\
             ignore_startup_parameters = {ignored}\n",
            server().port(),
        );
        let path = directory.path().join("pgbouncer.ini");
        std::fs::write(&path, ini).unwrap();
        for (path, mode) in [(directory.path(), 0o755), (path.as_path(), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Self {
            process: spawn(&path, port).await,
            port,
            directory,
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, on the same port.
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.directory.path().join("pgbouncer.ini"), self.port).await;
    }

    /// The URL of a database through the pooler, for relays.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://relay@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns when it takes connections.
async fn spawn(ini: &Path, port: u16) -> Child {
    let mut command = Command::new(program("pgbouncer"));
    command
        .arg("--quiet")
        .arg(ini)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        // It refuses to run as root; any other user will do.
        command.uid(65_534).gid(65_534);
    }
    let process = command.spawn().expect("start pgbouncer");
    eventually(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    process
}

/// Where a daemon's program is.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    directories
        .map(|directory: PathBuf| directory.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is installed (make test does it; Debian: apt-get install {name})"))
}
