//! Carries out at the attached node what the engine decides: connects here, and passes removals on.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::driver::Outlet;
use crate::cluster::report::Line;
use crate::cluster::{Action, ConnectError, Event};
use crate::name::NodeName;

use super::connector::Connector;

/// How an attempt to connect ended.
pub(super) type Attempt = (NodeName, Result<(), ConnectError>);

/// Calls the attached node, as many calls side by side as the engine has connections under way.
///
/// The calls end with this value.
pub(super) struct Hands {
    target: NodeName,
    connector: Arc<Connector>,
    attempts: mpsc::Sender<Attempt>,
    /// Receives the nodes to remove: see `removals`.
    removals: mpsc::Sender<NodeName>,
    calls: JoinSet<()>,
}

impl Hands {
    pub(super) fn new(
        target: NodeName,
        connector: Connector,
        attempts: mpsc::Sender<Attempt>,
        removals: mpsc::Sender<NodeName>,
    ) -> Self {
        Self {
            target,
            connector: Arc::new(connector),
            attempts,
            removals,
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
        match action {
            Action::Connect(peer) => self.begin_connect(peer, None),
            Action::Disconnect(peer) => {
                let removals = self.removals.clone();
                self.calls.spawn(async move {
                    // The session has ended otherwise.
                    let _ = removals.send(peer).await;
                });
            }
            Action::Event(Event::Left { node, .. }) => self.connector.note(&node, true),
            Action::Event(Event::Joined { node, .. }) => self.connector.note(&node, false),
            Action::Event(_) => {}
        }
    }

    fn log(&mut self, line: Line) {
        line.trace(Some(&self.target));
    }
}
