//! Rowcast itself: the built program, attached, serving with its own defaults.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use url::Url;

use crate::peers::{Dialect, Guarded, Peer, Resume, Running, Transport, free_port, until_it_answers};

/// How long a long poll waits, in seconds: longer than a run.
const WAIT: u32 = 60;

/// A relay with these options beside its address and database.
pub struct Rowcast {
    name: &'static str,
    options: &'static [&'static str],
}

impl Rowcast {
    /// As a user has it.
    pub const USUAL: Self = Self {
        name: "Rowcast",
        options: &[],
    };

    /// With rings too small for what is missed, so that it is read from the table.
    pub const FROM_TABLE: Self = Self {
        name: "Rowcast, from the table",
        options: &["--ring-events", "10"],
    };
}

impl Peer for Rowcast {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> anyhow::Result<String> {
        Ok(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn supports(&self, _transport: Transport) -> bool {
        true
    }

    fn start(&self, database_url: &str, directory: &Path) -> anyhow::Result<Running> {
        let program = env!("CARGO_BIN_EXE_rowcast");
        let attached = Command::new(program)
            .args([
                "attach",
                "messages",
                "--room",
                "room",
                "--database-url",
                database_url,
            ])
            .output()
            .context("run rowcast attach")?;
        anyhow::ensure!(
            attached.status.success(),
            "rowcast attach: {}",
            String::from_utf8_lossy(&attached.stderr)
        );
        // A role of the least rights, with the same password.
        let mut relay_url = Url::parse(database_url)?;
        relay_url
            .set_username("relay")
            .map_err(|()| anyhow::anyhow!("a URL without a host"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(program);
        command
            .args(["serve", "--auth", "none", "--database-url", relay_url.as_str()])
            .args(["--listen", &address.to_string()])
            .args(self.options)
            .env_clear()
            .env("NO_COLOR", "1");
        let mut process = Guarded::start(&mut command, &directory.join("rowcast.log"))?;
        until_it_answers(&mut process, address)?;
        Ok(Running::new(address, Box::new(Events), vec![process]))
    }
}

/// `/v1/rooms/{room}/events`.
struct Events;

impl Dialect for Events {
    fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8> {
        let resume = resume.map(String::from_utf8_lossy);
        let (query, accept) = match transport {
            Transport::Sse => (String::new(), "text/event-stream"),
            Transport::LongPoll => (format!("?wait={WAIT}"), "application/json"),
        };
        let mut request =
            format!("GET /v1/rooms/{room}/events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n");
        if let Some(cursor) = resume {
            request.push_str(&format!("Last-Event-ID: {cursor}\r\n"));
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    fn resume_of_poll(&self, _head: &[u8], body: &[u8]) -> Option<Resume> {
        // Behind the events, so that no row can pass for it.
        const MEMBER: &[u8] = b"\"cursor\":\"";
        let at = memchr::memmem::rfind(body, MEMBER)? + MEMBER.len();
        let end = memchr::memchr(b'"', &body[at..])?;
        Some(body[at..at + end].to_vec())
    }
}
