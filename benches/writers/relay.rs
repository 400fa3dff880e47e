//! The relay that follows a run's table, as a process of its own, and one subscriber: without any, a relay reads no
//! contents.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::server::{Database, Server};

/// How long a relay may take to start, or to catch up: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the subscriber recognises the row by that says "caught up".
const MARK: &str = "the last row of this run";

/// A relay that follows, and its subscriber. Dropping it kills it.
pub struct Follower {
    _relay: Child,
    arrived: watch::Receiver<usize>,
    marks: usize,
}

impl Follower {
    /// Starts `rowcast serve` on this database and subscribes to one of its 100 rooms.
    pub async fn start(server: &Server, database_url: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut relay = Command::new(env!("CARGO_BIN_EXE_rowcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", database_url])
            .args(arguments)
            .env_clear()
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(server.postgres.process_group())
            .kill_on_drop(true)
            .spawn()
            .context("start rowcast")?;
        let stderr = relay.stderr.take().context("stderr is piped")?;
        let (log, mut lines) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = stderr.next_line().await {
                log.send_modify(|all| {
                    all.push_str(&line);
                    all.push('\n');
                });
            }
        });
        let log = timeout(PATIENCE, lines.wait_for(|log| address(log).is_some()))
            .await
            .context("the relay does not listen")?;
        let url = match log {
            Ok(log) => address(&log).context("the wait has found it")?.to_owned(),
            Err(_) => anyhow::bail!("rowcast ended early"),
        };
        let arrived = subscribe(&format!("{url}/v1/rooms/1/events")).await?;
        Ok(Self {
            _relay: relay,
            arrived,
            marks: 0,
        })
    }

    /// Inserts a row and waits until the subscriber has it, and so all before it: how long the relay was behind.
    pub async fn catch_up(&mut self, database: &Database) -> anyhow::Result<Duration> {
        self.marks += 1;
        let wanted = self.marks;
        let began = Instant::now();
        database
            .client
            .execute(include_str!("sql/mark.sql"), &[&MARK])
            .await?;
        timeout(PATIENCE, self.arrived.wait_for(|arrived| *arrived >= wanted))
            .await
            .context("the relay does not catch up")??;
        Ok(began.elapsed())
    }
}

/// Opens an event stream, waits for its `ready`, and counts the marks that arrive.
async fn subscribe(url: &str) -> anyhow::Result<watch::Receiver<usize>> {
    let nobody = rustls::ClientConfig::builder_with_provider(rowcast::pem::cryptography())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut response = reqwest::Client::builder()
        .tls_backend_preconfigured(nobody)
        .build()?
        .get(url)
        .header("accept", "text/event-stream")
        .send()
        .await?
        .error_for_status()?;
    let (marks, arrived) = watch::channel(0);
    let (ready, mut is_ready) = watch::channel(false);
    tokio::spawn(async move {
        let mut unread = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            unread.extend_from_slice(&chunk);
            let Some(end) = unread.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let lines = String::from_utf8_lossy(&unread[..end]).into_owned();
            unread.drain(..=end);
            if lines.lines().any(|line| line == "event: ready") {
                ready.send_replace(true);
            }
            let found = lines.matches(MARK).count();
            if found > 0 {
                marks.send_modify(|marks| *marks += found);
            }
        }
    });
    timeout(PATIENCE, is_ready.wait_for(|ready| *ready))
        .await
        .context("the subscriber does not become ready")??;
    Ok(arrived)
}

/// The address in a line of the relay's log that says `listening`.
fn address(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let from = &line[line.find("http://")?..];
    let end = from
        .find(|c: char| c.is_whitespace() || "\"',;".contains(c))
        .unwrap_or(from.len());
    Some(&from[..end])
}
