//! nginx with Nchan, the module that makes it a hub: the application publishes to it, it keeps the last messages of a
//! channel in shared memory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{Dialect, Guarded, Peer, Resume, Running, Transport, free_port, header, until_it_answers};

/// Where Debian and others put a module.
const MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/share/nginx/modules/ngx_nchan_module.so",
];

/// nginx with Nchan.
pub struct Nchan;

impl Peer for Nchan {
    fn name(&self) -> &'static str {
        "Nchan"
    }

    fn version(&self) -> anyhow::Result<String> {
        module()?;
        let nginx = Command::new(program()?).arg("-v").output()?;
        let nginx = String::from_utf8_lossy(&nginx.stderr).trim().to_owned();
        let nginx = nginx.rsplit('/').next().unwrap_or("?").to_owned();
        let package = Command::new("dpkg-query")
            .args(["-W", "-f", "${Version}", "libnginx-mod-nchan"])
            .output();
        let nchan = package.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        Ok(format!(
            "nginx {nginx}, Nchan {}",
            nchan.as_deref().unwrap_or("?")
        ))
    }

    fn supports(&self, _transport: Transport) -> bool {
        true
    }

    fn start(&self, _database_url: &str, directory: &Path) -> anyhow::Result<Running> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let files = super::descriptors();
        let user = match rustix::process::geteuid().is_root() {
            true => "user root;",
            false => "",
        };
        let settings = include_str!("nchan/nginx.conf")
            .replace("{module}", &module()?.display().to_string())
            .replace("{user}", user)
            .replace("{directory}", &directory.display().to_string())
            .replace("{files}", &files.to_string())
            .replace("{connections}", &files.to_string())
            .replace("{address}", &address.to_string());
        let file = directory.join("nginx.conf");
        fs::write(&file, settings).with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new(program()?);
        command
            .arg("-p")
            .arg(directory)
            .arg("-e")
            .arg(directory.join("error.log"))
            .arg("-c")
            .arg(&file);
        let mut nginx = Guarded::start(&mut command, &directory.join("nginx.log"))?;
        until_it_answers(&mut nginx, address).context("nginx")?;
        Ok(Running::new(address, Box::new(Hub), vec![nginx]))
    }
}

/// The locations of `nchan/nginx.conf`.
struct Hub;

impl Dialect for Hub {
    fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8> {
        let (location, accept) = match transport {
            Transport::Sse => ("sse", "text/event-stream"),
            Transport::LongPoll => ("poll", "*/*"),
        };
        let mut request =
            format!("GET /{location}/{room} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n")
                .into_bytes();
        match (transport, resume) {
            (_, None) => {}
            (Transport::Sse, Some(id)) => {
                request.extend_from_slice(b"Last-Event-ID: ");
                request.extend_from_slice(id);
                request.extend_from_slice(b"\r\n");
            }
            // Already as header lines.
            (Transport::LongPoll, Some(fields)) => request.extend_from_slice(fields),
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    /// A browser's cache does it by itself: `Last-Modified` and `Etag` come back as conditions.
    fn resume_of_poll(&self, head: &[u8], _body: &[u8]) -> Option<Resume> {
        let (modified, tag) = (header(head, "last-modified")?, header(head, "etag")?);
        let mut fields = b"If-Modified-Since: ".to_vec();
        fields.extend_from_slice(modified);
        fields.extend_from_slice(b"\r\nIf-None-Match: ");
        fields.extend_from_slice(tag);
        fields.extend_from_slice(b"\r\n");
        Some(fields)
    }

    fn publish(&self, room: &str, body: &str) -> Option<Vec<u8>> {
        let length = body.len();
        Some(
            format!(
                "POST /publish/{room} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }
}

/// Errors: no nginx is installed.
fn program() -> anyhow::Result<PathBuf> {
    super::program("nginx")
}

/// Errors: nginx has no Nchan.
fn module() -> anyhow::Result<PathBuf> {
    match MODULES.iter().map(PathBuf::from).find(|module| module.is_file()) {
        Some(module) => Ok(module),
        None => bail!("no Nchan: scripts/setup.sh --bench installs Debian's libnginx-mod-nchan"),
    }
}
