//! What a scope process of `pg` knows, and what it does about what it hears. Pure.
//!
//! Every node has a scope process, registered under the name of the scope. It holds the members on its own
//! node and tells the other scope processes of them; of theirs it keeps a copy, which goes when they do.
//! Nothing is relayed: what is known of a node comes from that node.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::etf::{Atom, Pid, Term};

use super::message::{self, Change, Message, Version};

/// What the scope process is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a scope process, if there is a connection to its node.
    Send(Pid, Term),
    /// Send a message to whatever is registered under the name of the scope on a node.
    SendNode(Atom, Term),
    /// Monitor a process; it is reported by [`State::down`].
    Monitor(Pid),
    /// Monitor it no more.
    Demonitor(Pid),
    /// Tell those who follow the scope.
    Event(PgEvent),
}

/// Members joined or left a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgEvent {
    /// The group.
    pub group: Term,
    /// What they did.
    pub kind: PgEventKind,
    /// Who: here or on any other node, several times if they did it several times.
    pub pids: Vec<Pid>,
}

/// Whether members joined or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PgEventKind {
    /// They joined.
    Join,
    /// They left, ended, or their node is gone.
    Leave,
}

/// The members of a group.
#[derive(Debug, Default)]
struct Members {
    all: Vec<Pid>,
    local: Vec<Pid>,
}

/// Another scope process.
#[derive(Debug)]
struct Peer {
    version: Version,
    /// The members on its node.
    groups: HashMap<Term, Vec<Pid>>,
}

/// The state of a scope process.
#[derive(Debug)]
pub struct State {
    me: Pid,
    groups: HashMap<Term, Members>,
    /// The groups of each local member, each as often as it joined.
    local: HashMap<Pid, Vec<Term>>,
    peers: HashMap<Pid, Peer>,
    /// The connected nodes.
    nodes: HashSet<Atom>,
}

impl State {
    /// The state of the scope process `me`, which knows nobody.
    #[must_use]
    pub fn new(me: Pid) -> Self {
        Self {
            me,
            groups: HashMap::new(),
            local: HashMap::new(),
            peers: HashMap::new(),
            nodes: HashSet::new(),
        }
    }

    /// The members of a group on all nodes, in no order.
    #[must_use]
    pub fn members(&self, group: &Term) -> &[Pid] {
        self.groups.get(group).map_or(&[], |members| &members.all)
    }

    /// The members of a group on this node.
    #[must_use]
    pub fn local_members(&self, group: &Term) -> &[Pid] {
        self.groups.get(group).map_or(&[], |members| &members.local)
    }

    /// All groups that have a member.
    pub fn groups(&self) -> impl Iterator<Item = &Term> {
        self.groups.keys()
    }

    /// All groups that have a member on this node.
    pub fn local_groups(&self) -> impl Iterator<Item = &Term> {
        let local = |(_, members): &(&Term, &Members)| !members.local.is_empty();
        self.groups.iter().filter(local).map(|(group, _)| group)
    }

    /// Processes of this node join a group, each as often as it stands in `pids`.
    pub fn join(&mut self, group: Term, pids: Vec<Pid>) -> Vec<Output> {
        let mut out = Vec::new();
        if pids.is_empty() {
            return out;
        }
        for pid in &pids {
            match self.local.entry(pid.clone()) {
                Entry::Occupied(mut entry) => entry.get_mut().push(group.clone()),
                Entry::Vacant(entry) => {
                    entry.insert(vec![group.clone()]);
                    out.push(Output::Monitor(pid.clone()));
                }
            }
        }
        self.local_change(joining(group, pids), &mut out);
        out
    }

    /// Processes of this node leave a group, each as often as it stands in `pids`. False if none of them
    /// was a member.
    pub fn leave(&mut self, group: &Term, pids: &[Pid]) -> (bool, Vec<Output>) {
        let mut out = Vec::new();
        let mut left = Vec::new();
        for pid in pids {
            let Entry::Occupied(mut entry) = self.local.entry(pid.clone()) else {
                continue;
            };
            let Some(place) = entry.get().iter().position(|joined| joined == group) else {
                continue;
            };
            entry.get_mut().swap_remove(place);
            if entry.get().is_empty() {
                entry.remove();
                out.push(Output::Demonitor(pid.clone()));
            }
            left.push(pid.clone());
        }
        let any = !left.is_empty();
        if any {
            self.local_change(vec![leaving(group.clone(), left)], &mut out);
        }
        (any, out)
    }

