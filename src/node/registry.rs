//! The processes of a node: by pid, by registered name, by alias.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::etf::{Atom, Pid, Reference};

use super::entry::Entry;
use super::ids::key;
use super::lock;

/// What an alias stands for.
#[derive(Debug, Clone)]
struct Alias {
    process: Arc<Entry>,
    /// Whether the first message through it ends it.
    once: bool,
}

/// Why a name was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has it.
    #[error("the name is registered already")]
    Taken,
    /// The process has ended.
    #[error("the process has ended")]
    Ended,
    /// `undefined` is the name of nobody.
    #[error("`undefined` cannot be registered")]
    Undefined,
}

/// How many parts the table of processes has, so that connections seldom wait for each other.
const PARTS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Registry {
    processes: [RwLock<HashMap<u64, Arc<Entry>>>; PARTS],
    names: RwLock<HashMap<Atom, Arc<Entry>>>,
    aliases: Mutex<HashMap<Reference, Alias>>,
}

impl Registry {
    fn part(&self, key: u64) -> &RwLock<HashMap<u64, Arc<Entry>>> {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
        let part = key as usize % PARTS;
        &self.processes[part]
    }

    pub(super) fn add(&self, entry: Arc<Entry>) {
        let key = entry.key();
        write(self.part(key)).insert(key, entry);
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let key = entry.key();
        write(self.part(key)).remove(&key);
    }

    /// The process with that pid, which has to be of this node.
    pub(super) fn get(&self, pid: &Pid) -> Option<Arc<Entry>> {
        self.by_key(key(pid))
    }

    /// The process that is found by that key.
    pub(super) fn by_key(&self, key: u64) -> Option<Arc<Entry>> {
        read(self.part(key)).get(&key).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let parts = self.processes.iter();
        let all = parts.flat_map(|part| read(part).values().cloned().collect::<Vec<_>>());
        all.collect()
    }

    pub(super) fn count(&self) -> usize {
        self.processes.iter().map(|part| read(part).len()).sum()
    }

    pub(super) fn register(&self, name: Atom, entry: &Arc<Entry>) -> Result<(), RegisterError> {
        if name == *"undefined" {
            return Err(RegisterError::Undefined);
        }
        let mut names = write(&self.names);
        if names.contains_key(&name) {
            return Err(RegisterError::Taken);
        }
        // Under the lock of the names, so that a process that ends meanwhile leaves none behind.
        let mut inner = entry.lock();
        if inner.fate.is_some() {
            return Err(RegisterError::Ended);
        }
        inner.names.push(name.clone());
        drop(inner);
        names.insert(name, Arc::clone(entry));
        Ok(())
    }

    /// Whether the name was registered.
    pub(super) fn unregister(&self, name: &Atom) -> bool {
        let Some(entry) = write(&self.names).remove(name) else {
            return false;
        };
        entry.lock().names.retain(|other| other != name);
        true
    }

    /// Forgets the names of a process that has ended.
    pub(super) fn forget_names(&self, gone: &Entry, names: &[Atom]) {
        let mut registered = write(&self.names);
        for name in names {
            if registered
                .get(name)
                .is_some_and(|entry| entry.key() == gone.key())
            {
                registered.remove(name);
            }
        }
    }

    pub(super) fn whereis(&self, name: &Atom) -> Option<Arc<Entry>> {
        read(&self.names).get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<Atom> {
        read(&self.names).keys().cloned().collect()
    }

    pub(super) fn add_alias(&self, alias: Reference, process: &Arc<Entry>, once: bool) {
        // Under the lock of the aliases, so that a process that ends meanwhile leaves none behind.
        let mut aliases = lock(&self.aliases);
        let mut inner = process.lock();
        if inner.is_gone() {
            return;
        }
        inner.aliases.push(alias.clone());
        drop(inner);
        let process = Arc::clone(process);
        aliases.insert(alias, Alias { process, once });
    }

    /// Whether there was such an alias.
    pub(super) fn remove_alias(&self, alias: &Reference) -> bool {
        let removed = lock(&self.aliases).remove(alias);
        let Some(Alias { process, .. }) = removed else {
            return false;
        };
        process.lock().aliases.retain(|other| other != alias);
        true
    }

    #[cfg(test)]
    pub(super) fn alias_count(&self) -> usize {
        lock(&self.aliases).len()
    }

    pub(super) fn forget_aliases(&self, gone: &[Reference]) {
        if gone.is_empty() {
            return;
        }
        let mut aliases = lock(&self.aliases);
        for alias in gone {
            aliases.remove(alias);
        }
    }

    /// The process that an alias stands for, and whether the alias was for one message, and so ended.
    pub(super) fn through_alias(&self, alias: &Reference) -> Option<(Arc<Entry>, bool)> {
        let mut aliases = lock(&self.aliases);
        let found = aliases.get(alias)?;
        let process = Arc::clone(&found.process);
        let once = found.once;
        if once {
            aliases.remove(alias);
            drop(aliases);
            process.lock().aliases.retain(|other| other != alias);
        }
        Some((process, once))
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
