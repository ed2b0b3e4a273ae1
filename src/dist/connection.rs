//! A connection to a peer that passed the handshake: messages both ways, ticks, and how it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use erl_dist::message::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::close::CloseReason;
use super::etf;
use super::frame::{Frame, FrameError, FrameReader, PASS_THROUGH};
use super::handshake::Peer;

/// How many messages wait for a peer that reads slowly before senders wait too.
const QUEUE: usize = 256;
/// How much is written at once when many messages wait.
const BATCH: usize = 64 * 1024;
/// How long a stopping connection may take to write what still waits.
const FLUSH: Duration = Duration::from_millis(500);

/// How a connection keeps itself.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// After how much silence the peer counts as dead; a tick goes out after a quarter of it in which
    /// nothing else did. OTP's `net_ticktime`, which has to be the same on both sides.
    pub tick_time: Duration,
    /// The longest message that is taken, in bytes. Longer ones are skipped, with a line in the log.
    pub max_message: u32,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            tick_time: super::DEFAULT_TICK_TIME,
            max_message: 64 * 1024 * 1024,
        }
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Closed => Self::ByPeer,
            FrameError::Silent(after) => Self::Silent(after),
            FrameError::Kind(_) => Self::Protocol(error.to_string()),
            FrameError::Io(error) => match error.kind() {
                // What a peer that was killed leaves behind.
                std::io::ErrorKind::ConnectionReset => Self::ByPeer,
                _ => Self::Broken(error.to_string()),
            },
        }
    }
}

/// A connection to a peer. Clones share it; it ends when [`Connection::close`] is called, when it breaks,
/// or when the last clone is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    peer: Peer,
    outgoing: mpsc::Sender<Message>,
    ended: watch::Receiver<Option<CloseReason>>,
    wish: watch::Sender<Wish>,
}

/// What the task that serves a connection is told.
#[derive(Debug, Clone)]
struct Wish {
    close: Option<CloseReason>,
    tick_time: Duration,
}

/// There is no connection any more, or none that takes a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It ended.
    #[error("the connection has ended")]
    Ended,
    /// The peer reads too slowly, and this message must not wait.
    #[error("too many messages wait for the peer")]
    Full,
}

impl Connection {
    /// Serves a stream that passed the handshake, on a task of its own. `deliver` gets each message; it
    /// is called in that task and must not block.
    pub fn start<T>(
        io: T,
        peer: Peer,
        options: LinkOptions,
        deliver: impl FnMut(Message) + Send + 'static,
    ) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(None);
        let (wish, wishes) = watch::channel(Wish {
            close: None,
            tick_time: options.tick_time,
        });
        let (reader, writer) = tokio::io::split(io);
        let name = peer.name.to_string();
        tokio::spawn(async move {
            let reason = serve(reader, writer, queue, wishes, options, &name, deliver).await;
            // Nobody may be left who wants to know.
            let _ = end.send(Some(reason));
        });
        Self(Arc::new(Shared {
            peer,
            outgoing,
            ended,
            wish,
        }))
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Sends a message. Waits while too many wait for the peer.
    ///
    /// # Errors
    /// [`SendError::Ended`].
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        let sent = self.0.outgoing.send(message).await;
        sent.map_err(|_| SendError::Ended)
    }

    /// Sends a message if it need not wait: for answers that are given in the task that reads.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, message: Message) -> Result<(), SendError> {
        let sent = self.0.outgoing.try_send(message);
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Ended,
        })
    }

    /// Takes over the `net_ticktime` of the peer, which has to be the same on both sides.
    pub fn set_tick_time(&self, tick_time: Duration) {
        self.0.wish.send_modify(|wish| wish.tick_time = tick_time);
    }

    /// Ends the connection, once what waits has been written. [`Connection::closed`] says when it has ended.
    pub fn close(&self, reason: CloseReason) {
        self.0.wish.send_modify(|wish| {
            wish.close.get_or_insert(reason);
        });
    }

    /// Waits for the end, and says what it was. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut ended = self.0.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
            // The task was dropped with its runtime.
            Err(_) => CloseReason::Local,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.ended.borrow().is_some() || self.0.ended.has_changed().is_err()
    }

    /// Whether `other` is this connection, and not an earlier or later one to the same peer.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.0.peer)
            .field("ended", &*self.0.ended.borrow())
            .finish_non_exhaustive()
    }
}

