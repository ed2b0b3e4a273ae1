//! GossipCluster: `heartbeat::` and the sender's name as a term, without libcluster's map.

use super::{Refused, term};
use crate::name::NodeName;

const PRELUDE: &[u8] = b"heartbeat::";

/// A heartbeat of `node`.
#[must_use]
pub fn encode(node: &NodeName) -> Vec<u8> {
    let mut datagram = PRELUDE.to_vec();
    term::write_atom_term(&mut datagram, node);
    datagram
}

/// The sender of a heartbeat.
///
/// # Errors
/// [`Refused`].
pub fn decode(datagram: &[u8]) -> Result<NodeName, Refused> {
    let term = datagram.strip_prefix(PRELUDE).ok_or(Refused::Foreign)?;
    let atom = term::atom(term).ok_or(Refused::Malformed)?;
    atom.to_name().map_err(|_| Refused::Malformed)
}
