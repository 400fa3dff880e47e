//! The process of a limit: lets subscribers in while it is idle, and writes a load when it is told to.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::Form;
use super::log::Log;
use crate::clock;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The listener among the sockets.
const LISTENER: u64 = u64::MAX;

/// Connects that may wait: a storm of them.
const BACKLOG: i32 = 4096;

/// After a load, how long sockets may take what waits for them.
const PATIENCE: u64 = 10_000_000_000;

/// Serves with what stands behind [`super::ARGUMENT`]: form and address. It ends with its owner.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let [form, address] = arguments else {
        bail!("want each|joined ADDRESS");
    };
    let form = match form.as_str() {
        "each" => Form::Each,
        _ => Form::Joined,
    };
    clock::raise_descriptors();
    let mut server = Server::bind(address.parse()?, form)?;
    loop {
        server.turn()?;
    }
}

struct Server {
    form: Form,
    listener: TcpListener,
    epoll: std::os::fd::OwnedFd,
    /// Those who have asked nothing yet, by number.
    silent: HashMap<u64, TcpStream>,
    next: u64,
    rooms: Vec<Log>,
    /// Of the last row, of all rooms.
    id: u64,
    /// Rooms that have frames which somebody does not have.
    unfinished: Vec<usize>,
}

impl Server {
    fn bind(address: SocketAddr, form: Form) -> anyhow::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener: TcpListener = socket.into();
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self {
            form,
            listener,
            epoll,
            silent: HashMap::new(),
            next: 0,
            rooms: Vec::new(),
            id: 0,
            unfinished: Vec::new(),
        })
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                number => self.asked(number)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            epoll::add(
                &self.epoll,
                &socket,
                EventData::new_u64(self.next),
                EventFlags::IN,
            )?;
            self.silent.insert(self.next, socket);
            self.next += 1;
        }
    }

    /// A request came, whole, as this benchmark's are: they are small.
    fn asked(&mut self, number: u64) -> anyhow::Result<()> {
        let mut request = [0; 512];
        let Some(socket) = self.silent.get_mut(&number) else {
            return Ok(());
        };
        let Ok(read @ 1..) = socket.read(&mut request) else {
            self.silent.remove(&number);
            return Ok(());
        };
        let line = String::from_utf8_lossy(&request[..read]).into_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["GET", room, ..] => {
                let room = room
                    .trim_start_matches("/room-")
                    .parse()
                    .context("a room's number")?;
                let mut socket = self.silent.remove(&number).context("it is there")?;
                // A stream says nothing more; that it ends is seen when it is written to.
                epoll::delete(&self.epoll, &socket)?;
                socket.write_all(HEAD)?;
                self.room(room).subscribe(socket);
            }
            ["RUN", rate, rows, size, rooms, ..] => {
                let (rate, rows) = (rate.parse()?, rows.parse()?);
                let rows = self.run(rate, rows, size.parse()?, rooms.parse()?);
                let mut socket = self.silent.get(&number).context("it is there")?;
                socket.write_all(format!("{rows}\n").as_bytes())?;
            }
            _ => bail!("not understood: {line}"),
        }
        Ok(())
    }

    fn room(&mut self, room: usize) -> &mut Log {
        if self.rooms.len() <= room {
            self.rooms.resize_with(room + 1, Log::default);
        }
        &mut self.rooms[room]
    }

    /// Writes a load; returns how many rows. Where it is slower than the pace it goes on for a second at most.
    fn run(&mut self, rate: f64, rows: u64, size: usize, rooms: usize) -> u64 {
        self.room(rooms.saturating_sub(1));
        self.rooms.iter_mut().for_each(Log::clear);
        let began = clock::now();
        let end = began + (rows as f64 / rate * 1e9) as u64 + 1_000_000_000;
        let mut written = 0;
        while written < rows && clock::now() < end {
            let due = ((clock::now() - began) as f64 / 1e9 * rate) as u64 + 1;
            // One after the other, or all that are due at once.
            let due = match self.form {
                Form::Each => due.min(written + 1),
                Form::Joined => due,
            };
            let first = written;
            while written < due.min(rows) {
                let room = (written % rooms as u64) as usize;
                self.id += 1;
                self.rooms[room].append(self.id, room, size);
                if !self.unfinished.contains(&room) {
                    self.unfinished.push(room);
                }
                written += 1;
            }
            self.write();
            if written == first {
                let next = began + (written as f64 / rate * 1e9) as u64;
                // Sockets that were full are looked at again soon.
                let soon = clock::now() + Duration::from_micros(100).as_nanos() as u64;
                clock::sleep_until(if self.unfinished.is_empty() {
                    next
                } else {
                    next.min(soon)
                });
            }
        }
        let end = clock::now() + PATIENCE;
        while !self.unfinished.is_empty() && clock::now() < end {
            self.write();
            std::thread::sleep(Duration::from_micros(100));
        }
        self.unfinished.clear();
        written
    }

    fn write(&mut self) {
        let (rooms, form) = (&mut self.rooms, self.form);
        self.unfinished.retain(|room| !rooms[*room].write(form));
    }
}
