//! What one process has to do with others: its links, the monitors it set, and those set on it. Pure.
//!
//! The rules for links are OTP's [link protocol](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#link-protocol):
//! an unlink is acknowledged, and until it is, what the other side did before it knew is left out of account.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dist::control;
use crate::etf::{Atom, Pid, Reference};

use super::related::{Met, Related};

/// A process that is monitored: by its pid, or by its name on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Monitored {
    /// By pid.
    Pid(Pid),
    /// By the name that it is registered under, and its node.
    Name(Atom, Atom),
}

impl Monitored {
    /// The node that it is on.
    #[must_use]
    pub fn node(&self) -> &Atom {
        match self {
            Self::Pid(pid) => &pid.node,
            Self::Name(_, node) => node,
        }
    }

    /// As a control message names it.
    #[must_use]
    pub fn process(&self) -> control::Process {
        match self {
            Self::Pid(pid) => control::Process::Pid(pid.clone()),
            Self::Name(name, _) => control::Process::Name(name.clone()),
        }
    }
}

/// Who monitors a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// The process that monitors.
    pub pid: Pid,
    /// How it named the process that it monitors, which is how it will be told.
    pub monitored: control::Process,
}

impl Watcher {
    fn is_by_name(&self) -> bool {
        matches!(self.monitored, control::Process::Name(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Active,
    /// An unlink with this id waits for its acknowledgement.
    Unlinking(u64),
}

/// What a process has to do with others.
#[derive(Debug, Default)]
pub struct Relations {
    links: HashMap<Pid, Link>,
    monitors: HashMap<Reference, Monitored>,
    watchers: HashMap<Reference, Watcher>,
    unlinks: u64,
    met: Met,
}

/// What is left to be told when a process ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Each gets an exit signal.
    pub links: Vec<Pid>,
    /// Each is told that the process is down.
    pub watchers: Vec<(Reference, Watcher)>,
    /// Each of these monitors is taken back.
    pub monitors: Vec<(Reference, Monitored)>,
}

/// What a process lost with the connection to a node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Its links: each means an exit signal `noconnection` from that pid.
    pub links: Vec<Pid>,
    /// Its monitors: each means that the monitored process is down, `noconnection`.
    pub monitors: Vec<(Reference, Monitored)>,
}

impl Relations {
    /// Those of a process with that number, which is listed by the nodes that it has to do with.
    pub(super) fn listed(related: Arc<Related>, process: u64) -> Self {
        Self {
            met: Met::new(related, process),
            ..Self::default()
        }
    }

    /// Whether the process waits for what becomes of a process of that node: it is linked to one, or monitors one.
    pub fn awaits(&self, node: &Atom) -> bool {
        let active = |(pid, link): (&Pid, &Link)| pid.node == *node && *link == Link::Active;
        self.links.iter().any(active) || self.monitors.values().any(|it| it.node() == node)
    }

    /// The process links to `to`. Whether `LINK` has to be sent.
    #[must_use = "says whether a signal has to be sent"]
    pub fn link(&mut self, to: &Pid) -> bool {
        self.met.meet(&to.node);
        let before = self.links.insert(to.clone(), Link::Active);
        before != Some(Link::Active)
    }

    /// `LINK` came from `from`. While an unlink waits for its acknowledgement the other side did not
    /// know of it, and will take the link for gone too.
    pub fn linked(&mut self, from: &Pid) {
        self.met.meet(&from.node);
        self.links.entry(from.clone()).or_insert(Link::Active);
    }

    /// The process unlinks from `to`. The id of the `UNLINK_ID` that has to be sent.
    #[must_use = "says whether a signal has to be sent"]
    pub fn unlink(&mut self, to: &Pid) -> Option<u64> {
        let link = self.links.get_mut(to)?;
        if *link != Link::Active {
            return None;
        }
        self.unlinks += 1;
        *link = Link::Unlinking(self.unlinks);
        Some(self.unlinks)
    }

    /// A link is gone on both sides at once: of processes of one node, or with a peer that knows no
    /// acknowledgements. Whether there was one.
    pub fn remove_link(&mut self, other: &Pid) -> bool {
        self.links.remove(other) == Some(Link::Active)
    }

