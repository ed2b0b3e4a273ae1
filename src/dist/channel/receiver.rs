//! The receiving side of a connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::BufMut as _;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Decoder;
use super::decoder::Step;
use super::gathering::Gathering;
use super::malformed::Malformed;
use super::sender::Shared;
use super::source::Source;
use crate::dist::close::CloseReason;
use crate::dist::control::Control;
use crate::etf::{DecodeError, Term};

/// What came in: a control message and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// What it says.
    pub control: Control,
    /// The message, reason or arguments; there is one exactly when [`Control::has_payload`] says so, unless it is
    /// [lost](Incoming::lost).
    pub payload: Option<Term>,
    /// Why there is no payload although one was sent.
    pub lost: Option<Lost>,
    /// About how many bytes of memory the payload takes: what a few bytes on the way can become counts too.
    pub bytes: usize,
}

/// Why a payload was not taken. The connection goes on: where the next message begins is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// It goes beyond [`ChannelOptions::limits`](super::ChannelOptions::limits).
    #[error("{0}")]
    Limits(DecodeError),
    /// It is longer than [`ChannelOptions::max_message`](super::ChannelOptions::max_message).
    #[error("it has {length} bytes, and the limit is {limit}")]
    TooLong {
        /// How long the message is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// Receives what the peer sends. When it is dropped, the connection ends.
pub struct Receiver {
    source: Source,
    gathering: Gathering,
    /// How much has been read since all that there was had been read.
    bytes: usize,
    /// Nothing more is there for now.
    all_read: bool,
    decoder: Decoder,
    /// A message that takes long to be read, which a thread of its own does.
    slow: Option<JoinHandle<Result<Incoming, Malformed>>>,
    shared: Arc<Shared>,
    closing: watch::Receiver<Option<CloseReason>>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new(source: Source, decoder: Decoder, shared: Arc<Shared>) -> Self {
        let closing = shared.closing();
        Self {
            source,
            gathering: Gathering::new(),
            bytes: 0,
            all_read: false,
            decoder,
            slow: None,
            shared,
            closing,
        }
    }

    /// Waits for the next message. While it is not called nothing is read from the peer, which then has
    /// to wait, and does not count as silent. Cancel-safe.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn next(&mut self) -> Result<Incoming, CloseReason> {
        loop {
            if self.shared.is_closing() {
                return Err(self.shared.reason().unwrap_or(CloseReason::Local));
            }
            if self.slow.is_some() {
                match self.read_slowly().await {
                    Ok(message) => return Ok(message),
                    Err(reason) => self.shared.close(reason),
                }
                continue;
            }
            match self.decoder.step() {
                Ok(Some(Step::Message(message))) => return Ok(message),
                Ok(Some(Step::Slow(slow))) => {
                    self.slow = Some(tokio::task::spawn_blocking(|| slow.read()));
                    continue;
                }
                Ok(None) => {}
                Err(malformed) => {
                    self.shared.close(malformed.into());
                    continue;
                }
            }
            if let Err(reason) = self.read().await {
                self.shared.close(reason);
            }
        }
    }

    /// Waits for a message of so many terms that reading it here would hold up all that this thread has to do.
    async fn read_slowly(&mut self) -> Result<Incoming, CloseReason> {
        let Some(slow) = &mut self.slow else {
            return Err(CloseReason::Local);
        };
        let read = tokio::select! {
            read = slow => read,
            // A reason that is there already is the one that stays.
            _ = self.closing.wait_for(Option::is_some) => return Err(CloseReason::Local),
        };
        self.slow = None;
        match read {
            Ok(message) => Ok(message?),
            // The runtime ends, or reading panicked.
            Err(error) => Err(CloseReason::Broken(format!(
                "a fault of this node: {error}"
            ))),
        }
    }

    async fn read(&mut self) -> Result<(), CloseReason> {
        let _listening = Listening::new(&self.shared.listening);
        if std::mem::take(&mut self.all_read) {
            let bytes = std::mem::take(&mut self.bytes);
            if self
                .gathering
                .read_all(Instant::now(), bytes, self.shared.spoke())
            {
                self.source.look_away().await?;
            } else {
                self.source.stay();
            }
        } else if self.source.is_away() {
            self.source.look_away().await?;
        }
        let mut space = self.decoder.space();
        let room = space.remaining_mut();
        let read = tokio::select! {
            // What has come is read first; a reason to end is looked at before each message.
            biased;
            read = self.source.read_buf(&mut space) => read?,
            // A reason that is there already is the one that stays.
            _ = self.closing.wait_for(Option::is_some) => return Err(CloseReason::Local),
        };
        if read == 0 {
            return Err(CloseReason::ByPeer);
        }
        self.decoder.filled(read);
        self.bytes += read;
        self.all_read = read < room;
        self.shared.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.close(CloseReason::Local);
    }
}

/// Says that something is to be read as soon as it comes, for as long as that is so.
struct Listening<'a>(&'a AtomicBool);

impl<'a> Listening<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
