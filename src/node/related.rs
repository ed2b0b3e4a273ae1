//! Which processes have to do with which nodes, so that the end of a connection concerns only those.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::etf::Atom;

use super::lock;

/// The processes of a node by the other nodes that they have, or had, links or monitors with. The processes are
/// numbered as [`super::ids::key`] does. Nothing else is locked under it.
#[derive(Debug, Default)]
pub(super) struct Related(Mutex<HashMap<Atom, HashSet<u64>>>);

impl Related {
    fn add(&self, node: &Atom, process: u64) {
        lock(&self.0)
            .entry(node.clone())
            .or_default()
            .insert(process);
    }

    fn remove(&self, node: &Atom, process: u64) {
        let mut all = lock(&self.0);
        if let Some(processes) = all.get_mut(node) {
            processes.remove(&process);
            if processes.is_empty() {
                all.remove(node);
            }
        }
    }

    /// Those that have to do with a node, which are forgotten.
    pub(super) fn take(&self, node: &Atom) -> Vec<u64> {
        let taken = lock(&self.0).remove(node);
        taken.into_iter().flatten().collect()
    }

    /// At most so many of those that have to do with a node.
    pub(super) fn some(&self, node: &Atom, most: usize) -> Vec<u64> {
        let all = lock(&self.0);
        let of_node = all.get(node).into_iter().flatten();
        of_node.take(most).copied().collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).values().map(HashSet::len).sum()
    }
}

/// The nodes that one process is listed for.
#[derive(Debug, Default)]
pub(super) struct Met {
    nodes: HashSet<Atom>,
    listed: Option<(Arc<Related>, u64)>,
}

impl Met {
    pub(super) fn new(related: Arc<Related>, process: u64) -> Self {
        Self {
            nodes: HashSet::new(),
            listed: Some((related, process)),
        }
    }

    pub(super) fn meet(&mut self, node: &Atom) {
        if self.nodes.contains(node) {
            return;
        }
        self.nodes.insert(node.clone());
        if let Some((related, process)) = &self.listed {
            related.add(node, *process);
        }
    }

    /// The connection to a node is gone, and the list of that node with it.
    pub(super) fn lose(&mut self, node: &Atom) {
        self.nodes.remove(node);
    }

    pub(super) fn end(&mut self) {
        for node in self.nodes.drain() {
            if let Some((related, process)) = &self.listed {
                related.remove(&node, *process);
            }
        }
    }
}
