//! All subscribers of a run, and the loop that serves them.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use super::answer::{Answer, Whole};
use super::connection::{Connection, Phase};
use super::measured::Measured;
use crate::clock;
use crate::marks::{self, Mark, Window};
use crate::peers::{Running, Transport};
use crate::rows::{Rows, room_name};

/// Sockets that one wait tells about.
const EVENTS: usize = 1024;

/// The longest a wait lasts, so that what is waited for outside of the sockets is seen.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// Who subscribes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Spread over the rooms evenly.
    pub subscribers: usize,
    pub transport: Transport,
    /// Connects that may be under way at a time: few are a ramp, all are a storm.
    pub at_once: usize,
    /// Do streams note their ids, to come back with?
    pub keeps_ids: bool,
}

impl Plan {
    /// Connects under way of a ramp.
    const RAMP: usize = 64;

    /// Streams that connect at an easy pace.
    pub fn streams(subscribers: usize) -> Self {
        Self {
            subscribers,
            transport: Transport::Sse,
            at_once: Self::RAMP,
            keeps_ids: false,
        }
    }

    /// The same over long polls.
    pub fn polls(subscribers: usize) -> Self {
        Self {
            transport: Transport::LongPoll,
            ..Self::streams(subscribers)
        }
    }
}

pub struct Crowd {
    epoll: OwnedFd,
    events: Vec<Event>,
    window: Window,
    connections: Vec<Connection>,
    transport: Transport,
    running: Arc<Running>,
    rows: Arc<Rows>,
    /// Set by Ctrl-C.
    stopped: Arc<AtomicBool>,
    /// Numbers of those who are to connect.
    waiting: VecDeque<usize>,
    /// Those who connect, or wait for the head of their stream.
    opening: usize,
    at_once: usize,
    measured: Measured,
}

