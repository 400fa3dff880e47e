//! `rowcast demo`: the main job with nothing set up.
//!
//! A private PostgreSQL ([`postgres`]) with a table `messages`, an application that fills it with some chat life
//! ([`writer`]) and lets people edit and delete ([`messages`]), a page to chat in ([`page`]), and switches on it that
//! break and mend transports ([`faults`]). Whatever ends the demo, nothing of it stays.
//!
//! ```text
//! page ── POST, subscribe ──► faults ──► the relay's routes ──► PostgreSQL ◄── writer
//!   └──── PATCH, DELETE ──► messages ───────────────────────────────┘
//! ```

mod faults;
mod messages;
mod page;
pub mod postgres;
mod site;
mod switches;
mod writer;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use tokio_postgres::{Client, NoTls};

pub use site::Site;
pub use switches::{Switches, Writing};
pub use writer::{PAUSES, Writer, start_writer, write_rows};

use crate::http::{ApiError, ErrorCode};

use postgres::{Options, Postgres};

/// The rooms that the demo writes to, and that the page knows; it opens on the first.
pub const ROOMS: [&str; 3] = ["lobby", "kitchen", "workshop"];

/// The table that the demo attaches, its room column, and the changes that are events: all, so with a journal.
pub const TABLE: &str = "public.messages";
pub const ROOM_COLUMN: &str = "room_id";
pub const CHANGES: [&str; 3] = ["insert", "update", "delete"];

const DATABASE: &str = "demo";
const PORT: u16 = 8080;

/// The demo's database: a server of its own with the table `messages` in it. Dropping it removes both.
#[derive(Debug)]
pub struct Demo {
    postgres: Postgres,
}

impl Demo {
    /// Starts the server (from the programs in `pg_bin`, where given) and makes the table. Takes about a second.
    pub async fn prepare(pg_bin: Option<PathBuf>) -> anyhow::Result<Self> {
        let options = Options {
            bin_dir: pg_bin,
            settings: Vec::new(),
        };
        let postgres = tokio::task::spawn_blocking(move || Postgres::start(&options))
            .await
            .context("the start of PostgreSQL was cut short")?
            .context("can't start a private PostgreSQL")?;
        connect(&postgres.url("postgres"))
            .await?
            .batch_execute("create database demo")
            .await?;
        let demo = Self { postgres };
        connect(&demo.database_url())
            .await?
            .batch_execute(include_str!("../../sql/demo_schema.sql"))
            .await?;
        Ok(demo)
    }

    /// The superuser's URL of the demo's database.
    pub fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// What to print once the relay listens on `address`: where to look and what to try.
    pub fn invitation(&self, address: SocketAddr) -> String {
        let room = ROOMS[0];
        let mut text = format!("\n  Watch     http://{address}/\n");
        let _ = write!(text, "\n  Database  {}\n", self.database_url());
        if let Some(psql) = self.postgres.psql_command(DATABASE) {
            let insert =
                format!("insert into messages (room_id, author, body) values ('{room}', 'psql', 'hello')");
            let _ = write!(text, "\n  Write     {psql} \\\n              -c \"{insert}\"\n");
        }
        let _ = write!(
            text,
            "\n  Follow    curl -N -H 'Accept: text/event-stream' 'http://{address}/v1/rooms/{room}/events?last=5'\n\
             \n  Ctrl-C ends the demo and removes its database.\n"
        );
        text
    }
}

/// Where to listen: as asked, else on 127.0.0.1:8080, or on a free port (0) where that one is taken.
pub fn listen_address(asked: Option<SocketAddr>) -> SocketAddr {
    asked.unwrap_or_else(|| {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        match TcpListener::bind(usual) {
            Ok(_) => usual,
            Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    })
}

/// # Errors
/// The address is one that others reach.
pub fn refuse_open(listen: SocketAddr) -> anyhow::Result<()> {
    anyhow::ensure!(
        listen.ip().is_loopback(),
        "--listen (ROWCAST_LISTEN) {listen} is not a loopback address, and everybody who reaches it could read and write what is \
         in the demo; --auth none says that this is meant"
    );
    Ok(())
}

/// A session, driven by a task that ends with it.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("can't reach the private PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The body of a request, or the problem with it.
fn json<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    body.map(|Json(value)| value).map_err(|rejection| {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::BodyTooLarge,
            _ => ErrorCode::InvalidBody,
        };
        ApiError::new(code, "The body is not the JSON object that this path takes.")
    })
}
