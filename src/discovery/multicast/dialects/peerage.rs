//! Peerage's `Peerage.Via.Udp`: `Peer:` and the sender's name as text.

use super::Refused;
use crate::name::NodeName;

const PRELUDE: &[u8] = b"Peer:";

/// An announcement of `node`.
#[must_use]
pub fn encode(node: &NodeName) -> Vec<u8> {
    [PRELUDE, node.as_str().as_bytes()].concat()
}

/// The sender of an announcement.
///
/// # Errors
/// [`Refused`].
pub fn decode(datagram: &[u8]) -> Result<NodeName, Refused> {
    let name = datagram.strip_prefix(PRELUDE).ok_or(Refused::Foreign)?;
    NodeName::from_bytes(name).map_err(|_| Refused::Malformed)
}
