//! The servers that are compared, behind one trait: how each is started, subscribed to, resumed and published to.
//!
//! Each has the configuration that its own manual recommends for production; its file says which page says what.

mod guarded;
pub mod nchan;
pub mod node;
pub mod pushpin;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use guarded::{Guarded, free_port, until_it_answers, until_it_says_ok};

/// How a subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `text/event-stream`, for as long as the connection lasts.
    Sse,
    /// A request that is answered when there is something, and asked again.
    LongPoll,
}

/// What a subscriber resumes with: of SSE the last `id:` line's bytes; of a long poll what
/// [`Running::resume_of_poll`] gave.
pub type Resume = Vec<u8>;

/// A server that tells subscribers of rows.
pub trait Peer: Send + Sync {
    /// As the tables have it.
    fn name(&self) -> &'static str;

    /// Of the program that is installed. Errors: it isn't.
    fn version(&self) -> anyhow::Result<String>;

    fn supports(&self, transport: Transport) -> bool;

    /// Starts it on loopback, on free ports, with its own files in `directory`; returns once it answers.
    ///
    /// `database_url`: the run's private PostgreSQL, where `public.messages(id bigint generated always as identity
    /// primary key, room text not null, body text not null)` and an index on `(room, id)` exist.
    ///
    /// Errors: its program is missing, or does not answer within seconds; the end of its log is in the message.
    fn start(&self, database_url: &str, directory: &Path) -> anyhow::Result<Running>;
}

/// The requests that one server understands.
pub trait Dialect: Send + Sync {
    /// See [`Running::request`].
    fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8>;

    /// See [`Running::resume_of_poll`].
    fn resume_of_poll(&self, head: &[u8], body: &[u8]) -> Option<Resume>;

    /// See [`Running::publisher`].
    fn publisher(&self) -> Option<SocketAddr> {
        None
    }

    /// See [`Running::greeting`].
    fn greeting(&self) -> Vec<u8> {
        Vec::new()
    }

    /// See [`Running::publish`].
    fn publish(&self, _room: &str, _body: &str) -> Option<Vec<u8>> {
        None
    }
}

/// A server that runs. Dropping it ends its processes and theirs.
pub struct Running {
    /// Where subscribers connect.
    pub address: SocketAddr,
    dialect: Box<dyn Dialect>,
    processes: Vec<Guarded>,
}

impl Running {
    /// A server of these processes.
    pub fn new(address: SocketAddr, dialect: Box<dyn Dialect>, processes: Vec<Guarded>) -> Self {
        Self {
            address,
            dialect,
            processes,
        }
    }

    /// All processes whose CPU and memory count as the server's, children too, as they are at the moment.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().flat_map(Guarded::pids).collect()
    }

    /// A subscriber's whole HTTP/1.1 request head.
    pub fn request(&self, room: &str, transport: Transport, resume: Option<&[u8]>) -> Vec<u8> {
        self.dialect.request(room, transport, resume)
    }

    /// What the next long poll resumes with, of the answer to this one; `None`: the answer carries no position.
    pub fn resume_of_poll(&self, head: &[u8], body: &[u8]) -> Option<Resume> {
        self.dialect.resume_of_poll(head, body)
    }

    /// Where [`Self::publish`]'s requests go.
    pub fn publisher(&self) -> SocketAddr {
        self.dialect.publisher().unwrap_or(self.address)
    }

    /// What the writer sends first on a connection to [`Self::publisher`]; nothing where that speaks HTTP.
    pub fn greeting(&self) -> Vec<u8> {
        self.dialect.greeting()
    }

    /// Of hubs that want events pushed to them: the request that publishes a row. The writer (the application) sends it
    /// after its INSERT has returned, over one keep-alive connection, pipelined, to [`Self::publisher`]. `None`: the
    /// server hears of rows from PostgreSQL itself.
    pub fn publish(&self, room: &str, body: &str) -> Option<Vec<u8>> {
        self.dialect.publish(room, body)
    }
}

/// The value of this field (in lower case) in the head of an HTTP/1.1 answer.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (field, value) = line.split_at(colon);
        field
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| value[1..].trim_ascii())
    })
}

/// A program of this name on PATH, or where daemons are. Errors: there is none.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")]);
    directories
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("no {name}: scripts/setup.sh --bench installs it"))
}

/// How many files a process may open (getrlimit(2), the soft limit, which servers inherit).
fn descriptors() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(1_000_000)
}
