//! Registers and unregisters names: takes the lock of the names at all nodes, tells them, gives it back. One
//! request at a time. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::etf::{Atom, Export, Pid, Term};

use super::state::{Asker, Output, State, Wake, tuple};
use super::tables::LockId;

/// What is to become of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A process gets it, unless another has it.
    Register(Term, Pid),
    /// A process gets it, whoever has it.
    ReRegister(Term, Pid),
    /// Nobody has it any more.
    Unregister(Term),
}

#[derive(Debug, Default)]
pub(super) struct Registrar {
    requests: VecDeque<(u64, Request)>,
    phase: Phase,
    /// How often the lock was not to be had.
    failures: u32,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// The boss is asked for the lock.
    Boss { boss: Atom, nodes: Vec<Atom> },
    /// All are asked for it.
    All { boss: Atom, nodes: Vec<Atom> },
    /// All are told.
    Telling { nodes: Vec<Atom>, result: bool },
    /// The lock was not to be had; it is tried again later.
    Waiting,
}

impl Registrar {
    pub fn push(&mut self, id: u64, request: Request) {
        self.requests.push_back((id, request));
    }
}

impl State {
    pub(super) fn registrar_next(&mut self, out: &mut Vec<Output>) {
        if matches!(self.registrar.phase, Phase::Idle) && !self.registrar.requests.is_empty() {
            let boss = self.boss();
            let mut nodes: Vec<Atom> = vec![self.me.clone()];
            nodes.extend(self.known.keys().cloned());
            let lock = self.registrar_lock();
            let asked = [boss.clone()];
            self.registrar.phase = Phase::Boss { boss, nodes };
            self.lock_at(Asker::Registrar, &asked, &lock, out);
        }
    }

    fn registrar_lock(&self) -> LockId {
        LockId::of_names(self.registrar_pid.clone().into())
    }

    pub(super) fn registrar_wake(&mut self, out: &mut Vec<Output>) {
        if matches!(self.registrar.phase, Phase::Waiting) {
            self.registrar.phase = Phase::Idle;
            self.registrar_next(out);
        }
    }

    fn registrar_wait(&mut self, out: &mut Vec<Output>) {
        self.registrar.phase = Phase::Waiting;
        self.registrar.failures += 1;
        // Up to a quarter of a second at first, doubled each time, up to eight seconds.
        let at_most = 125 << self.registrar.failures.min(6);
        let wait = Duration::from_millis(self.random(at_most) + 1);
        out.push(Output::Wake(wait, Wake::Registrar));
    }

    /// All nodes that were asked have answered.
    pub(super) fn registrar_answered(&mut self, ok: bool, out: &mut Vec<Output>) {
        let lock = self.registrar_lock();
        match std::mem::take(&mut self.registrar.phase) {
            Phase::Boss { boss, nodes } if ok => {
                let asked = nodes.clone();
                self.registrar.phase = Phase::All { boss, nodes };
                self.lock_at(Asker::Registrar, &asked, &lock, out);
            }
            Phase::Boss { .. } => self.registrar_wait(out),
            Phase::All { boss, .. } if !ok => {
                self.unlock(Asker::Registrar, &[boss], &lock, out);
                self.registrar_wait(out);
            }
            Phase::All { nodes, .. } => {
                // Whoever came meanwhile does not hold the lock.
                if self.known.keys().all(|node| nodes.contains(node)) {
                    self.registrar_tell(nodes, out);
                } else {
                    self.unlock(Asker::Registrar, &nodes, &lock, out);
                    self.registrar_wait(out);
                }
            }
            Phase::Telling { nodes, result } => {
                self.unlock(Asker::Registrar, &nodes, &lock, out);
                self.registrar.failures = 0;
                if let Some((id, _)) = self.registrar.requests.pop_front() {
                    out.push(Output::Done(id, result));
                }
                self.registrar.phase = Phase::Idle;
                self.registrar_next(out);
            }
            other => self.registrar.phase = other,
        }
    }

    /// The lock is held everywhere.
    fn registrar_tell(&mut self, nodes: Vec<Atom>, out: &mut Vec<Output>) {
        let Some((_, request)) = self.registrar.requests.front().cloned() else {
            return;
        };
        let taken = |name: &Term| self.whereis(name).is_some();
        // A process has one name, as OTP wants it unless it is told otherwise.
        let named = |pid: &Pid| self.names().any(|(_, other)| other == pid);
        let result = match &request {
            Request::Register(name, pid) => !taken(name) && !named(pid),
            Request::ReRegister(..) => true,
            Request::Unregister(name) => taken(name),
        };
        let told = if result { nodes.clone() } else { Vec::new() };
        self.registrar.phase = Phase::Telling { nodes, result };
        let message = match request {
            Request::Register(name, pid) | Request::ReRegister(name, pid) => {
                tuple([Term::atom("register"), name, pid.into(), method()])
            }
            Request::Unregister(name) => tuple([Term::atom("unregister"), name]),
        };
        self.ask(Asker::Registrar, &told, &message, None, out);
    }
}

/// `fun global:random_exit_name/3`, which ends one of two processes that have the same name.
fn method() -> Term {
    Term::Export(Box::new(Export {
        module: Atom::new("global"),
        function: Atom::new("random_exit_name"),
        arity: 3,
    }))
}
