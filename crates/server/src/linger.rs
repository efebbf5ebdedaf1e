//! The end of a connection whose caller is still sending what nobody wants.
//!
//! To close a socket with something unread in it takes the answer back: the caller meets a reset. So
//! our side is closed first, and what still comes is thrown away for a while, which on Linux costs no
//! copy: the system drops it where it lies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// How long a caller may take to read his answer and to stop.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Bytes that are thrown away at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What a connection's stream and those who answer it tell each other. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(Arc<Marked>);

#[derive(Debug, Default)]
struct Marked {
    is_unread: AtomicBool,
    has_come: AtomicBool,
    /// HTTP/2, where much else comes than heads.
    is_framed: AtomicBool,
}

impl Marks {
    /// Something is left unread, and the connection is to be closed.
    pub(crate) fn unread(&self) {
        self.0.is_unread.store(true, Ordering::Relaxed);
    }

    fn is_unread(&self) -> bool {
        self.0.is_unread.load(Ordering::Relaxed)
    }

    /// A head is complete.
    pub(crate) fn asked(&self, version: Version) {
        self.0.has_come.store(false, Ordering::Relaxed);
        self.0.is_framed.store(version == Version::HTTP_2, Ordering::Relaxed);
    }

    /// Whether something has come since the last head: the next one is on its way, or a body was.
    /// Of HTTP/2 nobody can tell.
    pub(crate) fn has_come(&self) -> bool {
        self.0.has_come.load(Ordering::Relaxed) && !self.0.is_framed.load(Ordering::Relaxed)
    }
}

/// What stands on a socket.
pub(crate) trait OnSocket {
    fn socket(&self) -> &TcpStream;
}

impl OnSocket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl OnSocket for TlsStream<TcpStream> {
    /// After our own end nothing that comes is decrypted any more.
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that, where something is unread, waits for the caller's end after its own.
#[derive(Debug)]
pub(crate) struct Lingering<S> {
    stream: S,
    marks: Marks,
    /// Set when our side is closed: until when it waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(stream: S, marks: Marks) -> Self {
        Self { stream, marks, until: None }
    }
}

/// Throws away what has come. Ready with 0 when the caller has closed his side.
fn poll_discard(socket: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(context))?;
        match socket.try_io(Interest::READABLE, || discard(socket)) {
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            discarded => return Poll::Ready(discarded),
        }
    }
}

#[cfg(target_os = "linux")]
fn discard(socket: &TcpStream) -> io::Result<usize> {
    use std::cell::RefCell;

    use rustix::net::{RecvFlags, recv};
    thread_local! {
        // Never written to, so that it takes no memory: the system only looks at its length.
        static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
    }
    PIECE.with_borrow_mut(|piece| {
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let (_, bytes) = recv(socket, piece.as_mut_slice(), flags)?;
        Ok(bytes)
    })
}

#[cfg(not(target_os = "linux"))]
fn discard(socket: &TcpStream) -> io::Result<usize> {
    socket.try_read(&mut vec![0; PIECE_BYTES])
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.marks.0.has_come.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + OnSocket + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, marks, until } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        if !marks.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let until = until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_TIME)));
        loop {
            match poll_discard(stream.socket(), context) {
                // He has closed, or has gone.
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) if !until.is_elapsed() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(context).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn half_a_head_shows() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let marks = Marks::default();
        let mut ours = Lingering::new(ours, marks.clone());
        assert!(!marks.has_come());
        theirs.write_all(b"GET").await.expect("room");
        ours.read_exact(&mut [0; 3]).await.expect("three bytes");
        assert!(marks.has_come());
        marks.asked(Version::HTTP_11);
        assert!(!marks.has_come());
    }

    /// Megabytes are more than the system keeps for a reader who does not read.
    #[tokio::test]
    async fn who_still_sends_reads_his_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let caller = async {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(&vec![7; 32 << 20]).await.expect("all of it is taken");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("no reset");
            answer
        };
        let server = async {
            let (stream, _) = listener.accept().await.expect("the test connects");
            let marks = Marks::default();
            let mut stream = Lingering::new(stream, marks.clone());
            stream.read_exact(&mut [0; 10]).await.expect("ten bytes");
            marks.unread();
            stream.write_all(b"no").await.expect("written");
            stream.shutdown().await.expect("closed");
        };
        let (answer, ()) = tokio::join!(caller, server);
        assert_eq!(answer, b"no");
    }

    #[tokio::test]
    async fn who_is_read_to_the_end_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (caller, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_caller, (stream, _)) = (caller.expect("it listens"), accepted.expect("it connects"));
        let mut stream = Lingering::new(stream, Marks::default());
        let closed = tokio::time::timeout(LINGER_TIME / 2, stream.shutdown()).await;
        closed.expect("at once").expect("closed");
    }
}
