//! Why a connection ended.

use std::time::Duration;

use super::channel::Malformed;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it: it ended, or it was told to disconnect.
    #[error("the peer closed the connection")]
    ByPeer,
    /// The peer was silent for longer than `net_ticktime`.
    #[error(
        "nothing came for {0:?} (net_ticktime): the peer hangs, or the network between is gone"
    )]
    Silent(Duration),
    /// The peer took nothing for longer than `net_ticktime`.
    #[error("the peer took nothing for {0:?} (net_ticktime)")]
    Stuck(Duration),
    /// More waited for the peer than this node may keep, and it could not be made to wait longer.
    #[error(
        "{limit} bytes waited for the peer, which reads too slowly, and more could not wait to be said"
    )]
    Overrun {
        /// How many bytes may wait.
        limit: usize,
    },
    /// What the peer sent waited too long for the processes that it was for.
    #[error(
        "{bytes} bytes from the peer waited for {after:?} in mailboxes that nobody empties: a process here \
         receives too slowly, or not at all"
    )]
    Unreceived {
        /// How many bytes waited.
        bytes: usize,
        /// How long.
        after: Duration,
    },
    /// The peer went beyond a limit of this node.
    #[error("the peer asked for more than this node gives: {0}")]
    Limit(String),
    /// This side closed it.
    #[error("the connection was closed here")]
    Local,
    /// The peer came back over a new connection.
    #[error("a newer connection to the same node took its place")]
    Replaced,
    /// It is not known any more: whoever was told of it had fallen behind ([`crate::node::NodeEvents`]).
    #[error("it ended unheard")]
    Unheard,
    /// The operating system reported an error.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The peer sent what the protocol does not have.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The peer sent what the protocol does not have, or more than this node takes.
    #[error("the peer broke the protocol: {0}")]
    Malformed(#[from] Malformed),
}

impl From<std::io::Error> for CloseReason {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // What a peer that was killed leaves behind.
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof => Self::ByPeer,
            _ => Self::Broken(error.to_string()),
        }
    }
}
