//! A TCP proxy whose network can be cut without a word: bytes vanish in both directions, and nobody is told.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the network did so far, in numbers of cuts.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    /// How many there were.
    all: u64,
    /// Whether the last of them lasts.
    lasts: bool,
    /// Connections of before this one are reset.
    reset: u64,
}

/// A proxy; it and its connections end when this is dropped.
pub struct Swallow {
    pub address: SocketAddr,
    cuts: watch::Sender<Cuts>,
    _tasks: JoinSet<()>,
}

impl Swallow {
    /// Listens on a free port of `host`, before `target`.
    pub async fn start(host: &str, target: SocketAddr) -> Self {
        let host = host.parse().expect("an address");
        Self::start_at(SocketAddr::new(host, 0), target).await
    }

    /// The same at an address.
    pub async fn start_at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("listen");
        let address = listener.local_addr().expect("its address");
        let cuts = watch::Sender::new(Cuts::default());
        let mut tasks = JoinSet::new();
        let seen = cuts.subscribe();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.expect("accept");
                connections.spawn(carry(near, target, Connection::born(seen.clone())));
            }
        });
        Self {
            address,
            cuts,
            _tasks: tasks,
        }
    }

    /// From now on bytes vanish, those of new connections as well.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| {
            cuts.all += 1;
            cuts.lasts = true;
        });
    }

    /// New connections pass. Those whose bytes vanished never learn of it, as where an address was translated and its
    /// entry is lost.
    pub fn heal(&self) {
        self.cuts.send_modify(|cuts| cuts.lasts = false);
    }

    /// The same, but they are reset, as by a host that knows nothing of them.
    pub fn heal_with_resets(&self) {
        self.cuts.send_modify(|cuts| {
            cuts.lasts = false;
            cuts.reset = cuts.all;
        });
    }
}

/// What a connection knows of the network.
#[derive(Clone)]
struct Connection {
    seen: watch::Receiver<Cuts>,
    /// The cuts that were over when it was made.
    survived: u64,
}

impl Connection {
    fn born(seen: watch::Receiver<Cuts>) -> Self {
        let now = *seen.borrow();
        Self {
            seen,
            survived: now.all - u64::from(now.lasts),
        }
    }

    /// Some of its bytes vanish, now or since long.
    fn is_cut(&self) -> bool {
        self.seen.borrow().all > self.survived
    }

    /// Returns where it is to be reset.
    async fn reset(mut self) {
        let survived = self.survived;
        if self.seen.wait_for(|cuts| cuts.reset > survived).await.is_err() {
            std::future::pending().await
        }
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, connection: Connection) {
    if connection.is_cut() {
        let (reader, _writer) = near.split();
        tokio::select! {
            () = swallow(reader) => {}
            () = connection.clone().reset() => {}
        }
        return end_by_rst(&near);
    }
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let was_reset = {
        let ((near_reader, near_writer), (far_reader, far_writer)) = (near.split(), far.split());
        let both = async {
            tokio::join!(
                copy(near_reader, far_writer, &connection),
                copy(far_reader, near_writer, &connection)
            )
        };
        tokio::select! {
            _ = both => false,
            () = connection.clone().reset() => true,
        }
    };
    if was_reset {
        end_by_rst(&near);
        end_by_rst(&far);
    }
}

/// One direction, until its end. Of a connection that is cut no end is told either.
async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, connection: &Connection) {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        if connection.is_cut() {
            return swallow(from).await;
        }
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Reads for ever.
async fn swallow(mut from: ReadHalf<'_>) {
    let mut buffer = vec![0; 1 << 14];
    while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    std::future::pending().await
}

/// Dropped next, it ends by RST.
fn end_by_rst(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
