//! What a connection is read from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// What a connection is read from.
pub(super) enum Source {
    /// TCP, which can be left to itself for a while.
    #[cfg(target_os = "linux")]
    Tcp(super::tcp::Reader),
    Other(Box<dyn AsyncRead + Send + Unpin>),
}

impl Source {
    /// Whether [`Source::look_away`] was not waited for to its end.
    pub(super) fn is_away(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(tcp) => tcp.is_away(),
            Self::Other(_) => false,
        }
    }

    /// Lets what comes gather for a while, where that can be.
    pub(super) async fn look_away(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(tcp) => tcp.look_away().await,
            Self::Other(_) => Ok(()),
        }
    }

    /// It is not looked away for now.
    pub(super) fn stay(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(tcp) => tcp.stay(),
            Self::Other(_) => {}
        }
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(target_os = "linux")]
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Other(other) => Pin::new(other).poll_read(cx, buf),
        }
    }
}
