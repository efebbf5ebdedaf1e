//! What a caller still sends and nobody wants: at the end of a connection, and in a body that is read
//! over so that the connection can be kept.
//!
//! To close a socket with something unread in it takes the answer back: the caller meets a reset. So
//! our side is closed first, and what still comes is thrown away for a while, which on Linux costs no
//! copy: the system drops it where it lies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Bytes of the last read.
    last: AtomicU64,
    /// Bytes that may be of the body of the request: what came with the end of its head, and all since.
    since: AtomicU64,
    /// Bytes to come that nobody wants.
    skip: AtomicU64,
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
        // hyper parses after each read, so the head was complete with the last one.
        self.0.since.store(self.0.last.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.skip.store(0, Ordering::Relaxed);
    }

    /// So much has come.
    fn came(&self, bytes: usize) {
        if bytes > 0 {
            self.0.has_come.store(true, Ordering::Relaxed);
            self.0.last.store(bytes as u64, Ordering::Relaxed);
            self.0.since.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Nobody wants the body of this request, which is so long: what of it has certainly not come yet
    /// is dropped where it lies, and its reader gets as many bytes of no meaning. What may be the next
    /// request is never touched.
    pub(crate) fn skip(&self, body_bytes: u64) {
        if !self.0.is_framed.load(Ordering::Relaxed) {
            let rest = body_bytes.saturating_sub(self.0.since.load(Ordering::Relaxed));
            self.0.skip.store(rest, Ordering::Relaxed);
        }
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

    /// Whether what comes on the socket is what is read, byte by byte.
    const IS_PLAIN: bool;
}

impl OnSocket for TcpStream {
    const IS_PLAIN: bool = true;

    fn socket(&self) -> &TcpStream {
        self
    }
}

impl OnSocket for TlsStream<TcpStream> {
    const IS_PLAIN: bool = false;

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
    /// Bytes that were dropped, and for which as many are still to be read.
    dropped: usize,
    /// Set when our side is closed: until when it waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(stream: S, marks: Marks) -> Self {
        Self { stream, marks, dropped: 0, until: None }
    }
}

impl<S: OnSocket> Lingering<S> {
    /// Reads as many bytes as nobody wants, whichever: without the copy out of the system.
    fn poll_skip(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let skip = &self.marks.0.skip;
        if self.dropped == 0 {
            let left = skip.load(Ordering::Relaxed);
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            self.dropped = ready!(poll_discard(self.stream.socket(), context, most))?;
            skip.store(left - self.dropped as u64, Ordering::Relaxed);
        }
        // Of nothing nothing is read: the caller has closed his side.
        let bytes = self.dropped.min(buffer.remaining());
        buffer.initialize_unfilled_to(bytes);
        buffer.advance(bytes);
        self.dropped -= bytes;
        self.marks.came(bytes);
        Poll::Ready(Ok(()))
    }
}

/// Throws away what has come, so many bytes at most. Ready with 0 when the caller has closed his side.
fn poll_discard(
    socket: &TcpStream,
    context: &mut Context<'_>,
    bytes_max: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(context))?;
        match socket.try_io(Interest::READABLE, || discard(socket, bytes_max)) {
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            discarded => return Poll::Ready(discarded),
        }
    }
}

#[cfg(target_os = "linux")]
fn discard(socket: &TcpStream, bytes_max: usize) -> io::Result<usize> {
    use std::cell::RefCell;

    use rustix::net::{RecvFlags, recv};
    thread_local! {
        // Never written to, so that it takes no memory: the system only looks at its length.
        static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
    }
    PIECE.with_borrow_mut(|piece| {
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let most = bytes_max.min(piece.len());
        let (_, bytes) = recv(socket, &mut piece[..most], flags)?;
        Ok(bytes)
    })
}

#[cfg(not(target_os = "linux"))]
fn discard(socket: &TcpStream, bytes_max: usize) -> io::Result<usize> {
    socket.try_read(&mut vec![0; bytes_max.min(PIECE_BYTES)])
}

impl<S: AsyncRead + OnSocket + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_skipping = self.dropped > 0 || self.marks.0.skip.load(Ordering::Relaxed) > 0;
        if S::IS_PLAIN && is_skipping {
            return self.poll_skip(context, buffer);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.marks.came(buffer.filled().len() - before);
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
        let Self { stream, marks, until, .. } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        if !marks.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let until = until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_TIME)));
        loop {
            match poll_discard(stream.socket(), context, PIECE_BYTES) {
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

    /// A caller's end, and ours.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (caller, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (caller.expect("it listens"), accepted.expect("it connects").0)
    }

    /// Of a body that nobody wants what has come already is read as it is, of the rest the length
    /// alone, and what is behind it is the next request.
    #[tokio::test]
    async fn what_nobody_wants_is_dropped_and_no_more() {
        const BODY: usize = 1 << 20;
        for read_before in [0, 1, 5_000] {
            let (mut caller, ours) = pair().await;
            let marks = Marks::default();
            let mut ours = Lingering::new(ours, marks.clone());
            let sent = async {
                let request = [&b"head"[..], &vec![7; BODY], b"next"].concat();
                caller.write_all(&request).await.expect("all of it is taken");
            };
            let read = async {
                let mut head = vec![0; b"head".len() + read_before];
                ours.read_exact(&mut head).await.expect("a head");
                marks.asked(Version::HTTP_11);
                marks.skip(BODY as u64);
                let mut body = vec![1; BODY - read_before];
                ours.read_exact(&mut body).await.expect("a body, as it seems");
                assert_eq!((body[0], body.last()), (1, Some(&7)), "dropped, but for the end");
                let mut next = [0; 4];
                ours.read_exact(&mut next).await.expect("the next head");
                assert_eq!(&next, b"next", "{read_before}");
            };
            tokio::join!(sent, read);
        }
    }

    #[tokio::test]
    async fn half_a_head_shows() {
        let (mut theirs, ours) = pair().await;
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
        let (_caller, stream) = pair().await;
        let mut stream = Lingering::new(stream, Marks::default());
        let closed = tokio::time::timeout(LINGER_TIME / 2, stream.shutdown()).await;
        closed.expect("at once").expect("closed");
    }
}
