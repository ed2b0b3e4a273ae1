//! Takes the lock of the names together with the locker of another node, so that the two can exchange what
//! they have. One at a time. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::etf::{Atom, Pid, Term};

use super::state::{Asker, Output, State, Wake};
use super::tables::LockId;

/// A node to synchronise with.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Its locker.
    pub locker: Pid,
    pub my_tag: i64,
    pub his_tag: Term,
}

#[derive(Debug, Default)]
pub(super) struct Locker {
    candidates: Vec<Candidate>,
    phase: Phase,
    /// `lock_set` of others, which wait until this one is free: at most one of each candidate.
    deferred: VecDeque<(Pid, bool, i64)>,
    /// The last one went well, so the next is tried at once.
    just_synced: bool,
    armed: bool,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// Nodes are being asked.
    Locking(Locking),
    /// The lock is held, and the other is asked to take it too.
    Asking(Held),
    /// Both hold it, until the names are exchanged.
    Exchanging(Held),
}

#[derive(Debug)]
struct Locking {
    him: Candidate,
    /// Whether it began here.
    initiator: bool,
    lock: LockId,
    held: Vec<Atom>,
    asking: Vec<Atom>,
    rest: Stage,
}

/// What is to be asked next: the boss, so that not many wait for each other in a ring; then the two; then all.
#[derive(Debug)]
enum Stage {
    Two,
    All(Vec<Atom>),
    Nobody,
}

#[derive(Debug)]
struct Held {
    node: Atom,
    my_tag: i64,
    lock: LockId,
    nodes: Vec<Atom>,
}

impl State {
    pub(super) fn locker_add(&mut self, candidate: Candidate, out: &mut Vec<Output>) {
        self.locker.candidates.push(candidate);
        self.locker_arm(out);
    }

    /// An attempt ends. What is to be said before the lock is given back is said.
    pub(super) fn locker_cancel(
        &mut self,
        node: &Atom,
        tag: i64,
        news: Option<Vec<Output>>,
        out: &mut Vec<Output>,
    ) {
        out.extend(news.into_iter().flatten());
        let locker = &mut self.locker;
        let same = |locker: &Pid, my_tag: i64| locker.node == *node && my_tag == tag;
        locker
            .candidates
            .retain(|him| !same(&him.locker, him.my_tag));
        locker
            .deferred
            .retain(|(pid, _, my_tag)| !same(pid, *my_tag));
        let ends = |held: &Held| held.node == *node && held.my_tag == tag;
        match std::mem::take(&mut locker.phase) {
            Phase::Asking(held) if ends(&held) => self.release(held, out),
            Phase::Exchanging(held) if ends(&held) => {
                self.locker.just_synced = true;
                self.release(held, out);
            }
            // One that is still asking nodes finds out when they have answered.
            other => self.locker.phase = other,
        }
    }

    fn release(&mut self, held: Held, out: &mut Vec<Output>) {
        self.unlock(Asker::Locker, &held.nodes, &held.lock, out);
        self.locker_idle(out);
    }

    fn locker_idle(&mut self, out: &mut Vec<Output>) {
        self.locker.phase = Phase::Idle;
        while matches!(self.locker.phase, Phase::Idle) {
            let Some((pid, set, tag)) = self.locker.deferred.pop_front() else {
                break;
            };
            self.lock_set(pid, set, tag, out);
        }
        self.locker_arm(out);
    }

    /// If there is somebody to synchronise with, that is tried after a while: he may be first.
    pub(super) fn locker_arm(&mut self, out: &mut Vec<Output>) {
        let locker = &mut self.locker;
        let idle = matches!(locker.phase, Phase::Idle);
        if locker.armed || !idle || locker.candidates.is_empty() {
            return;
        }
        let known = self.known.len() as u64;
        let wait = match known {
            _ if locker.just_synced => 0,
            0 => 200,
            _ => (1000 + 100 * known).min(3000),
        };
        locker.just_synced = false;
        locker.armed = true;
        out.push(Output::Wake(Duration::from_millis(wait), Wake::Locker));
    }

    pub(super) fn locker_wake(&mut self, out: &mut Vec<Output>) {
        self.locker.armed = false;
        if !matches!(self.locker.phase, Phase::Idle) || self.locker.candidates.is_empty() {
            return;
        }
        if self.tables.global_lock_is_set() {
            self.locker_arm(out);
            return;
        }
        let known = &self.known;
        let unknown = |him: &Candidate| !known.contains_key(&him.locker.node);
        self.locker.candidates.retain(unknown);
        // Those on the same host first, as they are the quickest.
        let host = |node: &Atom| {
            node.as_str()
                .split_once('@')
                .map(|(_, host)| host.to_owned())
        };
        let here = host(&self.me);
        let near = |him: &&Candidate| host(&him.locker.node) == here;
        let mut choice: Vec<_> = self
            .locker
            .candidates
            .iter()
            .filter(near)
            .cloned()
            .collect();
        if choice.is_empty() {
            choice.clone_from(&self.locker.candidates);
        }
        if choice.is_empty() {
            return;
        }
        let chosen = self.random(choice.len() as u64);
        let him = choice.swap_remove(usize::try_from(chosen).unwrap_or(0));
        let locker = him.locker.clone();
        self.lock_with(him, locker, true, out);
    }