impl Crowd {
    /// Nobody is connected yet: [`Self::connect`].
    pub fn new(
        plan: Plan,
        running: Arc<Running>,
        rows: Arc<Rows>,
        stopped: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let connection = |number| Connection::new(number % rows.rooms(), plan.keeps_ids);
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            window: Window::new(),
            connections: (0..plan.subscribers).map(connection).collect(),
            transport: plan.transport,
            running,
            rows,
            stopped,
            waiting: VecDeque::new(),
            opening: 0,
            at_once: plan.at_once,
            measured: Measured::new(),
        })
    }

    /// Begins to connect all who are not connected, `at_once` at a time. [`Self::is_connected`] says when all are.
    pub fn connect(&mut self, at_once: usize) {
        self.at_once = at_once;
        let closed = |(number, connection): (usize, &Connection)| {
            (connection.phase == Phase::Closed).then_some(number)
        };
        self.waiting = self.connections.iter().enumerate().filter_map(closed).collect();
    }

    /// As planned.
    pub fn begin(&mut self) {
        self.connect(self.at_once);
    }

    /// Has everybody been let in?
    pub fn is_connected(&self) -> bool {
        self.waiting.is_empty() && self.opening == 0
    }

    /// Cuts everybody off.
    pub fn cut(&mut self) {
        self.connections.iter_mut().for_each(Connection::close);
        self.opening = 0;
    }

    /// Has a server closed somebody's connection?
    pub fn is_cut_off(&self) -> bool {
        self.connections.iter().any(|one| one.phase == Phase::Closed)
    }

    /// Has everybody got a row?
    pub fn has_begun(&self) -> bool {
        self.connections.iter().all(|one| one.seen.has_begun())
    }

    /// Has everybody got the last row of their room?
    pub fn has_caught_up(&self) -> bool {
        self.connections
            .iter()
            .all(|one| one.seen.has_reached(self.rows.last(one.room)))
    }

    /// Bytes read since [`Self::take`].
    pub fn bytes(&self) -> u64 {
        self.measured.counts.bytes
    }

    /// What was observed since it was last taken. With `is_over` whatever has not come is lost.
    pub fn take(&mut self, is_over: bool) -> Measured {
        if is_over {
            for one in &mut self.connections {
                let last = self.rows.last(one.room);
                one.seen.end(last, &mut self.measured.counts);
            }
        }
        std::mem::replace(&mut self.measured, Measured::new())
    }

    /// Serves the sockets until `done`, asked after each turn, says so; `false`: `patience` was over before.
    pub fn run_until(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let deadline = clock::now() + patience.as_nanos() as u64;
        loop {
            self.turn()?;
            if done(self)? {
                return Ok(true);
            }
            if clock::now() > deadline {
                return Ok(false);
            }
        }
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.stopped.load(Ordering::Relaxed), "interrupted");
        while self.opening < self.at_once
            && let Some(number) = self.waiting.pop_front()
        {
            self.open(number)?;
        }
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&GLANCE),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error).context("wait for sockets"),
        }
        for event in &events {
            let number = event.data.u64() as usize;
            match self.connections[number].phase {
                Phase::Closed => (),
                Phase::Connecting => self.ask(number)?,
                Phase::Head | Phase::Stream | Phase::Poll => self.read(number)?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn open(&mut self, number: usize) -> anyhow::Result<()> {
        let socket = self.connections[number]
            .open(number, self.running.address)
            .with_context(|| format!("connect subscriber {number}"))?;
        epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(number as u64),
            EventFlags::OUT,
        )?;
        self.opening += 1;
        Ok(())
    }

    /// Its socket is connected.
    fn ask(&mut self, number: usize) -> anyhow::Result<()> {
        self.request(number)?;
        let connection = &mut self.connections[number];
        let socket = connection.socket.as_ref().context("it is connected")?;
        epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(number as u64),
            EventFlags::IN,
        )?;
        connection.phase = match self.transport {
            Transport::Sse => Phase::Head,
            Transport::LongPoll => {
                self.opening -= 1;
                Phase::Poll
            }
        };
        Ok(())
    }

    fn request(&mut self, number: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        let room = room_name(connection.room);
        let request = self
            .running
            .request(&room, self.transport, connection.resume.as_deref());
        connection.ask(&request)
    }

    fn read(&mut self, number: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        let mut socket = connection.socket.as_ref().context("it is connected")?;
        let read = match socket.read(self.window.space()) {
            Ok(0) => return self.closed(number),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return self.closed(number),
            Err(error) => return Err(error).context("read"),
        };
        let now = clock::now();
        self.measured.counts.bytes += read as u64;
        match connection.phase {
            Phase::Head => {
                let has_head = connection.answer.take(self.window.bytes(0..read))?;
                if has_head {
                    let body = read - connection.answer.body_bytes();
                    connection.phase = Phase::Stream;
                    // It is not needed any more: memory for thousands of them.
                    connection.answer = Answer::default();
                    self.opening -= 1;
                    self.stream(number, body..read, now);
                }
            }
            Phase::Poll => self.poll(number, read, now)?,
            Phase::Stream => self.stream(number, 0..read, now),
            Phase::Connecting | Phase::Closed => (),
        }
        Ok(())
    }

    /// Bytes of a stream.
    fn stream(&mut self, number: usize, read: std::ops::Range<usize>, now: u64) {
        let connection = &mut self.connections[number];
        if let Some(ids) = &mut connection.ids {
            ids.take(self.window.bytes(read.clone()));
        }
        let (measured, rows) = (&mut self.measured, &self.rows);
        let (seen, room) = (&mut connection.seen, connection.room);
        self.window.scan(&mut connection.tail, read, |mark| {
            observe(measured, rows, room, seen, mark, now);
        });
    }

    /// Bytes of the answer to a long poll; when it is complete the next one is asked.
    fn poll(&mut self, number: usize, read: usize, now: u64) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        connection.answer.take(self.window.bytes(0..read))?;
        let Some(Whole { head, body }) = connection.answer.complete()? else {
            return Ok(());
        };
        let (measured, rows) = (&mut self.measured, &self.rows);
        let (seen, room) = (&mut connection.seen, connection.room);
        marks::all(&body, |mark| observe(measured, rows, room, seen, mark, now));
        measured.answers += 1;
        if let Some(resume) = self.running.resume_of_poll(head, &body) {
            connection.resume = Some(resume);
        }
        connection.answer.clear();
        self.request(number)
    }

    /// A server that ends a long poll's connection between two answers may; its client connects again. So does a stream's
    /// that has got no row yet, as browsers do: Pushpin cuts some off just after it has let them in.
    fn closed(&mut self, number: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        anyhow::ensure!(
            connection.phase != Phase::Head,
            "a server closes a connection before it answers"
        );
        let asks_again = connection.phase == Phase::Poll && connection.answer.is_empty();
        let begins_again = connection.phase == Phase::Stream && !connection.seen.has_begun();
        connection.close();
        if asks_again {
            return self.open(number);
        }
        self.measured.counts.closed += 1;
        if begins_again {
            self.waiting.push_back(number);
        }
        Ok(())
    }
}

/// One delivery.
fn observe(
    measured: &mut Measured,
    rows: &Rows,
    room: usize,
    seen: &mut crate::seen::Seen,
    mark: Option<Mark>,
    now: u64,
) {
    let Some(Mark { sequence, written }) = mark else {
        measured.counts.garbled += 1;
        return;
    };
    seen.take(sequence, &mut measured.counts);
    measured.latency.saturating_record(now.saturating_sub(written));
    let after_return = rows.returned(room, sequence, written);
    let after_return = after_return.map_or(0, |returned| now.saturating_sub(returned));
    measured.after_return.saturating_record(after_return);
}