async fn serve<T>(
    reader: ReadHalf<T>,
    mut writer: WriteHalf<T>,
    mut queue: mpsc::Receiver<Message>,
    wishes: watch::Receiver<Wish>,
    options: LinkOptions,
    name: &str,
    deliver: impl FnMut(Message),
) -> CloseReason
where
    T: AsyncRead + AsyncWrite,
{
    let mut asked = wishes.clone();
    let reason = tokio::select! {
        // The order makes sure that a peer that floods us cannot keep its own connection open.
        biased;
        asked = asked.wait_for(|wish| wish.close.is_some()) => {
            asked.ok().and_then(|wish| wish.close.clone()).unwrap_or(CloseReason::Local)
        }
        reason = write(&mut writer, &mut queue, wishes.clone(), name) => reason,
        reason = read(reader, &wishes, options, name, deliver) => reason,
    };
    if matches!(reason, CloseReason::Local | CloseReason::Replaced) {
        queue.close();
        let rest = async {
            while let Ok(message) = queue.try_recv() {
                let mut bytes = Vec::new();
                if append(&mut bytes, message, name) {
                    writer.write_all(&bytes).await?;
                }
            }
            writer.shutdown().await
        };
        // A peer that takes nothing must not hold up the end.
        let _ = timeout(FLUSH, rest).await;
    }
    reason
}

async fn read<R: AsyncRead>(
    reader: ReadHalf<R>,
    wishes: &watch::Receiver<Wish>,
    options: LinkOptions,
    name: &str,
    mut deliver: impl FnMut(Message),
) -> CloseReason {
    let mut frames = FrameReader::new(BufReader::new(reader), options.max_message);
    loop {
        let silence = wishes.borrow().tick_time;
        match frames.next(silence).await {
            Ok(Frame::Tick) => {}
            Ok(Frame::Message(bytes)) => match decode(&bytes) {
                Ok(message) => deliver(message),
                // The frame was whole, so the next one is where it should be.
                Err(why) => tracing::warn!(peer = name, "a message is left out: {why}"),
            },
            Ok(Frame::TooLong(length)) => tracing::warn!(
                peer = name,
                "a message of {length} bytes is left out: the limit is {}",
                options.max_message
            ),
            Err(error) => return error.into(),
        }
    }
}

/// Decodes a control message and what belongs to it.
fn decode(bytes: &[u8]) -> Result<Message, String> {
    let control = etf::check(bytes).map_err(|why| why.to_string())?;
    if control < bytes.len() {
        etf::check(&bytes[control..]).map_err(|why| why.to_string())?;
    }
    Message::read_from(&mut &bytes[..]).map_err(|error| error.to_string())
}

async fn write<W: AsyncWrite>(
    writer: &mut WriteHalf<W>,
    queue: &mut mpsc::Receiver<Message>,
    mut wishes: watch::Receiver<Wish>,
    name: &str,
) -> CloseReason {
    let mut bytes = Vec::new();
    let mut written = Instant::now();
    loop {
        let tick_time = wishes.borrow_and_update().tick_time;
        bytes.clear();
        tokio::select! {
            message = queue.recv() => {
                let Some(message) = message else {
                    return CloseReason::Local;
                };
                append(&mut bytes, message, name);
                while bytes.len() < BATCH {
                    let Ok(message) = queue.try_recv() else { break };
                    append(&mut bytes, message, name);
                }
            }
            () = sleep_until(written + tick_time / 4) => bytes.extend_from_slice(&[0; 4]),
            _ = wishes.changed() => continue,
        }
        let whole = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        match timeout(tick_time, whole).await {
            Ok(Ok(())) => written = Instant::now(),
            Ok(Err(error)) => return FrameError::Io(error).into(),
            Err(_) => return CloseReason::Stuck(tick_time),
        }
        // One large message does not keep its room for the rest of a quiet connection's life.
        bytes.shrink_to(BATCH);
    }
}

/// Appends a message as a frame. One that cannot be written is left out, with a line in the log.
fn append(bytes: &mut Vec<u8>, message: Message, name: &str) -> bool {
    let start = bytes.len();
    bytes.extend_from_slice(&[0, 0, 0, 0, PASS_THROUGH]);
    let written = match message.write_into(bytes) {
        Ok(()) => u32::try_from(bytes.len() - start - 4).map_err(|_| "it is too long".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(length) => {
            bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
            true
        }
        Err(why) => {
            bytes.truncate(start);
            tracing::warn!(peer = name, "a message cannot be sent: {why}");
            false
        }
    }
}
