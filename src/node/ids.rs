//! Numbers for processes and references: each is used once in the life of a node. Pure.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::etf::{Atom, Pid, Reference};

/// Makes the pids and references of one life of a node.
#[derive(Debug)]
pub(super) struct Ids {
    node: Atom,
    creation: u32,
    processes: AtomicU64,
    references: AtomicU64,
}

impl Ids {
    pub(super) fn new(node: Atom, creation: u32) -> Self {
        Self {
            node,
            creation,
            processes: AtomicU64::new(1),
            // Not from 1: who reads a log can tell a reference from a pid, and one life from the next.
            references: AtomicU64::new(u64::from(creation) << 18),
        }
    }

    pub(super) fn node(&self) -> &Atom {
        &self.node
    }

    /// The next pid. As OTP did before its pids became longer, 15 bits go into `id` and the rest into
    /// `serial`, so that the first 2^28 are understood by every release.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked; 2^47 processes are never made"
    )]
    pub(super) fn pid(&self) -> Pid {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        Pid {
            node: self.node.clone(),
            id: (number & 0x7fff) as u32,
            serial: (number >> 15) as u32,
            creation: self.creation,
        }
    }

    /// The next reference. OTP keeps the first word to 18 bits.
    #[expect(clippy::cast_possible_truncation, reason = "masked, or shifted out")]
    pub(super) fn reference(&self) -> Reference {
        let number = self.references.fetch_add(1, Ordering::Relaxed);
        Reference {
            node: self.node.clone(),
            creation: self.creation,
            id: vec![
                (number & 0x3_ffff) as u32,
                (number >> 18) as u32,
                (number >> 50) as u32,
            ],
        }
    }

    /// Whether a pid is of this node. A peer that is older than OTP 23 knows two bits of the creation
    /// only, but has to be told all of it, so it is compared whole; 0 stands for any.
    pub(super) fn is_own(&self, pid: &Pid) -> bool {
        (pid.creation == self.creation || pid.creation == 0) && pid.node == self.node
    }

    pub(super) fn is_own_reference(&self, reference: &Reference) -> bool {
        (reference.creation == self.creation || reference.creation == 0)
            && reference.node == self.node
    }
}

/// What a pid of this node is found by.
pub(super) fn key(pid: &Pid) -> u64 {
    u64::from(pid.serial) << 32 | u64::from(pid.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pid_and_no_reference_is_made_twice() {
        let ids = Ids::new(Atom::new("a@h"), 7);
        let mut pids = std::collections::HashSet::new();
        let mut references = std::collections::HashSet::new();
        for _ in 0..100_000 {
            let pid = ids.pid();
            assert!(ids.is_own(&pid));
            assert!(pid.id < 1 << 15, "the part that every release takes");
            assert!(pids.insert(key(&pid)));
            let reference = ids.reference();
            assert!(reference.id[0] < 1 << 18);
            assert!(references.insert(reference));
        }
        let other = Ids::new(Atom::new("a@h"), 8);
        assert!(!ids.is_own(&other.pid()), "another life of the same node");
    }
}
