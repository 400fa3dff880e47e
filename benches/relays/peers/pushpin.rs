//! Pushpin: a proxy that holds requests open for an application. The application (`node/origin.mjs`) answers each
//! subscriber first, and publishes to Pushpin's ZeroMQ socket: the HTTP control port closes a connection after each answer.
//! Its origin's CPU and memory count as its own: without one it does nothing.
//!
//! Of a thousand streams that connect it cuts up to a dozen off once they are let in (its log: "received message out of
//! sequence"). Condure tells the proxy now and then that connections are alive; for one that is just being handed over that
//! takes up a number, which the handler then misses. No setting is for that. Their clients come back, as browsers do.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::node::Server;
use super::{
    Dialect, Guarded, Peer, Resume, Running, Transport, free_port, until_it_answers, until_it_says_ok,
};

/// Where items are published in the default configuration (`push_in_spec`), and its other ports: `port_offset` moves them
/// together.
const PUSH_PORT: u16 = 5560;
const CONTROL_PORTS: std::ops::RangeInclusive<u16> = 5560..=5563;

/// Debian's Pushpin, with Condure in front and Zurl behind.
pub struct Pushpin;

impl Peer for Pushpin {
    fn name(&self) -> &'static str {
        "Pushpin"
    }

    fn version(&self) -> anyhow::Result<String> {
        super::node::versions()?;
        let condure = Command::new(super::program("condure")?)
            .arg("--version")
            .output()?;
        let pushpin = Command::new(super::program("pushpin")?)
            .arg("--version")
            .output()?;
        let version = |said: &[u8]| {
            let said = String::from_utf8_lossy(said).trim().to_owned();
            said.rsplit(' ').next().unwrap_or("?").to_owned()
        };
        Ok(format!(
            "Pushpin {}, Condure {}, an origin in Node",
            version(&pushpin.stdout),
            version(&condure.stdout)
        ))
    }

    fn supports(&self, _transport: Transport) -> bool {
        true
    }

    fn start(&self, database_url: &str, directory: &Path) -> anyhow::Result<Running> {
        let origin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let offset = free_offset().context("no four free ports for Pushpin")?;
        let push = SocketAddr::from((Ipv4Addr::LOCALHOST, PUSH_PORT + offset));
        let origin_process = super::node::script("origin.mjs", database_url, origin, directory)?;
        // Condure ends if it may open fewer than it is told; some are for itself.
        let connections = super::descriptors().saturating_sub(500);
        let settle = |name: &str, settings: &str| -> anyhow::Result<PathBuf> {
            let settings = settings
                .replace("{directory}", &directory.display().to_string())
                .replace("{address}", &address.to_string())
                .replace("{connections}", &connections.to_string())
                .replace("{offset}", &offset.to_string());
            let file = directory.join(name);
            fs::write(&file, settings).with_context(|| format!("write {}", file.display()))?;
            Ok(file)
        };
        let zurl_settings = settle("zurl.conf", include_str!("pushpin/zurl.conf"))?;
        let mut command = Command::new(super::program("zurl")?);
        // It takes the name only in one argument with the flag.
        command.arg(format!("--config={}", zurl_settings.display()));
        let zurl = Guarded::start(&mut command, &directory.join("zurl.log"))?;
        let file = settle("pushpin.conf", include_str!("pushpin/pushpin.conf"))?;
        // pushpin.org/docs/configuration, "routes"
        fs::write(directory.join("routes"), format!("* {origin}\n"))?;
        let mut command = Command::new(super::program("pushpin")?);
        command.arg("--merge-output").arg("--config").arg(&file);
        let mut pushpin = Guarded::start(&mut command, &directory.join("pushpin.log"))?;
        // Its parts connect to each other after they listen.
        let request = Server.request("nobody", Transport::Sse, None);
        until_it_says_ok(&mut pushpin, address, &request).context("pushpin")?;
        until_it_answers(&mut pushpin, push).context("pushpin's PULL socket")?;
        let dialect = Proxy { push };
        Ok(Running::new(
            address,
            Box::new(dialect),
            vec![pushpin, zurl, origin_process],
        ))
    }
}

/// What to add to the ports of the default configuration so that all of them are free.
fn free_offset() -> Option<u16> {
    (0..20_000).step_by(100).find(|offset| {
        CONTROL_PORTS
            .clone()
            .all(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port + offset)).is_ok())
    })
}

struct Proxy {
    push: SocketAddr,
}

impl Dialect for Proxy {
    fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8> {
        let request = Server.request(room, transport, resume);
        match transport {
            // Condure cuts chunks wherever its buffer ends, inside of a number that the load client looks for, too. To
            // HTTP/1.0 it sends no chunks.
            Transport::Sse => String::from_utf8_lossy(&request)
                .replacen("HTTP/1.1", "HTTP/1.0", 1)
                .into_bytes(),
            Transport::LongPoll => request,
        }
    }

    fn resume_of_poll(&self, head: &[u8], body: &[u8]) -> Option<Resume> {
        Server.resume_of_poll(head, body)
    }

    fn publisher(&self) -> Option<SocketAddr> {
        Some(self.push)
    }

    /// pushpin.org/docs/usage, "Publishing", and docs/advanced, "Sequence IDs": an item with its id and that of the
    /// one before, in a format for each transport. `no-seq`: one writer needs no reordering.
    fn publish(&self, room: &str, body: &str) -> Option<Vec<u8>> {
        // The marker that every row begins with; a room's numbers begin with 1.
        let number = body.get(5..17).unwrap_or_default();
        let before = number.parse::<u64>().unwrap_or_default().saturating_sub(1);
        let before = format!("{before:012}");
        let item = serde_json::json!({
            "channel": room,
            "id": number,
            "prev-id": before,
            "no-seq": true,
            "formats": {
                "http-stream": {"content": format!("id: {number}\ndata: {body}\n\n")},
                "http-response": {
                    "headers": {"Content-Type": "application/json", "X-Cursor": number},
                    "body": format!("[{}]", serde_json::Value::from(body)),
                },
            },
        });
        // The letter says that it is JSON.
        Some(frame(LONG_MESSAGE, format!("J{item}").as_bytes()))
    }

    /// The greeting of ZMTP 3.0 without security, and the command that says what kind of socket this is
    /// (rfc.zeromq.org/spec/23).
    fn greeting(&self) -> Vec<u8> {
        let mut greeting = vec![0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        greeting.extend(frame(LONG_COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x04PUSH"));
        greeting
    }
}

/// The flags of a frame whose length has eight bytes (rfc.zeromq.org/spec/23, "Framing").
const LONG_MESSAGE: u8 = 0b010;
const LONG_COMMAND: u8 = 0b110;

fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend((content.len() as u64).to_be_bytes());
    frame.extend(content);
    frame
}
