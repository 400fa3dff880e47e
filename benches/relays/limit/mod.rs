//! The limit: one thread, a process of its own, that writes the frames a relay would write to as many sockets, with nothing
//! else: no database, no routing, no timers. What any server can be held against.

mod log;
mod server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;

pub use server::serve;

use crate::clock;
use crate::peers::{Dialect, Guarded, Peer, Resume, Running, Transport, free_port, until_it_answers};
use crate::rows::{Load, Rows};
use crate::writer::{Pen, Written};

/// What the program is called with to be the server.
pub const ARGUMENT: &str = "serve-the-limit";

/// How frames get into sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A write for each frame and socket.
    Each,
    /// All frames that wait for a socket in one write.
    Joined,
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Joined => "joined",
        }
    }
}

/// One of the two limits.
pub struct Limit(pub Form);

impl Peer for Limit {
    fn name(&self) -> &'static str {
        match self.0 {
            Form::Each => "limit",
            Form::Joined => "limit, joined",
        }
    }

    fn version(&self) -> anyhow::Result<String> {
        Ok("this program".to_owned())
    }

    fn supports(&self, transport: Transport) -> bool {
        transport == Transport::Sse
    }

    fn start(&self, _database_url: &str, directory: &Path) -> anyhow::Result<Running> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(std::env::current_exe()?);
        command.args([ARGUMENT, self.0.as_str(), &address.to_string()]);
        let mut process = Guarded::start(&mut command, &directory.join("limit.log"))?;
        until_it_answers(&mut process, address)?;
        Ok(Running::new(address, Box::new(Frames), vec![process]))
    }
}

/// The room alone.
struct Frames;

impl Dialect for Frames {
    fn request(&self, room: &str, _transport: Transport, _resume: Option<&[u8]>) -> Vec<u8> {
        format!("GET /{room} HTTP/1.1\r\n\r\n").into_bytes()
    }

    fn resume_of_poll(&self, _head: &[u8], _body: &[u8]) -> Option<Resume> {
        None
    }
}

/// Tells the limit's server what to write: it keeps the pace by itself.
pub struct Orders {
    connection: BufReader<TcpStream>,
    rows: Arc<Rows>,
}

impl Orders {
    pub fn new(running: &Running, rows: Arc<Rows>) -> anyhow::Result<Self> {
        let connection = TcpStream::connect(running.address).context("connect to the limit")?;
        Ok(Self {
            connection: BufReader::new(connection),
            rows,
        })
    }
}

impl Pen for Orders {
    fn write(&mut self, load: Load) -> anyhow::Result<Written> {
        let began = clock::now();
        let order = format!(
            "RUN {} {} {} {} HTTP/1.1\r\n\r\n",
            load.rate,
            load.rows(),
            load.size,
            self.rows.rooms()
        );
        self.connection.get_mut().write_all(order.as_bytes())?;
        let mut answer = String::new();
        self.connection.read_line(&mut answer)?;
        let rows: u64 = answer.trim().parse().context("the limit's server fails")?;
        // It takes the rooms by turns, from the first, a load like the other.
        let rooms = self.rows.rooms() as u64;
        for room in 0..rooms {
            let more = rows / rooms + u64::from(room < rows % rooms);
            if more > 0 {
                let room = room as usize;
                self.rows.wrote(room, self.rows.last(room) + more, 0);
            }
        }
        Ok(Written {
            rows,
            rows_per_statement: 1,
            seconds: (clock::now() - began) as f64 / 1e9,
        })
    }
}
