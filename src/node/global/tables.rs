//! The names and the locks that a global name server holds. Pure.
//!
//! Every visible node holds a copy of all names. A lock is held at each node on its own; whoever wants one
//! asks all the nodes that it is to hold at. The lock of the resource `global` guards the names: a name is
//! taken in only from somebody who holds it here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::etf::{Atom, Pid, Term};

use super::state::Output;

/// The resource that guards the names.
pub(super) const GLOBAL: Atom = Atom::new("global");

/// A name that is known in the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub pid: Pid,
    /// The fun that decides between two processes of that name when nodes meet.
    pub method: Term,
    /// The node that registered it, if the process is none of Erlang's.
    pub external: Option<Atom>,
}

/// Who says that a name is registered, which must be somebody who holds the lock of the names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authority<'a> {
    /// A process.
    Holder(&'a Pid),
    /// Two nodes that synchronise, by the identifier of their lock.
    LockId(Option<&'a Term>),
}

#[derive(Debug)]
struct Lock {
    requester: Term,
    holders: Vec<Pid>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    names: HashMap<Term, Named>,
    locks: HashMap<Term, Lock>,
    /// How many names and locks depend on each process.
    watched: HashMap<Pid, usize>,
    /// The last holder of the names' lock ended without giving it back, so what it began is not finished.
    lock_down: bool,
}

impl Tables {
    pub fn whereis(&self, name: &Term) -> Option<&Pid> {
        self.names.get(name).map(|named| &named.pid)
    }

    pub fn named(&self, name: &Term) -> Option<&Named> {
        self.names.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = (&Term, &Named)> {
        self.names.iter()
    }

    /// Whether somebody holds the lock of the names.
    pub fn global_lock_is_set(&self) -> bool {
        self.locks.contains_key(&Term::Atom(GLOBAL))
    }

    /// Whether somebody who asks for it could hold a lock.
    pub fn can_lock(&self, resource: &Term, requester: &Term) -> bool {
        let lock = self.locks.get(resource);
        lock.is_none_or(|lock| lock.requester == *requester)
    }

    /// Sets a lock for a process; false if another requester has it.
    pub fn lock(&mut self, id: &LockId, pid: &Pid, out: &mut Vec<Output>) -> bool {
        if !self.can_lock(&id.resource, &id.requester) {
            return false;
        }
        let lock = self.locks.entry(id.resource.clone());
        let lock = lock.or_insert_with(|| Lock {
            requester: id.requester.clone(),
            holders: Vec::new(),
        });
        if !lock.holders.contains(pid) {
            lock.holders.push(pid.clone());
            self.watch(pid, out);
        }
        true
    }

    /// A process gives a lock back.
    pub fn unlock(&mut self, id: &LockId, pid: &Pid, out: &mut Vec<Output>) {
        if self.can_lock(&id.resource, &id.requester) {
            self.remove_holder(&id.resource, pid, false, out);
        }
    }

    fn remove_holder(&mut self, resource: &Term, pid: &Pid, down: bool, out: &mut Vec<Output>) {
        let Entry::Occupied(mut entry) = self.locks.entry(resource.clone()) else {
            return;
        };
        let Some(place) = entry.get().holders.iter().position(|holder| holder == pid) else {
            return;
        };
        entry.get_mut().holders.swap_remove(place);
        if entry.get().holders.is_empty() {
            entry.remove();
            if *resource == Term::Atom(GLOBAL) {
                self.lock_down = down;
            }
        }
        self.unwatch(pid, out);
    }

    /// Takes a name in, if who says so may.
    pub fn insert(&mut self, name: Term, named: Named, by: Authority<'_>, out: &mut Vec<Output>) {
        self.delete(&name, out);
        if self.may_insert(by) {
            self.watch(&named.pid, out);
            self.names.insert(name, named);
        }
    }

    fn may_insert(&self, by: Authority<'_>) -> bool {
        match (self.locks.get(&Term::Atom(GLOBAL)), by) {
            (Some(lock), Authority::Holder(pid)) => lock.holders.contains(pid),
            (Some(lock), Authority::LockId(id)) => id == Some(&lock.requester),
            (None, _) => !self.lock_down,
        }
    }

    pub fn delete(&mut self, name: &Term, out: &mut Vec<Output>) {
        if let Some(named) = self.names.remove(name) {
            self.unwatch(&named.pid, out);
        }
    }

    /// A process ended or its node is gone, and with it what it had.
    pub fn down(&mut self, pid: &Pid, out: &mut Vec<Output>) {
        // Its monitor is gone already.
        self.watched.remove(pid);
        self.drop_of(|other| other == pid, out);
    }

    /// What processes of a node have goes, though the node may be there.
    pub fn forget_node(&mut self, node: &Atom, out: &mut Vec<Output>) {
        self.drop_of(|pid| pid.node == *node, out);
    }

    fn drop_of(&mut self, is_it: impl Fn(&Pid) -> bool, out: &mut Vec<Output>) {
        let locks = self.locks.iter().flat_map(|(resource, lock)| {
            let holders = lock.holders.iter().filter(|pid| is_it(pid));
            holders.map(|pid| (resource.clone(), pid.clone()))
        });
        for (resource, pid) in locks.collect::<Vec<_>>() {
            self.remove_holder(&resource, &pid, true, out);
        }
        let names = self.names.iter().filter(|(_, named)| is_it(&named.pid));
        for name in names.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.delete(&name, out);
        }
    }

    pub fn is_watched(&self, pid: &Pid) -> bool {
        self.watched.contains_key(pid)
    }

    fn watch(&mut self, pid: &Pid, out: &mut Vec<Output>) {
        let count = self.watched.entry(pid.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            out.push(Output::Monitor(pid.clone()));
        }
    }

    fn unwatch(&mut self, pid: &Pid, out: &mut Vec<Output>) {
        if let Entry::Occupied(mut entry) = self.watched.entry(pid.clone()) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
                out.push(Output::Demonitor(pid.clone()));
            }
        }
    }
}

/// What is locked, and for whom: two who ask for the same requester do not exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockId {
    pub resource: Term,
    pub requester: Term,
}

impl LockId {
    /// The lock of the names.
    pub fn of_names(requester: Term) -> Self {
        Self {
            resource: Term::Atom(GLOBAL),
            requester,
        }
    }

    pub fn from_term(term: &Term) -> Option<Self> {
        match term.as_tuple()? {
            [resource, requester] => Some(Self {
                resource: resource.clone(),
                requester: requester.clone(),
            }),
            _ => None,
        }
    }

    pub fn to_term(&self) -> Term {
        Term::Tuple(vec![self.resource.clone(), self.requester.clone()])
    }
}
