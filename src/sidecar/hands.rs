//! Carries out at the attached node what the engine decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::driver::Outlet;
use crate::cluster::report::Line;
use crate::cluster::{Action, ConnectError};
use crate::name::NodeName;
use crate::node::{Node, atom_of};

use super::connector::Connector;

/// How long `erlang:disconnect_node/1` may take.
const DISCONNECTING: Duration = Duration::from_secs(10);

/// How an attempt to connect ended.
pub(super) type Attempt = (NodeName, Result<(), ConnectError>);

/// Calls the attached node, as many calls side by side as the engine has connections under way.
///
/// The calls end with this value.
pub(super) struct Hands {
    node: Node,
    target: NodeName,
    connector: Arc<Connector>,
    attempts: mpsc::Sender<Attempt>,
    calls: JoinSet<()>,
}

impl Hands {
    pub(super) fn new(
        node: Node,
        target: NodeName,
        connector: Connector,
        attempts: mpsc::Sender<Attempt>,
    ) -> Self {
        Self {
            node,
            target,
            connector: Arc::new(connector),
            attempts,
            calls: JoinSet::new(),
        }
    }
}

impl Hands {
    /// `port` is where the peer listens, if a provider says so.
    fn begin_connect(&mut self, peer: NodeName, port: Option<u16>) {
        let (connector, attempts) = (Arc::clone(&self.connector), self.attempts.clone());
        self.calls.spawn(async move {
            let result = connector.connect(&peer, port).await;
            // Nobody wants to know when the session has just ended.
            let _ = attempts.send((peer, result)).await;
        });
    }
}

impl Outlet for Hands {
    fn connect(&mut self, node: NodeName, port: u16) {
        while self.calls.try_join_next().is_some() {}
        self.begin_connect(node, Some(port));
    }

    fn deliver(&mut self, action: Action) {
        // Those that have ended are let go of.
        while self.calls.try_join_next().is_some() {}
        let (node, target) = (self.node.clone(), self.target.clone());
        match action {
            Action::Connect(peer) => self.begin_connect(peer, None),
            Action::Disconnect(peer) => {
                self.calls.spawn(async move {
                    let arguments = vec![atom_of(&peer).into()];
                    let done = node
                        .call(
                            &target,
                            "erlang",
                            "disconnect_node",
                            arguments,
                            DISCONNECTING,
                        )
                        .await;
                    if let Err(error) = done {
                        tracing::warn!(
                            event = "disconnect_failed", phrase = "not disconnected", attached = %target,
                            node = %peer, "{target} was not disconnected from {peer}: {error}"
                        );
                    }
                });
            }
            Action::Event(_) => {}
        }
    }

    fn log(&mut self, line: Line) {
        line.trace(Some(&self.target));
    }
}
