//! The application: one thread that writes rows at a pace: into PostgreSQL, and publishes them where a server wants to be
//! told. (Of a limit, which has no database, the thread passes the load on.)

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Statement};

use crate::clock;
use crate::marks::Mark;
use crate::peers::Running;
use crate::rows::{Load, Rows, room_name};

/// How a load went.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub rows: u64,
    pub rows_per_statement: usize,
    /// From the first statement until the last one returned.
    pub seconds: f64,
}

/// What a writer writes with.
pub trait Pen: Send {
    /// Writes a load, keeping its pace as far as it can.
    fn write(&mut self, load: Load) -> anyhow::Result<Written>;
}

/// The writer's thread. Dropping it ends the thread after its load.
pub struct Writer {
    loads: Option<Sender<Load>>,
    done: Receiver<anyhow::Result<Written>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// A thread for this pen.
    pub fn start(mut pen: Box<dyn Pen>) -> anyhow::Result<Self> {
        let (loads, orders) = channel();
        let (report, done) = channel();
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                for load in orders {
                    if report.send(pen.write(load)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            loads: Some(loads),
            done,
            thread: Some(thread),
        })
    }

    /// Begins a load. [`Self::finished`] says when it is over; one at a time.
    pub fn begin(&self, load: Load) -> anyhow::Result<()> {
        let loads = self.loads.as_ref().context("the writer runs")?;
        loads.send(load).context("the writer has ended")
    }

    /// `None` while the load is under way. Errors: what kept it from writing.
    pub fn finished(&self) -> Option<anyhow::Result<Written>> {
        match self.done.try_recv() {
            Ok(written) => Some(written),
            Err(std::sync::mpsc::TryRecvError::Empty) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.loads = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// INSERTs through a session of its own.
pub struct Inserts {
    runtime: Runtime,
    session: Client,
    insert: Statement,
    running: Arc<Running>,
    rows: Arc<Rows>,
    names: Vec<String>,
    publisher: Option<Publisher>,
    /// The room of the next row.
    turn: usize,
}

impl Inserts {
    /// Connects. `rows` takes note of what is written.
    pub fn new(url: &str, running: Arc<Running>, rows: Arc<Rows>) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (session, insert) = runtime.block_on(async {
            let (session, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let insert = session.prepare(include_str!("sql/insert.sql")).await?;
            Ok::<_, tokio_postgres::Error>((session, insert))
        })?;
        let publishes = running.publish("", "").is_some();
        let publisher = publishes.then(|| Publisher::connect(&running));
        Ok(Self {
            runtime,
            session,
            insert,
            names: (0..rows.rooms()).map(room_name).collect(),
            publisher: publisher.transpose()?,
            running,
            rows,
            turn: 0,
        })
    }

    /// Inserts the next rows, each of the next room, and publishes them when they stand there.
    fn statement(&mut self, count: usize, size: usize) -> anyhow::Result<()> {
        let rooms = self.rows.rooms();
        let places: Vec<(usize, u64)> = (0..count)
            .map(|nth| {
                let room = (self.turn + nth) % rooms;
                (room, self.rows.last(room) + 1 + (nth / rooms) as u64)
            })
            .collect();
        self.turn = (self.turn + count) % rooms;
        let names: Vec<&str> = places
            .iter()
            .map(|(room, _)| self.names[*room].as_str())
            .collect();
        let written = clock::now();
        let bodies: Vec<String> = places
            .iter()
            .map(|(_, sequence)| {
                let sequence = *sequence;
                Mark { sequence, written }.body(size)
            })
            .collect();
        self.runtime
            .block_on(self.session.execute(&self.insert, &[&names, &bodies]))?;
        let returned = clock::now();
        for (room, sequence) in &places {
            self.rows.wrote(*room, *sequence, returned);
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.send(&self.running, &names, &bodies)?;
        }
        Ok(())
    }
}

impl Pen for Inserts {
    fn write(&mut self, load: Load) -> anyhow::Result<Written> {
        let began = clock::now();
        let end = began + (load.seconds * 1e9) as u64 + 1_000_000_000;
        let (mut written, total) = (0, load.rows());
        while written < total && (clock::now() < end || load.seconds < 1.0) {
            let count = (load.rows_per_statement as u64).min(total - written);
            // The first row at once, a statement of several when the last of them is due.
            let due = (written + count - 1) as f64 / load.rate;
            clock::sleep_until(began + (due * 1e9) as u64);
            self.statement(count as usize, load.size)?;
            written += count;
        }
        Ok(Written {
            rows: written,
            rows_per_statement: load.rows_per_statement,
            seconds: (clock::now() - began) as f64 / 1e9,
        })
    }
}

/// A keep-alive connection for requests that publish, pipelined; a thread reads the answers away.
struct Publisher {
    connection: TcpStream,
    requests: Vec<u8>,
}

impl Publisher {
    fn connect(running: &Running) -> anyhow::Result<Self> {
        let address = running.publisher();
        let mut connection = TcpStream::connect(address)
            .with_context(|| format!("connect to {address}, where rows are published"))?;
        connection.set_nodelay(true)?;
        connection.write_all(&running.greeting())?;
        let mut answers = connection.try_clone()?;
        // It ends with the connection.
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while answers.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        Ok(Self {
            connection,
            requests: Vec::new(),
        })
    }

    fn send(&mut self, running: &Running, rooms: &[&str], bodies: &[String]) -> anyhow::Result<()> {
        self.requests.clear();
        for (room, body) in rooms.iter().zip(bodies) {
            let request = running.publish(room, body).context("it publishes")?;
            self.requests.extend_from_slice(&request);
        }
        self.connection
            .write_all(&self.requests)
            .context("publish: did the server close the connection?")
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(std::net::Shutdown::Both);
    }
}
