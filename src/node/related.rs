//! Which processes have to do with which nodes, so that the end of a connection concerns only those.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::etf::{Atom, Reference};

use super::lock;

/// The processes of a node by the other nodes that they have, or had, links or monitors with. The processes are
/// numbered as [`super::ids::key`] does. Nothing else is locked under it.
#[derive(Debug, Default)]
pub(super) struct Related {
    by_node: Mutex<HashMap<Atom, HashSet<u64>>>,
    /// Those that are monitored by a name, which they may have given up since.
    by_monitor: Mutex<HashMap<Reference, u64>>,
}

impl Related {
    /// The process that is monitored by its name with that reference.
    pub(super) fn monitored_by_name(&self, reference: &Reference) -> Option<u64> {
        lock(&self.by_monitor).get(reference).copied()
    }

    fn add(&self, node: &Atom, process: u64) {
        lock(&self.by_node)
            .entry(node.clone())
            .or_default()
            .insert(process);
    }

    fn remove(&self, node: &Atom, process: u64) {
        let mut all = lock(&self.by_node);
        if let Some(processes) = all.get_mut(node) {
            processes.remove(&process);
            if processes.is_empty() {
                all.remove(node);
            }
        }
    }

    /// Those that have to do with a node, which are forgotten.
    pub(super) fn take(&self, node: &Atom) -> Vec<u64> {
        let taken = lock(&self.by_node).remove(node);
        taken.into_iter().flatten().collect()
    }

    /// At most so many of those that have to do with a node.
    pub(super) fn some(&self, node: &Atom, most: usize) -> Vec<u64> {
        let all = lock(&self.by_node);
        let of_node = all.get(node).into_iter().flatten();
        of_node.take(most).copied().collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let by_node: usize = lock(&self.by_node).values().map(HashSet::len).sum();
        by_node + lock(&self.by_monitor).len()
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

    /// The process is monitored by its name.
    pub(super) fn monitored_by_name(&self, reference: &Reference) {
        if let Some((related, process)) = &self.listed {
            lock(&related.by_monitor).insert(reference.clone(), *process);
        }
    }

    /// That has come to an end.
    pub(super) fn monitored_no_more(&self, reference: &Reference) {
        if let Some((related, _)) = &self.listed {
            lock(&related.by_monitor).remove(reference);
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
