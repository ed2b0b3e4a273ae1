//! The way to other nodes, as processes use it.

use crate::dist::ConnectError;
use crate::dist::control::Control;
use crate::etf::{Atom, Term};
use crate::name::NodeName;

use super::received::SendFailed;
use super::{Shared, atom_of};

/// A connection, as signals go over it.
#[derive(Debug, Clone)]
pub(super) enum Link {}

impl Link {
    /// Sends what the node itself has to say. Never waits. Whether the connection took it.
    pub(super) fn signal(&self, _control: &Control, _payload: Option<&Term>) -> bool {
        match *self {}
    }

    /// Sends a message. Waits while too much waits for the peer.
    #[expect(clippy::unused_async, reason = "connections are about to come")]
    pub(super) async fn send(
        &self,
        _control: &Control,
        _payload: Option<&Term>,
    ) -> Result<(), SendFailed> {
        match *self {}
    }

    pub(super) fn try_send(
        &self,
        _control: &Control,
        _payload: Option<&Term>,
    ) -> Result<(), SendFailed> {
        match *self {}
    }

    /// Whether both ends are visible nodes: the peer lists this node in `nodes()`.
    pub(super) fn is_visible(&self) -> bool {
        match *self {}
    }

    /// Whether the peer acknowledges unlinks.
    pub(super) fn has_unlink_id(&self) -> bool {
        match *self {}
    }

    /// Whether exit reasons go as payload.
    pub(super) fn has_exit_payload(&self) -> bool {
        match *self {}
    }

    /// Whether the peer starts processes that it is asked for.
    pub(super) fn has_spawn(&self) -> bool {
        match *self {}
    }

    /// Whether messages to aliases can be sent.
    pub(super) fn has_alias(&self) -> bool {
        match *self {}
    }
}

impl Shared {
    /// The connection to a node, if there is one.
    pub(super) fn link_up(&self, _node: &Atom) -> Option<Link> {
        None
    }

    /// The connection to a peer, made if there is none, or why there is none.
    pub(super) async fn connected(&self, peer: &NodeName) -> Result<Link, ConnectError> {
        let link = self.link_to(&atom_of(peer)).await;
        link.map_err(|_| ConnectError::Stopped)
    }

    /// The connection to a node, made if there is none.
    #[expect(clippy::unused_async, reason = "connections are about to come")]
    pub(super) async fn link_to(&self, node: &Atom) -> Result<Link, SendFailed> {
        Err(SendFailed::NoConnection(node.clone()))
    }
}
