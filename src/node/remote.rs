//! The way to other nodes, as processes use it.

use std::sync::Arc;

use crate::dist::ConnectError;
use crate::etf::Atom;
use crate::name::NodeName;

use super::Shared;
use super::connection::Connection;
use super::received::SendFailed;
use super::table;

impl Shared {
    /// The connection to a node, if there is one.
    pub(super) fn link_up(&self, node: &Atom) -> Option<Connection> {
        self.table.up(node.as_str())
    }

    /// The connection to a peer, made if there is none, or why there is none.
    pub(super) async fn connected(
        self: &Arc<Self>,
        peer: &NodeName,
    ) -> Result<Connection, ConnectError> {
        table::connect(self, peer).await
    }

    /// The connection to a node, made if there is none.
    pub(super) async fn link_to(self: &Arc<Self>, node: &Atom) -> Result<Connection, SendFailed> {
        if let Some(connection) = self.link_up(node) {
            return Ok(connection);
        }
        let peer: NodeName = node.as_str().parse().map_err(|why| SendFailed::NoNode {
            node: node.clone(),
            why,
        })?;
        let made = table::connect(self, &peer).await;
        made.map_err(|error| match error {
            ConnectError::Stopped => SendFailed::Stopped,
            error => SendFailed::Connect(error),
        })
    }
}
