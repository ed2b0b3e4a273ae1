//! Peers are the nodes that the configuration names.

use super::{Feed, Observation, Provider, Running, Signal};
use crate::name::NodeName;

/// The names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListConfig {
    /// All nodes of the cluster; whether the own one is among them makes no difference.
    pub nodes: Vec<NodeName>,
}

/// Says its names once, and again at a refresh.
#[derive(Debug)]
pub struct List {
    nodes: Vec<NodeName>,
}

impl List {
    /// Makes the provider.
    #[must_use]
    pub fn new(config: ListConfig) -> Self {
        Self {
            nodes: config.nodes,
        }
    }
}

impl Provider for List {
    fn kind(&self) -> &'static str {
        "list"
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin(say(feed, self.nodes))
    }
}

/// Tells the same nodes at the start and at every refresh, until it is to stop.
pub(super) async fn say(mut feed: Feed, nodes: Vec<NodeName>) {
    loop {
        feed.tell(Observation::Snapshot(nodes.clone())).await;
        if feed.signal().await == Signal::Stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ProviderId;
    use crate::discovery::{SelfOnly, SignalSender, feed};
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn says_its_names_at_the_start_and_at_a_refresh() {
        let nodes: Vec<NodeName> = vec!["a@x".parse().unwrap(), "b@x".parse().unwrap()];
        let list = List::new(ListConfig {
            nodes: nodes.clone(),
        });
        for (provider, nodes) in [
            (Box::new(list) as Box<dyn Provider>, nodes),
            (Box::new(SelfOnly), vec![]),
        ] {
            let (sender, mut receiver) = mpsc::channel(4);
            let signals = SignalSender::new();
            let id = ProviderId::new(0).unwrap();
            let running = tokio::spawn(provider.run(feed(id, sender, &signals)));
            for _ in 0..2 {
                let observed = receiver.recv().await.unwrap();
                assert_eq!(observed.observation, Observation::Snapshot(nodes.clone()));
                signals.refresh();
            }
            signals.stop();
            running.await.unwrap();
        }
    }
}
