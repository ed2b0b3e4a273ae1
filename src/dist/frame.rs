//! Frames: a length of four bytes, big-endian, and that many bytes; a length of zero is a tick.
//!
//! Source: [protocol between connected nodes](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#protocol-between-connected-nodes).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// The first byte of a frame that holds a whole control message, the only kind that peers send to a
/// node that promised neither an atom cache nor fragments.
pub const PASS_THROUGH: u8 = 112;

/// How much of a frame is made room for at once: a length that lies costs no more.
const CHUNK: usize = 64 * 1024;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The peer lives and has nothing to say.
    Tick,
    /// A control message and what belongs to it, after the [`PASS_THROUGH`] byte.
    Message(Vec<u8>),
    /// A frame of this many bytes was longer than the limit and has been skipped.
    TooLong(u32),
}

/// Why there are no more frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer closed the connection between two frames.
    #[error("the peer closed the connection")]
    Closed,
    /// Nothing came for this long.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The frame is of a kind that was not agreed on.
    #[error("a frame begins with {0} where {PASS_THROUGH} was agreed on")]
    Kind(u8),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    io: R,
    limit: u32,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes from `io`, which should be buffered.
    pub fn new(io: R, limit: u32) -> Self {
        Self { io, limit }
    }

    /// Reads the next frame. `silence` is how long the peer may say nothing; each part of a frame that
    /// comes in starts it anew. Not cancel-safe.
    ///
    /// # Errors
    /// See [`FrameError`]: after any of them the connection is of no more use.
    pub async fn next(&mut self, silence: Duration) -> Result<Frame, FrameError> {
        let mut length = [0; 4];
        if !self.fill(&mut length, silence).await? {
            return Err(FrameError::Closed);
        }
        let length = u32::from_be_bytes(length);
        if length == 0 {
            return Ok(Frame::Tick);
        }
        if length > self.limit {
            self.skip(length, silence).await?;
            return Ok(Frame::TooLong(length));
        }
        let mut kind = [0];
        self.fill_all(&mut kind, silence).await?;
        if kind != [PASS_THROUGH] {
            return Err(FrameError::Kind(kind[0]));
        }
        let mut left = length as usize - 1;
        let mut body = Vec::new();
        while left > 0 {
            let start = body.len();
            let chunk = left.min(CHUNK);
            body.resize(start + chunk, 0);
            self.fill_all(&mut body[start..], silence).await?;
            left -= chunk;
        }
        Ok(Frame::Message(body))
    }

    async fn skip(&mut self, length: u32, silence: Duration) -> Result<(), FrameError> {
        let mut left = length as usize;
        let mut waste = vec![0; left.min(CHUNK)];
        while left > 0 {
            let chunk = left.min(CHUNK);
            self.fill_all(&mut waste[..chunk], silence).await?;
            left -= chunk;
        }
        Ok(())
    }

    async fn fill_all(&mut self, part: &mut [u8], silence: Duration) -> Result<(), FrameError> {
        if self.fill(part, silence).await? {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    /// Fills `part`, or says `false` if the stream ended before its first byte.
    async fn fill(&mut self, part: &mut [u8], silence: Duration) -> Result<bool, FrameError> {
        let mut filled = 0;
        while filled < part.len() {
            let read = timeout(silence, self.io.read(&mut part[filled..])).await;
            match read.map_err(|_| FrameError::Silent(silence))?? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                more => filled += more,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn ticks_messages_and_frames_that_are_too_long() {
        let bytes = b"\0\0\0\0\0\0\0\x03pab\0\0\0\x09ptoo long\0\0\0\x01p";
        let mut frames = FrameReader::new(&bytes[..], 8);
        assert_eq!(frames.next(PATIENCE).await.unwrap(), Frame::Tick);
        let message = Frame::Message(b"ab".to_vec());
        assert_eq!(frames.next(PATIENCE).await.unwrap(), message);
        assert_eq!(frames.next(PATIENCE).await.unwrap(), Frame::TooLong(9));
        let empty = Frame::Message(Vec::new());
        assert_eq!(frames.next(PATIENCE).await.unwrap(), empty);
        let end = frames.next(PATIENCE).await;
        assert!(matches!(end, Err(FrameError::Closed)), "{end:?}");
    }

    #[tokio::test]
    async fn a_frame_that_ends_early_or_is_of_another_kind() {
        for bytes in [&b"\0\0"[..], b"\0\0\0\x05p", b"\0\0\0\x05pab"] {
            let end = FrameReader::new(bytes, 8).next(PATIENCE).await;
            assert!(matches!(end, Err(FrameError::Io(_))), "{end:?}");
        }
        let end = FrameReader::new(&b"\0\0\0\x02\x83D"[..], 8)
            .next(PATIENCE)
            .await;
        assert!(matches!(end, Err(FrameError::Kind(0x83))), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_noticed_and_a_slow_one_is_not_taken_for_silent() {
        use tokio::io::AsyncWriteExt as _;
        let (near, mut far) = tokio::io::duplex(64);
        let slow = async move {
            for byte in b"\0\0\0\x03pab" {
                tokio::time::sleep(PATIENCE * 9 / 10).await;
                far.write_all(&[*byte]).await.unwrap();
            }
            far
        };
        let mut frames = FrameReader::new(near, 8);
        let (frame, far) = tokio::join!(frames.next(PATIENCE), slow);
        assert_eq!(frame.unwrap(), Frame::Message(b"ab".to_vec()));
        let silent = frames.next(PATIENCE).await;
        assert!(matches!(silent, Err(FrameError::Silent(_))), "{silent:?}");
        drop(far);
    }
}
