//! A stream that the handshake reads from and writes to while someone watches.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A tokio stream under `futures` traits, as `erl_dist` wants it, that can be cloned and counts.
///
/// The counts tell a peer that hung up before it said anything from one that hung up on our digest.
/// A clone can write in between what `erl_dist` writes. The lock is held for the time of one poll.
#[derive(Debug)]
pub(super) struct Tap<T>(Arc<Mutex<Tapped<T>>>);

#[derive(Debug)]
struct Tapped<T> {
    io: T,
    seen: Seen,
}

/// What went through a [`Tap`] so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Bytes read.
    pub(super) read: u64,
    /// Bytes written.
    pub(super) written: u64,
    /// The first bytes read, zeros while there are none.
    pub(super) first: [u8; 3],
}

impl<T> Clone for Tap<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Tap<T> {
    pub(super) fn new(io: T) -> Self {
        let seen = Seen::default();
        Self(Arc::new(Mutex::new(Tapped { io, seen })))
    }

    pub(super) fn seen(&self) -> Seen {
        self.lock().seen
    }

    /// The stream, if this is the last clone.
    pub(super) fn into_inner(self) -> Option<T> {
        let tapped = Arc::into_inner(self.0)?;
        let tapped = tapped.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(tapped.io)
    }

    fn lock(&self) -> MutexGuard<'_, Tapped<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + Unpin> futures::io::AsyncRead for Tap<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut tapped = self.lock();
        let mut buf = ReadBuf::new(buf);
        std::task::ready!(Pin::new(&mut tapped.io).poll_read(cx, &mut buf))?;
        let bytes = buf.filled();
        let seen = &mut tapped.seen;
        for (at, &byte) in (seen.read..).zip(bytes) {
            match usize::try_from(at)
                .ok()
                .and_then(|at| seen.first.get_mut(at))
            {
                Some(slot) => *slot = byte,
                None => break,
            }
        }
        seen.read += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }
}

impl<T: AsyncWrite + Unpin> futures::io::AsyncWrite for Tap<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut tapped = self.lock();
        let written = std::task::ready!(Pin::new(&mut tapped.io).poll_write(cx, buf))?;
        tapped.seen.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_shutdown(cx)
    }
}
