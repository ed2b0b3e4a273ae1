//! The message path of a connection that passed the handshake: control messages and their payloads,
//! both ways.
//!
//! What decides is pure: the [`Decoder`] turns bytes into messages, the [`Outbox`] messages into
//! bytes in their order, a ticker counts into ticks and dead peers. Around them stand a task that writes and a
//! [`Receiver`] that reads, over any stream.
//!
//! On a TCP connection two things spare the peer and this side waking each other for every message: what is
//! sent after something was read goes out at once, and only what follows it is gathered for the task that
//! writes; and from a peer that talks without a pause, what comes is left to gather.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#protocol-between-connected-nodes>

mod assembly;
mod batch;
mod decoder;
mod encoder;
mod gathering;
mod malformed;
mod outbox;
mod receiver;
mod sender;
mod source;
#[cfg(target_os = "linux")]
mod tcp;
#[cfg(test)]
mod tests;
mod ticker;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Flags;

pub use batch::Batch;
pub use decoder::Decoder;
pub use malformed::Malformed;
pub use outbox::{Outbox, Urgency};
pub use receiver::{Incoming, Lost, Receiver};
pub(crate) use sender::TICK_TIMES;
pub use sender::{SendError, Sender};
use sender::{Shared, WriteNow};
use source::Source;

/// How a connection keeps itself.
#[derive(Debug, Clone, Copy)]
pub struct ChannelOptions {
    /// The flags that both sides have, as the handshake left them.
    pub flags: Flags,
    /// After how much silence the peer counts as dead, give or take a quarter; a tick goes out after a
    /// quarter of it in which nothing else did. OTP's `net_ticktime`, which has to be the same on both
    /// sides. Default 60 s.
    pub tick_time: Duration,
    /// The longest message that is taken, in bytes. The payload of a longer one is [lost](Incoming::lost), and read over
    /// as it comes. Default 128 MiB.
    pub max_message: usize,
    /// How many bytes of messages whose last fragment has not come are kept, in all. Default 512 MiB.
    pub max_assembly: usize,
    /// How many bytes may wait for the peer before [`Sender::send`] waits too. Default 1 MiB, as OTP's
    /// `+zdbbl`.
    pub high_water: usize,
    /// How many bytes of what the node itself has to say ([`Sender::signal`]) may wait on top; beyond it
    /// the connection ends. Default 16 MiB.
    pub hard_limit: usize,
    /// What decoding one message may cost. A payload that would cost more is [lost](Incoming::lost).
    pub limits: crate::etf::Limits,
}

/// The bytes that frames and messages begin with.
mod kind {
    /// The version of the external term format, which begins every frame of a connection with
    /// distribution headers, and every term of one without.
    pub const VERSION: u8 = 131;
    /// A whole message, after a distribution header.
    pub const MESSAGE: u8 = 68;
    /// The first fragment of a message, with its distribution header.
    pub const FIRST_FRAGMENT: u8 = 69;
    /// A later fragment.
    pub const FRAGMENT: u8 = 70;
    /// A whole message on a connection without distribution headers.
    pub const PASS_THROUGH: u8 = 112;
}

impl ChannelOptions {
    fn atom_cache(&self) -> bool {
        self.flags.contains(Flags::DIST_HDR_ATOM_CACHE)
    }

    /// Fragments have distribution headers: there are none without.
    fn fragments(&self) -> bool {
        self.atom_cache() && self.flags.contains(Flags::FRAGMENTS)
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            flags: Flags::empty(),
            tick_time: crate::dist::DEFAULT_TICK_TIME,
            max_message: 128 << 20,
            max_assembly: 512 << 20,
            high_water: 1 << 20,
            hard_limit: 16 << 20,
            limits: crate::etf::Limits::default(),
        }
    }
}

/// Takes over a stream that passed the handshake. Has to be called within a tokio runtime: writing and
/// ticking go on in a task of their own.
///
/// The connection ends when [`Sender::close`] is called, the [`Receiver`] is dropped, or it breaks.
pub fn open<S>(stream: S, options: ChannelOptions) -> (Sender, Receiver)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    start(Source::Other(Box::new(reader)), writer, None, options)
}

/// As [`open`], for TCP in the clear, whose halves need no lock. From a peer that sends many small messages
/// they are read some hundred at a time, at most a tenth of a millisecond later (on Linux).
pub fn open_tcp(stream: TcpStream, options: ChannelOptions) -> (Sender, Receiver) {
    #[cfg(target_os = "linux")]
    {
        let (reader, writer) = tcp::split(stream);
        let now = Some(writer.now());
        start(Source::Tcp(reader), writer, now, options)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (reader, writer) = stream.into_split();
        start(Source::Other(Box::new(reader)), writer, None, options)
    }
}

fn start<W>(
    source: Source,
    writer: W,
    now: Option<Arc<dyn WriteNow>>,
    options: ChannelOptions,
) -> (Sender, Receiver)
where
    W: AsyncWrite + Send + Unpin + 'static,
{
    let shared = Arc::new(Shared::new(options, now));
    tokio::spawn(writer::run(writer, Arc::clone(&shared)));
    let decoder = Decoder::new(&options);
    let receiver = Receiver::new(source, decoder, Arc::clone(&shared));
    (Sender(shared), receiver)
}
