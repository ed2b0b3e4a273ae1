//! What a peer can send that is not of the protocol.

use crate::dist::control::ControlError;
use crate::dist::header::HeaderError;
use crate::etf::DecodeError;

/// What was wrong with bytes that a peer sent. The connection ends with it: after most of these the two
/// sides no longer agree on what the next byte means, and a message left out would break the promise
/// that signals come in order and all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A frame that is too short for what it begins with.
    #[error("a frame of {0} bytes is too short for its header")]
    Short(usize),
    /// A frame that begins as no frame does, or as none may on this connection.
    #[error(
        "a frame begins with the bytes {0:02x?}, which the flags of this connection do not allow"
    )]
    Kind([u8; 2]),
    /// A message that is longer than this node takes.
    #[error("a message of {length} bytes or more; the limit is {limit}")]
    TooLarge {
        /// How long it is, as far as it is known.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// All messages that are waiting for fragments together are more than this node takes.
    #[error("fragmented messages of {length} bytes are under way; the limit is {limit}")]
    Assembling {
        /// How long they are together.
        length: usize,
        /// How long they may be.
        limit: usize,
    },
    /// A fragmented message starts under an id of another one that has not ended.
    #[error("a fragmented message starts under the id {0} of one that is under way")]
    SequenceReused(u64),
    /// A fragment of a message that has not started.
    #[error("a fragment of message {0}, which has not started")]
    SequenceUnknown(u64),
    /// A fragment that is not the one that is due.
    #[error("fragment {got} of message {sequence} where {due} was due")]
    Fragment {
        /// The message.
        sequence: u64,
        /// The fragment's number; the last one is 1.
        got: u64,
        /// The number that was due.
        due: u64,
    },
    /// The distribution header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The control message is no term, or the payload is none.
    #[error("{part} cannot be read: {error}")]
    Term {
        /// `the control message` or `the payload`.
        part: &'static str,
        /// Why.
        error: DecodeError,
    },
    /// The control message is none of the protocol's.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A payload after a control message that has none.
    #[error("{0} bytes follow a control message that has no payload")]
    Payload(usize),
}
