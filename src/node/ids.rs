//! Numbers for processes and references: each is used once in the life of a node. Pure.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::etf::{Atom, Pid, Reference};

/// Makes the pids and references of one life of a node.
#[derive(Debug)]
pub(super) struct Ids {
    node: Atom,
    creation: u32,
    processes: AtomicU64,
    references: AtomicU64,
    /// What makes references such that nobody can guess them.
    secret: RandomState,
}

impl Ids {
    pub(super) fn new(node: Atom, creation: u32) -> Self {
        Self {
            node,
            creation,
            processes: AtomicU64::new(1),
            references: AtomicU64::new(0),
            secret: RandomState::new(),
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
    ///
    /// A reference is how an answer is known, so nobody who has seen one can tell the next: what is counted goes
    /// through a permutation with a secret key (a Feistel network of four rounds).
    pub(super) fn reference(&self) -> Reference {
        let number = self.references.fetch_add(1, Ordering::Relaxed);
        let hash = |round: u8, half: u32| low_word(self.secret.hash_one((round, half)));
        let (mut left, mut right) = (low_word(number >> 32), low_word(number));
        for round in 0..4 {
            (left, right) = (right, left ^ hash(round, right));
        }
        let more = low_word(self.secret.hash_one((4_u8, number)));
        Reference {
            node: self.node.clone(),
            creation: self.creation,
            id: vec![more & 0x3_ffff, left, right],
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

#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low_word(number: u64) -> u32 {
    number as u32
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
        let [first, second] = [(); 2].map(|()| ids.reference().id);
        assert!(
            first[1].abs_diff(second[1]) > 1 || first[2].abs_diff(second[2]) > 1,
            "whoever knows one does not know the next"
        );
        let other = Ids::new(Atom::new("a@h"), 8);
        assert!(!ids.is_own(&other.pid()), "another life of the same node");
    }
}