    /// A connection to a node exists.
    ///
    /// The scope process there is asked who it has, whichever side connected, and whether this node is
    /// hidden or not: a BEAM discovers visible nodes only, but answers everybody.
    pub fn node_up(&mut self, node: Atom) -> Vec<Output> {
        let out = vec![self.discover(node.clone())];
        self.nodes.insert(node);
        out
    }

    /// The connection to a node is gone. What was known of it goes when its scope process is reported by
    /// [`State::down`].
    pub fn node_down(&mut self, node: &Atom) {
        self.nodes.remove(node);
    }

    /// These are the connected nodes, whatever was said before.
    pub fn nodes_are(&mut self, nodes: HashSet<Atom>) {
        self.nodes = nodes;
    }

    /// Looks for the scope on the connected nodes where it was not, to be done every few seconds: a BEAM
    /// that starts the scope later, or starts it again, tells visible nodes only.
    pub fn look_again(&mut self) -> Vec<Output> {
        let known: HashSet<&Atom> = self.peers.keys().map(|peer| &peer.node).collect();
        let unknown = self.nodes.iter().filter(|node| !known.contains(*node));
        unknown.map(|node| self.discover(node.clone())).collect()
    }

    /// A monitored process ended, or its node is gone: a local member, or another scope process.
    pub fn down(&mut self, pid: &Pid) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(groups) = self.local.remove(pid) {
            let mut changes: Vec<Change> = Vec::new();
            let mut places: HashMap<Term, usize> = HashMap::new();
            for group in groups {
                match places.get(&group) {
                    Some(place) => changes[*place].left.push(pid.clone()),
                    None => {
                        places.insert(group.clone(), changes.len());
                        changes.push(leaving(group, vec![pid.clone()]));
                    }
                }
            }
            self.local_change(changes, &mut out);
        }
        if let Some(peer) = self.peers.remove(pid) {
            for (group, pids) in peer.groups {
                self.remote_left(group, pids, &mut out);
            }
        }
        out
    }

    /// Another scope process said something.
    pub fn message(&mut self, message: Message) -> Vec<Output> {
        let mut out = Vec::new();
        match message {
            // It is no peer of its own.
            Message::Discover { peer, .. } | Message::Sync { peer, .. } if peer == self.me => {}
            Message::Discover { peer, version } => {
                let new = self.meet(&peer, version, &mut out);
                let groups = self
                    .groups
                    .iter()
                    .map(|(group, members)| (group, &*members.local));
                let groups = groups.filter(|(_, local)| !local.is_empty());
                let sync = message::sync(&self.me, version, groups);
                out.push(Output::Send(peer.clone(), sync));
                if new {
                    let discover = message::discover(&self.me, version);
                    out.push(Output::Send(peer, discover));
                }
            }
            Message::Sync {
                peer,
                version,
                groups,
            } => {
                self.meet(&peer, version, &mut out);
                self.synced(&peer, groups, &mut out);
            }
            // Of a scope process that has not said who it is, nothing is known that could change.
            Message::Update { peer, changes } => {
                for change in changes {
                    self.remote_change(&peer, change, &mut out);
                }
            }
        }
        out
    }

    fn discover(&self, node: Atom) -> Output {
        Output::SendNode(node, message::discover(&self.me, Version::Plain))
    }

    /// Notes that a scope process exists and what it speaks; true if it was not known.
    fn meet(&mut self, pid: &Pid, version: Version, out: &mut Vec<Output>) -> bool {
        match self.peers.entry(pid.clone()) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().version = version;
                false
            }
            Entry::Vacant(entry) => {
                let groups = HashMap::new();
                entry.insert(Peer { version, groups });
                out.push(Output::Monitor(pid.clone()));
                true
            }
        }
    }

    /// Takes what a scope process says that it has, instead of what it had.
    fn synced(&mut self, from: &Pid, groups: Vec<(Term, Vec<Pid>)>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let new: HashMap<Term, Vec<Pid>> = groups
            .into_iter()
            .filter(|(_, pids)| !pids.is_empty())
            .collect();
        let old = std::mem::replace(&mut peer.groups, new.clone());
        let gone = old.iter().map(|(group, pids)| {
            let still = new.get(group).map_or(&[][..], Vec::as_slice);
            (group.clone(), without(pids, still))
        });
        for (group, pids) in gone.collect::<Vec<_>>() {
            self.remote_left(group, pids, out);
        }
        for (group, pids) in new {
            let already = old.get(&group).map_or(&[][..], Vec::as_slice);
            let pids = without(&pids, already);
            self.remote_joined(group, pids, out);
        }
    }

    fn remote_change(&mut self, from: &Pid, change: Change, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let Change {
            group,
            joined,
            left,
        } = change;
        // Only what it had can leave; what it says beyond that has no meaning.
        let mut gone = Vec::new();
        if let Entry::Occupied(mut entry) = peer.groups.entry(group.clone()) {
            gone = take(entry.get_mut(), &left);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        if !joined.is_empty() {
            let members = peer.groups.entry(group.clone()).or_default();
            members.extend(joined.iter().cloned());
        }
        self.remote_joined(group.clone(), joined, out);
        self.remote_left(group, gone, out);
    }

    fn remote_joined(&mut self, group: Term, pids: Vec<Pid>, out: &mut Vec<Output>) {
        if pids.is_empty() {
            return;
        }
        let members = self.groups.entry(group.clone()).or_default();
        members.all.extend(pids.iter().cloned());
        out.push(event(PgEventKind::Join, group, pids));
    }

    fn remote_left(&mut self, group: Term, pids: Vec<Pid>, out: &mut Vec<Output>) {
        if pids.is_empty() {
            return;
        }
        if let Entry::Occupied(mut entry) = self.groups.entry(group.clone()) {
            take(&mut entry.get_mut().all, &pids);
            if entry.get().all.is_empty() {
                entry.remove();
            }
        }
        out.push(event(PgEventKind::Leave, group, pids));
    }

    /// Members on this node changed: the view follows, and every peer and follower is told.
    fn local_change(&mut self, changes: Vec<Change>, out: &mut Vec<Output>) {
        for change in &changes {
            let mut entry = match self.groups.entry(change.group.clone()) {
                Entry::Occupied(entry) => entry,
                Entry::Vacant(entry) => entry.insert_entry(Members::default()),
            };
            let members = entry.get_mut();
            take(&mut members.all, &change.left);
            take(&mut members.local, &change.left);
            members.all.extend(change.joined.iter().cloned());
            members.local.extend(change.joined.iter().cloned());
            if members.all.is_empty() {
                entry.remove();
            }
        }
        for (pid, peer) in &self.peers {
            let messages = message::update(&self.me, peer.version, &changes);
            out.extend(messages.into_iter().map(|m| Output::Send(pid.clone(), m)));
        }
        for change in changes {
            if !change.joined.is_empty() {
                out.push(event(
                    PgEventKind::Join,
                    change.group.clone(),
                    change.joined,
                ));
            }
            if !change.left.is_empty() {
                out.push(event(PgEventKind::Leave, change.group, change.left));
            }
        }
    }
}

