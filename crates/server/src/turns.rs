//! A connection that brings much and fast lets others have their turns, whatever protocol it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read without letting others have their turn: about 100 us with the system's part.
const TURN_BYTES: usize = 128 << 10;

/// A stream that is read in turns. What is written passes.
pub(crate) struct Turns<S> {
    stream: S,
    /// Bytes of this turn.
    bytes: usize,
    /// Done when others have had theirs.
    others: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Turns<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, bytes: 0, others: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Turns<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(others) = &mut self.others {
            ready!(others.as_mut().poll(context));
            self.others = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        // While it waits for more, others have their turns anyway.
        self.bytes = if read.is_ready() { self.bytes + buffer.filled().len() - before } else { 0 };
        if self.bytes >= TURN_BYTES {
            self.bytes = 0;
            // Not by waking ourselves: then whoever is not ready yet would not be looked for.
            self.others = Some(Box::pin(tokio::task::yield_now()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Turns<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn others_have_their_turns_while_much_comes() {
        const BYTES: usize = 4 << 20;
        // It is never empty: nothing but the turns makes its reader wait.
        let mut stream = Turns::new(tokio::io::repeat(7));
        let mut turns = 0;
        let others = std::future::poll_fn(|context| {
            turns += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut bytes = vec![0; BYTES];
        let read = async {
            for piece in bytes.chunks_mut(16 << 10) {
                assert_eq!(stream.read_exact(piece).await.ok(), Some(16 << 10));
            }
        };
        tokio::select! {
            biased;
            () = read => {}
            () = others => unreachable!("they have no end"),
        }
        assert!(bytes.iter().all(|byte| *byte == 7));
        assert!(turns >= BYTES / TURN_BYTES - 1, "{turns} turns");
    }
}
