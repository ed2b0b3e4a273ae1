//! On which ports nodes listen, where providers know them.
//!
//! Beside the engine and not in it: a port decides nothing, and most nodes have none known.

use std::collections::HashMap;

use crate::cluster::ProviderId;
use crate::name::NodeName;

/// The ports that providers named, those of each provider apart.
#[derive(Debug, Default)]
pub(super) struct Ports(Vec<HashMap<NodeName, u16>>);

impl Ports {
    /// Takes what the provider says now in place of what it said before.
    pub(super) fn replace(&mut self, provider: ProviderId, ports: Vec<(NodeName, u16)>) {
        let index = provider.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, HashMap::new);
        }
        self.0[index] = ports.into_iter().collect();
    }

    /// The node's port: what the first provider says that says anything, in their configured order.
    pub(super) fn of(&self, node: &NodeName) -> Option<u16> {
        self.0.iter().find_map(|ports| ports.get(node).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_provider_that_knows_counts_and_replaces_what_it_said() {
        let node = |name: &str| NodeName::new(name, "h").unwrap();
        let provider = |index| ProviderId::new(index).unwrap();
        let mut ports = Ports::default();
        assert_eq!(ports.of(&node("a")), None);
        ports.replace(provider(1), vec![(node("a"), 1), (node("b"), 2)]);
        assert_eq!(ports.of(&node("a")), Some(1));
        ports.replace(provider(0), vec![(node("a"), 3)]);
        assert_eq!(ports.of(&node("a")), Some(3));
        assert_eq!(ports.of(&node("b")), Some(2));
        ports.replace(provider(0), vec![]);
        ports.replace(provider(1), vec![(node("a"), 4)]);
        assert_eq!(ports.of(&node("a")), Some(4));
        assert_eq!(ports.of(&node("b")), None);
    }
}