    /// `UNLINK_ID` came from `from`. It has to be acknowledged in any case, before anything else is sent
    /// there.
    pub fn unlinked(&mut self, from: &Pid) {
        if self.links.get(from) == Some(&Link::Active) {
            self.links.remove(from);
        }
    }

    /// `UNLINK_ID_ACK` came from `from`.
    pub fn unlink_acknowledged(&mut self, from: &Pid, id: u64) {
        if self.links.get(from) == Some(&Link::Unlinking(id)) {
            self.links.remove(from);
        }
    }

    /// An exit signal of a link came from `from`. Whether it counts.
    #[must_use = "an exit signal of a link that is not active does not count"]
    pub fn link_broke(&mut self, from: &Pid) -> bool {
        self.links.remove(from) == Some(Link::Active)
    }

    /// Whether the process is linked to `other`.
    #[cfg(test)]
    pub fn is_linked(&self, other: &Pid) -> bool {
        self.links.get(other) == Some(&Link::Active)
    }

    /// The process monitors another one.
    pub fn monitor(&mut self, reference: Reference, monitored: Monitored) {
        self.met.meet(monitored.node());
        self.monitors.insert(reference, monitored);
    }

    /// The process takes a monitor back, or its end was told. What it monitored, if the monitor was there.
    pub fn remove_monitor(&mut self, reference: &Reference) -> Option<Monitored> {
        self.monitors.remove(reference)
    }

    /// As [`Relations::remove_monitor`], if what it monitors is on that node.
    pub fn remove_monitor_of(&mut self, node: &Atom, reference: &Reference) -> Option<Monitored> {
        let monitored = self.monitors.get(reference)?;
        if monitored.node() != node {
            return None;
        }
        self.monitors.remove(reference)
    }

    /// Another process monitors this one.
    pub fn watched(&mut self, reference: Reference, watcher: Watcher) {
        self.met.meet(&watcher.pid.node);
        if watcher.is_by_name() {
            self.met.monitored_by_name(&reference);
        }
        self.watchers.insert(reference, watcher);
    }

    /// Another process took its monitor back. Whether it had one.
    pub fn unwatched(&mut self, reference: &Reference, from: &Pid) -> bool {
        let watcher = self.watchers.get(reference);
        let had = watcher.is_some_and(|watcher| watcher.pid == *from);
        if had {
            self.forget_watcher(reference);
        }
        had
    }

    fn forget_watcher(&mut self, reference: &Reference) {
        let watcher = self.watchers.remove(reference);
        if watcher.is_some_and(|watcher| watcher.is_by_name()) {
            self.met.monitored_no_more(reference);
        }
    }

    /// Who set a monitor on this process.
    #[must_use]
    pub fn watcher(&self, reference: &Reference) -> Option<&Watcher> {
        self.watchers.get(reference)
    }

    /// How many links and monitors there are, both ways.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len() + self.monitors.len() + self.watchers.len()
    }

    /// Whether there is no link and no monitor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The connection to a node ended.
    pub fn lose(&mut self, node: &Atom) -> Lost {
        self.met.lose(node);
        if self.is_empty() {
            return Lost::default();
        }
        for (reference, watcher) in self.watchers.extract_if(|_, it| it.pid.node == *node) {
            if watcher.is_by_name() {
                self.met.monitored_no_more(&reference);
            }
        }
        let links = self.links.extract_if(|pid, _| pid.node == *node);
        let links = links.filter(|(_, link)| *link == Link::Active);
        let links = links.map(|(pid, _)| pid).collect();
        let of_node = |_: &Reference, monitored: &mut Monitored| monitored.node() == node;
        let monitors = self.monitors.extract_if(of_node).collect();
        Lost { links, monitors }
    }

    /// The process ended.
    #[must_use = "the others have to be told"]
    pub fn end(&mut self) -> Ended {
        self.met.end();
        for (reference, watcher) in &self.watchers {
            if watcher.is_by_name() {
                self.met.monitored_no_more(reference);
            }
        }
        let links = self.links.drain();
        let links = links.filter(|(_, link)| *link == Link::Active);
        Ended {
            links: links.map(|(pid, _)| pid).collect(),
            watchers: self.watchers.drain().collect(),
            monitors: self.monitors.drain().collect(),
        }
    }
}

#[cfg(test)]
#[path = "signals_tests.rs"]
mod tests;