fn joining(group: Term, joined: Vec<Pid>) -> Vec<Change> {
    let left = Vec::new();
    vec![Change {
        group,
        joined,
        left,
    }]
}

fn leaving(group: Term, left: Vec<Pid>) -> Change {
    let joined = Vec::new();
    Change {
        group,
        joined,
        left,
    }
}

fn event(kind: PgEventKind, group: Term, pids: Vec<Pid>) -> Output {
    Output::Event(PgEvent { group, kind, pids })
}

/// Takes each of `pids` out once for each time that it stands there; says which were there.
fn take(members: &mut Vec<Pid>, pids: &[Pid]) -> Vec<Pid> {
    if pids.is_empty() {
        return Vec::new();
    }
    let mut wanted = counts(pids);
    let mut taken = Vec::new();
    members.retain(|pid| match wanted.get_mut(pid) {
        Some(count) if *count > 0 => {
            *count -= 1;
            taken.push(pid.clone());
            false
        }
        _ => true,
    });
    taken
}

/// `pids` less `others`, each as often as it stands there.
pub(super) fn without(pids: &[Pid], others: &[Pid]) -> Vec<Pid> {
    let mut rest = pids.to_vec();
    take(&mut rest, others);
    rest
}

fn counts(pids: &[Pid]) -> HashMap<&Pid, usize> {
    let mut counts = HashMap::with_capacity(pids.len());
    for pid in pids {
        *counts.entry(pid).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
