//! The nodes that no provider names any longer and the attached node removes: those that left, and those that are
//! still asked to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cluster::NodeState;
use crate::cluster::driver::Handle;
use crate::name::NodeName;

use super::leave::{Leave, Removal};

/// How long a node that was asked to leave, and did not, is left alone before it is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How many nodes that were removed are remembered. One that was forgotten and comes back by itself stays connected.
const REMEMBERED: usize = 1_024;

/// The removals of a session.
pub(super) struct Removals {
    target: NodeName,
    leave: Arc<Leave>,
    handle: Handle,
    /// What came of each, if anything has yet.
    standing: BTreeMap<NodeName, Option<Removal>>,
    /// Those that are asked, or wait to be. True: something has changed since, so that the outcome is out of date.
    under_way: HashMap<NodeName, bool>,
    tasks: JoinSet<(NodeName, Removal)>,
}

impl Removals {
    pub(super) fn new(target: NodeName, leave: Arc<Leave>, handle: Handle) -> Self {
        Self {
            target,
            leave,
            handle,
            standing: BTreeMap::new(),
            under_way: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// No provider names the node any longer.
    pub(super) fn begin(&mut self, node: NodeName) {
        if self.standing.len() >= REMEMBERED && !self.standing.contains_key(&node) {
            let idle = |node: &&NodeName| !self.under_way.contains_key(*node);
            if let Some(forgotten) = self.standing.keys().find(idle).cloned() {
                self.standing.remove(&forgotten);
            }
        }
        self.standing.entry(node.clone()).or_default();
        self.ask(node, Duration::ZERO);
    }

    /// The attached node is connected to it: if it was removed it is asked again, which finds out whether it is
    /// named again.
    pub(super) fn up(&mut self, node: &NodeName) {
        if self.standing.contains_key(node) {
            self.ask(node.clone(), Duration::ZERO);
        }
    }

    fn ask(&mut self, node: NodeName, after: Duration) {
        if let Some(out_of_date) = self.under_way.get_mut(&node) {
            *out_of_date = true;
            return;
        }
        self.under_way.insert(node.clone(), false);
        let (leave, handle) = (Arc::clone(&self.leave), self.handle.clone());
        self.tasks.spawn(async move {
            sleep(after).await;
            let removal = match handle.status().await {
                Ok(status) => {
                    let mut nodes = status.nodes;
                    nodes.retain(|status| {
                        // Whether it is named counts, also before the engine has heard that it is connected.
                        !status.named_by.is_empty()
                            && (status.node == node
                                || matches!(status.state, NodeState::Connected { .. }))
                    });
                    let peers: Vec<_> = nodes.into_iter().map(|node| node.node).collect();
                    leave.remove(&node, &peers).await
                }
                Err(error) => Removal::Stays(error.to_string()),
            };
            (node, removal)
        });
    }

    /// Waits for the next outcome, and takes it in.
    pub(super) async fn next(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((node, removal))) => self.came_of(node, removal),
            // A session whose engine has ended ends as well.
            Some(Err(error)) => tracing::debug!("a removal ended by itself: {error}"),
            None => std::future::pending().await,
        }
    }

    fn came_of(&mut self, node: NodeName, removal: Removal) {
        let target = &self.target;
        let out_of_date = self.under_way.remove(&node) == Some(true);
        let before = self.standing.get(&node).cloned().flatten();
        match &removal {
            Removal::Named if out_of_date => {}
            Removal::Named => {
                self.standing.remove(&node);
                return;
            }
            Removal::Left => tracing::info!(
                event = "removed", phrase = "removed", attached = %target, node = %node,
                "{node} has left: no provider names it any longer"
            ),
            Removal::Stays(why) => {
                if before.as_ref() != Some(&removal) {
                    tracing::info!(
                        event = "removal_waits", phrase = "not removed yet", attached = %target, node = %node,
                        reason = why.as_str(),
                        "{node} stays connected for now, though no provider names it: {why}"
                    );
                }
                if !out_of_date {
                    self.ask(node.clone(), AGAIN);
                }
            }
            Removal::Gone => {}
        }
        if out_of_date {
            self.ask(node.clone(), Duration::ZERO);
        }
        // One that left and is then found gone is one that left.
        let left = removal == Removal::Gone && before == Some(Removal::Left);
        if !left && removal != Removal::Named {
            self.standing.insert(node, Some(removal));
        }
    }

    /// Those that were removed, and are not connected because of that.
    pub(super) fn removed(&self) -> impl Iterator<Item = &NodeName> {
        let removed =
            |removal: &Option<Removal>| matches!(removal, Some(Removal::Left | Removal::Gone));
        let standing = self.standing.iter();
        standing.filter_map(move |(node, removal)| removed(removal).then_some(node))
    }

    /// Those that are still connected, with the reason.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        self.standing
            .iter()
            .filter_map(|(node, removal)| match removal {
                Some(Removal::Stays(why)) => Some((node, why.as_str())),
                _ => None,
            })
    }
}
