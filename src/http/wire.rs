//! What the bytes of one connection go through: its socket, or TLS over it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// For those who write http:// where https:// is served.
const PLAIN_TEXT_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\
    connection: close\r\n\r\nThis port speaks TLS: use https://.\n";

/// A connection that is ready for HTTP.
pub(super) enum Wire {
    Plain(TcpStream),
    /// Boxed: the state of a session takes more than a kilobyte, which plain connections need not carry about.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// The socket as it is, or with TLS once the handshake is over. The caller bounds its time.
    ///
    /// # Errors
    /// The client does not speak TLS, or nothing that is spoken here. It has been told, where it can be.
    pub(super) async fn open(mut socket: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let Some(tls) = tls else {
            return Ok(Self::Plain(socket));
        };
        let mut first = [0];
        if socket.peek(&mut first).await? == 1 && looks_like_http(first[0]) {
            // Boxed, with its buffer, for those who wait in the same future and need it not.
            Box::pin(answer_in_plain_text(&mut socket)).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP without TLS"));
        }
        let stream = Box::pin(tls.accept(socket)).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Waits for the client's first word.
    ///
    /// # Errors
    /// The connection is broken, or closed without a word.
    pub(super) async fn beginning(&self) -> io::Result<Beginning> {
        match self {
            Self::Plain(socket) => poll_fn(|cx| poll_beginning(socket, cx)).await,
            Self::Tls(stream) => Ok(Beginning {
                // The handshake has settled it (RFC 7301).
                is_http1: stream.get_ref().1.alpn_protocol() == Some(b"http/1.1"),
                is_whole: true,
            }),
        }
    }
}

/// A method begins with an upper-case letter, and so does the preface of HTTP/2; TLS begins with a 22 (RFC 8446, 5.1).
fn looks_like_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Takes the request off the socket, since closing one with unread bytes resets it, and the answer may be lost then.
async fn answer_in_plain_text(socket: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await?;
    socket.write_all(PLAIN_TEXT_ANSWER).await?;
    socket.shutdown().await
}

/// What can be seen of a connection's first request before it is read.
pub(super) struct Beginning {
    /// It can be nothing but HTTP/1.1.
    pub is_http1: bool,
    /// Its head is all there, or can't be seen.
    pub is_whole: bool,
}

/// How much of a head is looked at.
const LOOK_BYTES: usize = 8 * 1024;

/// The buffer is not kept while nothing is there to be seen: thousands may wait.
fn poll_beginning(socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<Beginning>> {
    let mut buffer = [0; LOOK_BYTES];
    let mut seen = ReadBuf::new(&mut buffer);
    ready!(socket.poll_peek(cx, &mut seen))?;
    let Some(first) = seen.filled().first() else {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    };
    Poll::Ready(Ok(Beginning {
        // The preface of HTTP/2 begins with a P (RFC 9113, 3.4), as some methods do.
        is_http1: *first != b'P',
        is_whole: memchr::memmem::find(seen.filled(), b"\r\n\r\n").is_some(),
    }))
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
