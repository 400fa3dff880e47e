//! A server written by hand, `node/server.mjs`: Node, `pg`, LISTEN, plain Server-Sent Events.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{Dialect, Guarded, Peer, Resume, Running, Transport, free_port, header, until_it_answers};

/// The server of `node/server.mjs`.
pub struct Node;

impl Peer for Node {
    fn name(&self) -> &'static str {
        "Node"
    }

    fn version(&self) -> anyhow::Result<String> {
        let (node, pg) = versions()?;
        Ok(format!("Node {node}, pg {pg}, LISTEN, hand-written"))
    }

    fn supports(&self, _transport: Transport) -> bool {
        true
    }

    fn start(&self, database_url: &str, directory: &Path) -> anyhow::Result<Running> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let server = script("server.mjs", database_url, address, directory)?;
        Ok(Running::new(address, Box::new(Server), vec![server]))
    }
}

/// Node's version and `pg`'s. Errors: one of them isn't there.
pub(super) fn versions() -> anyhow::Result<(String, String)> {
    let node = Command::new(super::program("node")?).arg("--version").output()?;
    let package = package().join("node_modules/pg/package.json");
    let Ok(pg) = std::fs::read_to_string(package) else {
        bail!("no npm package pg: scripts/setup.sh --bench installs it");
    };
    let pg: serde_json::Value = serde_json::from_str(&pg)?;
    Ok((
        String::from_utf8_lossy(&node.stdout)
            .trim()
            .trim_start_matches('v')
            .to_owned(),
        pg["version"].as_str().unwrap_or("?").to_owned(),
    ))
}

/// Starts a program of `node/` that listens at this address, and waits until it does.
pub(super) fn script(
    name: &str,
    database_url: &str,
    address: SocketAddr,
    directory: &Path,
) -> anyhow::Result<Guarded> {
    versions()?;
    let mut command = Command::new(super::program("node")?);
    command
        .arg(package().join(name))
        .env("NODE_ENV", "production")
        .env("PORT", address.port().to_string())
        .env("DATABASE_URL", database_url);
    let mut process = Guarded::start(&mut command, &directory.join(format!("{name}.log")))?;
    until_it_answers(&mut process, address).with_context(|| name.to_owned())?;
    Ok(process)
}

fn package() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/relays/peers/node"))
}

/// The paths of `server.mjs`; of `origin.mjs`, too.
pub(super) struct Server;

impl Dialect for Server {
    fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8> {
        let resume = resume.map(String::from_utf8_lossy);
        let (target, accept, last) = match (transport, resume) {
            (Transport::Sse, None) => (format!("/sse/{room}"), "text/event-stream", String::new()),
            (Transport::Sse, Some(id)) => (
                format!("/sse/{room}"),
                "text/event-stream",
                format!("Last-Event-ID: {id}\r\n"),
            ),
            (Transport::LongPoll, None) => (format!("/poll/{room}"), "application/json", String::new()),
            (Transport::LongPoll, Some(after)) => (
                format!("/poll/{room}?after={after}"),
                "application/json",
                String::new(),
            ),
        };
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{last}\r\n").into_bytes()
    }

    fn resume_of_poll(&self, head: &[u8], _body: &[u8]) -> Option<Resume> {
        header(head, "x-cursor").map(<[u8]>::to_vec)
    }
}
