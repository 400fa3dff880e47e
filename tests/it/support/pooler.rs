//! A PgBouncer in transaction mode before the tests' server: what Rowcast meets in managed databases. Its sessions are the
//! relays' role's.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{eventually, server};

/// What the pooler does with the start-up parameter `options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupOptions {
    Refused,
    Ignored,
}

/// A running PgBouncer; ends when dropped.
pub struct Pooler {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Pooler {
    /// Starts one before the server that the tests share.
    pub async fn start(options: StartupOptions) -> Self {
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
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=relay password=secret\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 2\nserver_tls_sslmode = disable\n\
             ignore_startup_parameters = {ignored}\n",
            server().port(),
        );
        let path = directory.path().join("pgbouncer.ini");
        std::fs::write(&path, ini).unwrap();
        for (path, mode) in [(directory.path(), 0o755), (path.as_path(), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut command = Command::new(program());
        command
            .arg("--quiet")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root; any other user will do.
            command.uid(65_534).gid(65_534);
        }
        let process = command.spawn().expect("start pgbouncer");
        eventually(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Self {
            process,
            port,
            _directory: directory,
        }
    }

    /// The URL of a database through the pooler, for relays.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://relay@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    directories
        .map(|directory: PathBuf| directory.join("pgbouncer"))
        .find(|program| program.is_file())
        .expect("pgbouncer is installed (make test does it; Debian: apt-get install pgbouncer)")
}
