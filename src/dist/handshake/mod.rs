//! The handshake, of versions 6 and 5: both sides prove that they know the cookie.
//!
//! [`Initiator`] and [`Acceptor`] are the two sides, pure: packets in, bytes out. [`connect`] and [`accept`] drive
//! them over a stream. Each packet is refused that is not the one that is due, with a [`HandshakeError`] that says
//! what is wrong with it.
//!
//! ```
//! use rendez::Secret;
//! use rendez::dist::Flags;
//! use rendez::dist::handshake::{
//!     Acceptor, Attempt, Claimed, Identity, Initiator, Version, acceptor, initiator, packets,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let b = Identity::new("b@10.0.0.2".parse()?, 5, Secret::new("cookie"));
//! let attempt = Attempt {
//!     own: Claimed::Name("a@10.0.0.1".parse()?),
//!     creation: 4,
//!     flags: Flags::claimed(false),
//!     peer: b.name.clone(),
//!     cookie: Secret::new("cookie"),
//!     version: Version::V6,
//!     challenge: 17,
//! };
//! let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
//! let mut connecting = Initiator::start(attempt, &mut to_b);
//! let mut accepting = Acceptor::start(b, 42);
//! let agreed = 'done: loop {
//!     for packet in packets(&std::mem::take(&mut to_b)) {
//!         let mut step = accepting.handle(packet, &mut to_a)?;
//!         if let acceptor::Step::Judge(_) = step {
//!             step = accepting.judged(acceptor::Verdict::Accept, &mut to_a)?;
//!         }
//!         if let acceptor::Step::Done(peer) = step {
//!             assert_eq!(peer.creation, Some(4));
//!         }
//!     }
//!     for packet in packets(&std::mem::take(&mut to_a)) {
//!         if let initiator::Step::Done(agreed) = connecting.handle(packet, &mut to_b)? {
//!             break 'done agreed;
//!         }
//!     }
//! };
//! assert_eq!(agreed.peer.creation, Some(5));
//! # Ok(()) }
//! ```
//!
//! Source: [distribution handshake](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-handshake).

pub mod acceptor;
mod digest;
mod drive;
mod error;
pub mod initiator;
mod names;
pub mod packet;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::flags::Flags;
use crate::name::NodeName;
use crate::secret::Secret;

pub use acceptor::{Acceptor, Named, Stranger, Verdict};
pub use digest::Digest;
pub(crate) use drive::ask_for_status;
pub use drive::{AcceptError, Lengths, accept, accept_if, ask_for_name, connect};
pub use error::HandshakeError;
pub use initiator::{Attempt, Initiator};
pub use names::Names;
pub use packet::{Claimed, Kind, Version};

/// Who this node is to its peers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Identity {
    /// Its name.
    pub name: NodeName,
    /// Tells this run of the node from an earlier one of the same name.
    pub creation: u32,
    /// The cookie, which both sides have to have.
    pub cookie: Secret,
    /// Cookies of peers that have another one, as `erlang:set_cookie/2` gives them.
    pub peer_cookies: Arc<HashMap<NodeName, Secret>>,
    /// Whether `nodes()` lists it on its peers; else it is hidden.
    pub visible: bool,
}

impl Identity {
    /// A hidden node with the same cookie for everyone.
    #[must_use]
    pub fn new(name: NodeName, creation: u32, cookie: Secret) -> Self {
        Self {
            name,
            creation,
            cookie,
            peer_cookies: Arc::default(),
            visible: false,
        }
    }

    /// The cookie that this peer is to have.
    #[must_use]
    pub fn cookie_for(&self, peer: &NodeName) -> &Secret {
        self.peer_cookies.get(peer).unwrap_or(&self.cookie)
    }
}

/// Who the peer said it is, once both sides had proved the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Tells this run of it from an earlier one. A peer that speaks version 5 does not tell.
    pub creation: Option<u32>,
    /// Whether it stays out of `nodes()`.
    pub hidden: bool,
    /// What both sides can do.
    pub flags: Flags,
}

/// Cuts bytes into packets without their lengths; what is no whole packet ends it.
pub fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk()?;
        let (packet, rest) = rest.split_at_checked(packet::length(*head).ok()?)?;
        bytes = rest;
        Some(packet)
    })
}
