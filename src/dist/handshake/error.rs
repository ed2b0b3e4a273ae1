//! What can be wrong with a handshake.

use super::packet::Kind;
use crate::dist::flags::Flags;
use crate::name::{InvalidName, NodeName};

/// What a peer did in a handshake that ended it. Its text goes on from the peer's name or address: "it sent...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It speaks TLS.
    #[error("it speaks TLS, which this node was not told to speak on this connection")]
    Tls,
    /// It does not speak the distribution protocol: this would be the length of a packet.
    #[error(
        "it does not speak Erlang's distribution protocol: it sent the bytes {0:02x?} where the length of a packet \
         was due"
    )]
    TooLong([u8; 2]),
    /// A packet without anything in it.
    #[error("it sent an empty packet")]
    Empty,
    /// Another packet than the one that was due.
    #[error("it sent a packet that begins with {:?} where {due} was due", char::from(*letter))]
    Unexpected {
        /// What was due.
        due: Kind,
        /// The first byte of what came.
        letter: u8,
    },
    /// A packet that is shorter than what it says is in it, or longer than it can be.
    #[error("its {kind} has {length} bytes, which do not hold what they say, or more")]
    Length {
        /// Which packet.
        kind: Kind,
        /// In bytes.
        length: usize,
    },
    /// A version before 5.
    #[error("it speaks version {0} of the distribution protocol; 5 and 6 are spoken here")]
    Version(u16),
    /// A name that is none.
    #[error("{name:?} is no node name: {why}")]
    Name {
        /// What was sent.
        name: String,
        /// Why not.
        why: InvalidName,
    },
    /// A status that the protocol does not have, or not at this place.
    #[error("it sent the status {0:?}, which has no meaning there")]
    Status(String),
    /// It cannot do what is needed to talk to it.
    #[error("it cannot do what has to be done to talk to it: {0}")]
    Missing(Flags),
    /// Its digest is wrong.
    #[error("it has another cookie")]
    Cookie,
    /// It has another name than the node that was to be connected to.
    #[error("it is {found}, not {expected}")]
    OtherNode {
        /// Which node was to be connected to.
        expected: NodeName,
        /// What it calls itself.
        found: String,
    },
    /// The name that it gave to this node has another host.
    #[error("it named this node {0}, which has another host than the one that was asked for")]
    OtherHost(NodeName),
    /// It does not give names to nodes that ask for one.
    #[error("it gave no name to this node, which asked for one")]
    NoName,
    /// Its own attempt to connect goes first.
    #[error("it is connecting to this node itself, and its attempt goes first")]
    TheirsGoesFirst,
    /// Our own attempt to connect to it goes first.
    #[error("it was told that this node's own attempt to connect to it goes first")]
    OursGoesFirst,
    /// It does not let this node in.
    #[error("it does not allow this node to connect")]
    NotAllowed,
    /// This node does not let it in.
    #[error("it is not allowed to connect to this node")]
    Refused,
    /// There is a connection already, which both sides keep.
    #[error("there is a connection between the two already")]
    Connected,
    /// Bytes after the end.
    #[error("it went on after the handshake had ended")]
    Over,
}
