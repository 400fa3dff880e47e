//! One subscriber: its socket, what it waits for, what it has seen.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::Answer;
use crate::marks::Tail;
use crate::peers::Resume;
use crate::seen::Seen;

/// Connections from one source address. A machine lends some 28,000 ports to one.
const OF_ONE_ADDRESS: usize = 25_000;

/// What a subscriber does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has no socket, or none any more.
    Closed,
    /// Its socket connects; then it asks.
    Connecting,
    /// It has asked for a stream and waits for the head of the answer.
    Head,
    /// Rows come.
    Stream,
    /// It has asked a long poll.
    Poll,
}

pub struct Connection {
    pub socket: Option<TcpStream>,
    pub phase: Phase,
    pub room: usize,
    pub tail: Tail,
    pub seen: Seen,
    pub answer: Answer,
    /// What it comes back with.
    pub resume: Option<Resume>,
    /// Of streams, where ids are kept.
    pub ids: Option<Box<LastId>>,
}

impl Connection {
    /// A subscriber of this room, not yet connected.
    pub fn new(room: usize, keeps_ids: bool) -> Self {
        Self {
            socket: None,
            phase: Phase::Closed,
            room,
            tail: Tail::EMPTY,
            seen: Seen::default(),
            answer: Answer::default(),
            resume: None,
            ids: keeps_ids.then(Box::default),
        }
    }

    /// Begins to connect, as number `index` of all subscribers.
    pub fn open(&mut self, index: usize, address: SocketAddr) -> io::Result<&TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if index >= OF_ONE_ADDRESS {
            let last = u8::try_from(1 + index / OF_ONE_ADDRESS).map_err(io::Error::other)?;
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            socket.bind(&source.into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => (),
        }
        self.tail = Tail::EMPTY;
        self.answer.clear();
        self.phase = Phase::Connecting;
        Ok(self.socket.insert(socket.into()))
    }

    /// Closes it, and keeps what it needs to come back.
    pub fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Closed;
        if let Some(ids) = &mut self.ids
            && !ids.id.is_empty()
        {
            self.resume = Some(ids.id.clone());
            ids.line.clear();
        }
    }

    /// Sends a request; it is small enough for any socket's buffer.
    pub fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let mut socket = self.socket.as_ref().context("who asks is connected")?;
        if let Some(error) = socket.take_error()? {
            return Err(error).context("connect");
        }
        socket.write_all(request).context("send a request")
    }
}

/// The last `id:` line of a stream (HTML standard, 9.2.6), found whatever pieces it comes in.
#[derive(Default)]
pub struct LastId {
    line: Vec<u8>,
    id: Vec<u8>,
}

impl LastId {
    /// Bytes of a line that are kept: ids are shorter.
    const LONGEST: usize = 16 << 10;

    pub fn take(&mut self, read: &[u8]) {
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() < Self::LONGEST {
                self.line.extend_from_slice(piece);
            }
            if !piece.ends_with(b"\n") {
                return;
            }
            if let Some(id) = self.line.strip_prefix(b"id:") {
                self.id.clear();
                self.id.extend_from_slice(id.trim_ascii());
            }
            self.line.clear();
        }
    }
}