    fn lock_with(&mut self, him: Candidate, his: Pid, initiator: bool, out: &mut Vec<Output>) {
        // Both name the lock after both, so that they do not exclude each other.
        let mut pids = [self.locker_pid.clone(), his];
        pids.sort_by(order);
        let lock = LockId::of_names(Term::List(pids.map(Term::from).into()));
        let boss = vec![self.boss()];
        let free = self.tables.can_lock(&lock.resource, &lock.requester);
        let possible = boss == [self.me.clone()] || free;
        self.locker.phase = Phase::Locking(Locking {
            him,
            initiator,
            lock: lock.clone(),
            held: Vec::new(),
            asking: boss.clone(),
            rest: Stage::Two,
        });
        if possible {
            self.lock_at(Asker::Locker, &boss, &lock, out);
        } else {
            self.locker_answered(false, out);
        }
    }

    /// All nodes that were asked for the lock have answered.
    pub(super) fn locker_answered(&mut self, ok: bool, out: &mut Vec<Output>) {
        let Phase::Locking(mut locking) = std::mem::take(&mut self.locker.phase) else {
            return;
        };
        if !ok {
            let held = std::mem::take(&mut locking.held);
            self.unlock(Asker::Locker, &held, &locking.lock, out);
            return self.not_locked(&locking, out);
        }
        locking.held.append(&mut locking.asking);
        let node = locking.him.locker.node.clone();
        let next = match std::mem::replace(&mut locking.rest, Stage::Nobody) {
            Stage::Two => {
                locking.rest = Stage::All(self.known.keys().cloned().collect());
                let two = [Some(self.me.clone()), locking.initiator.then_some(node)];
                two.into_iter().flatten().collect()
            }
            Stage::All(known) => known,
            Stage::Nobody => return self.all_locked(locking, out),
        };
        let held = &locking.held;
        locking.asking = next
            .into_iter()
            .filter(|node| !held.contains(node))
            .collect();
        let (asking, lock) = (locking.asking.clone(), locking.lock.clone());
        self.locker.phase = Phase::Locking(locking);
        if asking.is_empty() {
            self.locker_answered(true, out);
        } else {
            self.lock_at(Asker::Locker, &asking, &lock, out);
        }
    }

    fn is_candidate(&self, him: &Candidate) -> bool {
        let same =
            |other: &Candidate| other.locker.node == him.locker.node && other.my_tag == him.my_tag;
        self.locker.candidates.iter().any(same)
    }

    fn not_locked(&mut self, locking: &Locking, out: &mut Vec<Output>) {
        if !locking.initiator {
            self.send_lock_set(&locking.him, false, out);
        }
        self.locker_idle(out);
    }

    fn all_locked(&mut self, locking: Locking, out: &mut Vec<Output>) {
        let Locking {
            him,
            initiator,
            lock,
            held,
            ..
        } = &locking;
        if !self.is_candidate(him) {
            // It was given up meanwhile.
            self.unlock(Asker::Locker, held, lock, out);
            return self.not_locked(&locking, out);
        }
        self.send_lock_set(him, true, out);
        let (node, my_tag) = (him.locker.node.clone(), him.my_tag);
        let lock = lock.clone();
        let held = Held {
            node: node.clone(),
            my_tag,
            lock: lock.clone(),
            nodes: held.clone(),
        };
        if *initiator {
            self.locker.phase = Phase::Asking(held);
            // He may have begun too.
            let his = |(pid, _, tag): &(Pid, bool, i64)| pid.node == node && *tag == my_tag;
            if let Some(place) = self.locker.deferred.iter().position(his)
                && let Some((pid, set, tag)) = self.locker.deferred.remove(place)
            {
                self.lock_set(pid, set, tag, out);
            }
        } else {
            self.locker.phase = Phase::Exchanging(held);
            self.locked(&node, my_tag, lock, out);
        }
    }

    fn send_lock_set(&self, him: &Candidate, set: bool, out: &mut Vec<Output>) {
        let known = self.known.keys().cloned().map(Term::Atom).collect();
        let fields = [
            self.locker_pid.clone().into(),
            set.into(),
            Term::List(known),
            him.his_tag.clone(),
        ];
        self.cast(&him.locker.node, "lock_set", fields, out);
    }

    /// His locker says that it has the lock, or that it could not get it.
    pub(super) fn lock_set(&mut self, pid: Pid, set: bool, tag: i64, out: &mut Vec<Output>) {
        match std::mem::take(&mut self.locker.phase) {
            Phase::Asking(held) if held.node == pid.node && held.my_tag == tag => {
                if set {
                    let lock = held.lock.clone();
                    self.locker.phase = Phase::Exchanging(held);
                    self.locked(&pid.node, tag, lock, out);
                } else {
                    self.release(held, out);
                }
            }
            // What nobody asked for has no meaning.
            Phase::Idle if !set => {}
            Phase::Idle => {
                let same = |him: &&Candidate| him.locker.node == pid.node && him.my_tag == tag;
                match self.locker.candidates.iter().find(same).cloned() {
                    Some(him) => self.lock_with(him, pid, false, out),
                    None => {
                        let nobody = Candidate {
                            locker: pid,
                            my_tag: tag,
                            his_tag: Term::Int(0),
                        };
                        self.send_lock_set(&nobody, false, out);
                    }
                }
            }
            busy => {
                self.locker.phase = busy;
                self.locker
                    .deferred
                    .retain(|(other, ..)| other.node != pid.node);
                self.locker.deferred.push_back((pid, set, tag));
            }
        }
    }
}

/// The order of pids in Erlang, on which both nodes have to agree. (OTP 25 to 29 were asked to sort some.)
fn order(a: &Pid, b: &Pid) -> std::cmp::Ordering {
    let key = |pid: &Pid| (pid.serial, pid.id);
    let by_number = key(a).cmp(&key(b));
    let by_node = || a.node.as_str().cmp(b.node.as_str());
    by_number
        .then_with(by_node)
        .then_with(|| a.creation.cmp(&b.creation))
}
