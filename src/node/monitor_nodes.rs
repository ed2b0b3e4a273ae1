//! Following connections as they come and go.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use futures::Stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::dist::{CloseReason, Peer};
use crate::name::NodeName;

use super::{Node, NodeEvent, Shared};

/// Connections of a node, as they come and go: see [`Node::monitor_nodes`].
#[derive(Debug)]
pub struct NodeEvents {
    shared: Weak<Shared>,
    receiver: broadcast::Receiver<NodeEvent>,
    /// Who is there, as the reader has been told, by which one that fell behind finds back.
    told: HashMap<NodeName, Peer>,
    /// What it found out then.
    caught_up: VecDeque<NodeEvent>,
}

impl Node {
    /// Tells of every connection that comes and goes from now on, to visible nodes and to hidden ones, as
    /// `net_kernel:monitor_nodes(true, #{node_type => all})` does. Who is there already says
    /// [`Node::nodes`]; asked after this, nobody is missed.
    ///
    /// ```no_run
    /// # use rendez::Node;
    /// use rendez::node::NodeEvent;
    ///
    /// # async fn example(node: &Node) {
    /// let mut events = node.monitor_nodes();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         NodeEvent::Up(peer) => println!("{} is up, hidden: {}", peer.name, peer.hidden),
    ///         NodeEvent::Down(peer, reason) => println!("{} is down: {reason}", peer.name),
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn monitor_nodes(&self) -> NodeEvents {
        NodeEvents::new(&self.0)
    }
}

impl NodeEvents {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let receiver = shared.events.subscribe();
        Self {
            shared: Arc::downgrade(shared),
            receiver,
            told: peers(shared),
            caught_up: VecDeque::new(),
        }
    }

    /// The next event; `None` once the node is gone. Cancel-safe.
    ///
    /// A reader that falls more than 1,024 events behind is told the difference between what it was told
    /// last and what is, instead of every step on the way; why a node is down is
    /// [`CloseReason::Unheard`] then.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        loop {
            if let Some(event) = self.caught_up.pop_front() {
                return Some(event);
            }
            match self.receiver.recv().await {
                Ok(event) => {
                    // What was found out already need not be told again.
                    if self.note(&event) {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(_)) => self.catch_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = NodeEvent> + Send {
        futures::stream::unfold(self, async |mut events| {
            let event = events.next().await?;
            Some((event, events))
        })
    }

    /// Whether it is news.
    fn note(&mut self, event: &NodeEvent) -> bool {
        match event {
            NodeEvent::Up(peer) => {
                let before = self.told.insert(peer.name.clone(), peer.clone());
                before.as_ref() != Some(peer)
            }
            NodeEvent::Down(peer, _) => self.told.remove(&peer.name).is_some(),
        }
    }

    fn catch_up(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        self.receiver = shared.events.subscribe();
        let now = peers(&shared);
        for (name, peer) in &self.told {
            if now.get(name) != Some(peer) {
                let down = NodeEvent::Down(peer.clone(), CloseReason::Unheard);
                self.caught_up.push_back(down);
            }
        }
        for (name, peer) in &now {
            if self.told.get(name) != Some(peer) {
                self.caught_up.push_back(NodeEvent::Up(peer.clone()));
            }
        }
        self.told = now;
    }
}

fn peers(shared: &Shared) -> HashMap<NodeName, Peer> {
    let connections = shared.table.all();
    let peers = connections.iter().map(|connection| connection.peer());
    peers
        .map(|peer| (peer.name.clone(), peer.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::dist::Flags;
    use crate::node::Registration;

    fn peer(name: &str) -> Peer {
        Peer {
            name: name.parse().unwrap(),
            creation: Some(1),
            hidden: false,
            flags: Flags::claimed(false),
        }
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_the_difference() {
        let builder = Node::builder("watcher@127.0.0.1").cookie(Secret::new("cookie"));
        let node = builder
            .registration(Registration::None)
            .start()
            .await
            .unwrap();
        let mut events = node.monitor_nodes();
        let tell = |event| node.0.events.send(event).unwrap();
        tell(NodeEvent::Up(peer("a@h")));
        assert_eq!(events.next().await, Some(NodeEvent::Up(peer("a@h"))));
        for _ in 0..crate::node::start::EVENTS {
            tell(NodeEvent::Up(peer("b@h")));
            tell(NodeEvent::Down(peer("b@h"), CloseReason::ByPeer));
        }
        // Nobody is connected in truth.
        let down = NodeEvent::Down(peer("a@h"), CloseReason::Unheard);
        assert_eq!(events.next().await, Some(down));
        tell(NodeEvent::Up(peer("c@h")));
        assert_eq!(events.next().await, Some(NodeEvent::Up(peer("c@h"))));
    }
}
