//! A real HAProxy with the configuration of deploy/haproxy, but for its addresses.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::pooler::program;
use super::wait::eventually;

/// The documented configuration.
pub const CONFIGURATION: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");

/// A running HAProxy; ends when dropped.
pub struct Haproxy {
    process: Child,
    /// What it listens on, `http://ADDRESS`.
    pub url: String,
    _directory: TempDir,
}

impl Haproxy {
    /// Starts one before two relays, `http://ADDRESS` each; returns when it takes connections.
    pub async fn start(relays: [&str; 2]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        drop(listener);
        let [one, other] = relays.map(|url| url.trim_start_matches("http://"));
        let places = [
            ("bind :80\n", format!("bind {address}\n")),
            ("10.0.0.11:8080", one.to_owned()),
            ("10.0.0.12:8080", other.to_owned()),
        ];
        let mut text = CONFIGURATION.to_owned();
        for (place, own) in places {
            assert_eq!(text.matches(place).count(), 1, "{place} in haproxy.cfg");
            text = text.replace(place, &own);
        }
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("write the configuration");
        let process = Command::new(program("haproxy"))
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start haproxy");
        eventually(async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
        Self {
            process,
            url: format!("http://{address}"),
            _directory: directory,
        }
    }

    /// What `haproxy -c` says about the file as it is committed: whether it is good, and its words.
    pub fn check() -> (bool, String) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy/haproxy.cfg");
        let checked = Command::new(program("haproxy"))
            .args(["-c", "-f"])
            .arg(file)
            .output();
        let checked = checked.expect("run haproxy");
        let said = [checked.stdout, checked.stderr].concat();
        (
            checked.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
