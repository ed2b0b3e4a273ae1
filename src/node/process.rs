//! A process of the node, as its own code has it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::dist::Flags;
use crate::dist::control::Control;
use crate::etf::{Atom, Pid, Reference, Term};

use super::Node;
use super::entry::{Entry, Exit, Item};
use super::received::{Dest, ExitReason, Received, SendFailed};
use super::registry::RegisterError;
use super::signals::{Monitored, Watcher};

/// A process of a Rust node: it has a pid to which others send, and what they sent is received here.
///
/// [`Node::spawn`] runs code as a process; [`Node::process`] makes one for code that runs anyway, which
/// ends when this is dropped. What belongs to the process alone takes `&mut self`.
///
/// Signals are those of Erlang, between processes of this node as well as to and from other nodes:
/// messages from one process to another keep their order; a link or a monitor of a process that is not there
/// is told `noproc`, and one of a node that cannot be reached `noconnection`.
#[derive(Debug)]
pub struct Process {
    node: Node,
    pub(super) entry: Arc<Entry>,
    /// What was taken over from the mailbox: whole batches, so that its lock is taken seldom.
    taken: VecDeque<Item>,
    /// Whether [`Received::Ended`] was given out.
    told_of_end: bool,
}

/// The pause before a process is told again that it has ended.
const ENDED_AGAIN: Duration = Duration::from_millis(10);

impl Process {
    pub(super) fn new(node: Node, entry: Arc<Entry>) -> Self {
        Self {
            node,
            entry,
            taken: VecDeque::new(),
            told_of_end: false,
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.entry.pid
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Waits for whatever comes next. Cancel-safe.
    ///
    /// After the end of the process this gives [`Received::Ended`] each time, from the second time on after a pause of
    /// 10 ms: a loop that overlooks it is not to take a whole processor.
    pub async fn receive(&mut self) -> Received {
        // A process that always finds something lets the others run too.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(item) = self.taken.pop_front() {
                return self.entry.took(item);
            }
            if !self.take_over() {
                if let Some(ended) = self.ended() {
                    if self.told_of_end {
                        tokio::time::sleep(ENDED_AGAIN).await;
                    }
                    self.told_of_end = true;
                    return ended;
                }
                self.entry.wake.notified().await;
            }
        }
    }

    /// As [`Process::receive`], for as long as `within`. Cancel-safe.
    pub async fn receive_timeout(&mut self, within: Duration) -> Option<Received> {
        let received = tokio::time::timeout(within, self.receive()).await;
        received.ok()
    }

    /// Takes the first of what came, or is still to come, that `wanted` says yes to; the rest stays in
    /// its order. `None` if nothing came `within`; without `within` it waits for ever. Cancel-safe.
    ///
    /// [`Received::Ended`] is given out whether wanted or not.
    pub async fn select(
        &mut self,
        within: Option<Duration>,
        wanted: impl FnMut(&Received) -> bool,
    ) -> Option<Received> {
        let until = within.and_then(|within| Instant::now().checked_add(within));
        self.select_from(0, until, wanted).await
    }

    /// Says where in the mailbox the next thing to come will be: whoever waits for an answer to what it
    /// has not asked yet need not look through what came before.
    pub(super) fn mark(&mut self) -> usize {
        self.take_over();
        self.taken.len()
    }

    pub(super) async fn select_from(
        &mut self,
        mark: usize,
        until: Option<Instant>,
        mut wanted: impl FnMut(&Received) -> bool,
    ) -> Option<Received> {
        tokio::task::coop::consume_budget().await;
        let mut seen = mark;
        loop {
            while let Some(item) = self.taken.get(seen) {
                if wanted(&item.received) {
                    let item = self.taken.remove(seen)?;
                    return Some(self.entry.took(item));
                }
                seen += 1;
            }
            if self.take_over() {
                continue;
            }
            if let Some(ended) = self.ended() {
                if self.told_of_end {
                    tokio::time::sleep(ENDED_AGAIN).await;
                }
                self.told_of_end = true;
                return Some(ended);
            }
            let more = self.entry.wake.notified();
            match until {
                None => more.await,
                Some(until) if timeout_at(until, more).await.is_err() => {
                    // It may have come with the last moment.
                    if !self.take_over() {
                        return None;
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Takes over what is in the mailbox. Whether there was anything.
    fn take_over(&mut self) -> bool {
        let queue = &mut self.entry.lock().queue;
        if queue.is_empty() {
            return false;
        }
        if self.taken.is_empty() {
            std::mem::swap(&mut self.taken, queue);
        } else {
            self.taken.append(queue);
        }
        true
    }

    fn ended(&self) -> Option<Received> {
        let inner = self.entry.lock();
        let reason = inner.fate.clone()?;
        Some(Received::Ended { reason })
    }

    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.entry.waiting()
    }

    /// How many messages were left out because the mailbox was full.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.entry.refused()
    }

    /// Registers the process under a name, as `register/2` does. It may have several.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(&self, name: Atom) -> Result<(), RegisterError> {
        self.node.0.registry.register(name, &self.entry)
    }

    /// Sends a message. A node that is not connected is connected to first; while the peer is behind,
    /// this waits.
    ///
    /// # Errors
    /// See [`SendFailed`]; that nobody is there is no error.
    pub async fn send(
        &self,
        to: impl Into<Dest>,
        message: impl Into<Term>,
    ) -> Result<(), SendFailed> {
        let shared = &self.node.0;
        shared.send(self.pid(), &to.into(), message.into()).await
    }

    /// Sends a message without waiting, over the connection that there is.
    ///
    /// # Errors
    /// See [`SendFailed`]: [`SendFailed::Busy`] when the peer is behind.
    pub fn try_send(
        &self,
        to: impl Into<Dest>,
        message: impl Into<Term>,
    ) -> Result<(), SendFailed> {
        let shared = &self.node.0;
        shared.try_send(self.pid(), &to.into(), message.into())
    }

    /// Whether exit signals are received ([`Received::Exit`]) instead of ending the process. `kill`, sent
    /// with [`Process::exit`], ends it all the same.
    pub fn trap_exit(&mut self, trap: bool) {
        self.entry.lock().traps_exit = trap;
    }

    /// Links to a process: when one of the two ends, the other gets an exit signal. A node that is not
    /// connected is connected to first.
    pub async fn link(&self, to: &Pid) {
        let shared = &self.node.0;
        if to == self.pid() {
            return;
        }
        if shared.is_own_node(&to.node) {
            shared.link_here(&self.entry, to);
            return;
        }
        let link = shared.link_to(&to.node).await.ok();
        shared.link_over(&self.entry, to, link.as_ref());
    }

    /// Takes a link back. What the other process does from now on does not reach this one through it.
    pub fn unlink(&mut self, from: &Pid) {
        let shared = &self.node.0;
        if shared.is_own_node(&from.node) {
            shared.unlink_here(&self.entry, from);
        } else {
            let link = shared.link_up(&from.node);
            let mut inner = self.entry.lock();
            let (own, other) = (self.pid().clone(), from.clone());
            match link {
                Some(link) if link.has(Flags::UNLINK_ID) => {
                    if let Some(id) = inner.relations.unlink(from) {
                        let control = Control::UnlinkId {
                            id,
                            from: own,
                            to: other,
                        };
                        link.signal(&control, None);
                    }
                }
                Some(link) => {
                    if inner.relations.remove_link(from) {
                        let control = Control::Unlink {
                            from: own,
                            to: other,
                        };
                        link.signal(&control, None);
                    }
                }
                None => {
                    inner.relations.remove_link(from);
                }
            }
        }
        // As `unlink/1` has it: no exit signal of the link is received after this.
        self.take_over();
        self.taken.retain(
            |item| !matches!(&item.received, Received::Exit { from: other, .. } if other == from),
        );
    }

    /// Monitors a process: when it ends, or is not there, [`Received::Down`] comes with the reference that
    /// this gives. A node that is not connected is connected to first.
    pub async fn monitor(&self, process: impl Into<Monitored>) -> Reference {
        self.monitor_as(process.into(), false).await
    }

    /// As [`Process::monitor`]; the reference is also an alias of this process until the first message
    /// through it, the monitor's end, or [`Process::demonitor`]: OTP's `{alias, reply_demonitor}`.
    pub async fn monitor_alias(&self, process: impl Into<Monitored>) -> Reference {
        self.monitor_as(process.into(), true).await
    }

    async fn monitor_as(&self, monitored: Monitored, alias: bool) -> Reference {
        let shared = &self.node.0;
        let here = shared.is_own_node(monitored.node());
        let link = if here {
            None
        } else {
            // Before anything is kept: whoever calls this may give up meanwhile.
            shared.link_to(monitored.node()).await.ok()
        };
        let reference = shared.ids.reference();
        if alias {
            let registry = &shared.registry;
            registry.add_alias(reference.clone(), &self.entry, true);
        }
        // First here, then there: what the other side answers finds the monitor.
        if !self.entry.monitor(reference.clone(), monitored.clone()) {
            // The process has ended: nothing is told to it any more.
            return reference;
        }
        let (from, to) = (self.pid().clone(), monitored.process());
        let reason = if here {
            let other = shared.named(&to);
            let watcher = Watcher {
                pid: from,
                monitored: to,
            };
            let watched =
                other.and_then(|it| it.relate(|it| it.watched(reference.clone(), watcher)));
            watched.is_none().then_some("noproc")
        } else {
            let control = Control::Monitor {
                from,
                to,
                reference: reference.clone(),
            };
            let sent = link.is_some_and(|link| link.signal(&control, None));
            (!sent).then_some("noconnection")
        };
        if let Some(reason) = reason {
            self.entry.down(reference.clone(), Term::atom(reason));
            shared.registry.remove_alias(&reference);
        }
        reference
    }

    /// Takes a monitor back. Nothing of it is received after this, not even what has come already.
    pub fn demonitor(&mut self, reference: &Reference) {
        if self.take_back(reference) {
            return;
        }
        self.take_over();
        self.taken.retain(|item| {
            !matches!(&item.received, Received::Down { reference: other, .. } if other == reference)
        });
    }

    /// Takes a monitor back that may have fired. Whether it had not.
    pub(super) fn take_back(&self, reference: &Reference) -> bool {
        let shared = &self.node.0;
        let removed = self.entry.lock().relations.remove_monitor(reference);
        shared.registry.remove_alias(reference);
        let Some(monitored) = removed else {
            return false;
        };
        shared.demonitor(self.pid(), reference.clone(), &monitored);
        true
    }

    /// Makes an alias: a reference that stands for this process until [`Process::unalias`]. What is sent to
    /// it after that goes nowhere.
    #[must_use]
    pub fn alias(&self) -> Reference {
        let shared = &self.node.0;
        let alias = shared.ids.reference();
        shared.registry.add_alias(alias.clone(), &self.entry, false);
        alias
    }

    /// Ends an alias. Whether it was one.
    pub fn unalias(&self, alias: &Reference) -> bool {
        self.node.0.registry.remove_alias(alias)
    }

    /// Sends an exit signal, as `exit/2` does: it ends a process that does not trap exits, and `kill` ends
    /// any.
    pub async fn exit(&self, to: &Pid, reason: impl Into<Term>) {
        let shared = &self.node.0;
        if !shared.is_own_node(&to.node) && shared.link_to(&to.node).await.is_err() {
            return;
        }
        shared.exit(self.pid(), to, reason.into(), Exit::Sent);
    }

    /// Whether an exit signal asks the process to end because the node stops: it comes from the node
    /// itself. One that does not end then is ended.
    #[must_use]
    pub fn is_shutdown(&self, received: &Received) -> bool {
        matches!(received, Received::Exit { from, .. } if *from == self.node.0.own)
    }

    /// Runs `code` as a process that is linked to this one.
    pub fn spawn_link<F, Fut, R>(&self, code: F) -> Pid
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        let options = super::SpawnOptions::new().link(self.pid().clone());
        self.node.0.spawn_nameless(options, code)
    }

    /// Runs `code` as a process that this one monitors.
    pub fn spawn_monitor<F, Fut, R>(&self, code: F) -> (Pid, Reference)
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        let reference = self.node.0.ids.reference();
        let options = super::SpawnOptions::new().monitor(self.pid().clone(), reference.clone());
        (self.node.0.spawn_nameless(options, code), reference)
    }
}

impl From<Pid> for Monitored {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<&Pid> for Monitored {
    fn from(pid: &Pid) -> Self {
        Self::Pid(pid.clone())
    }
}

impl From<(Atom, Atom)> for Monitored {
    fn from((name, node): (Atom, Atom)) -> Self {
        Self::Name(name, node)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // That of a spawned process ends with its code.
        if !self.entry.spawned {
            self.node.0.finish(&self.entry, ExitReason::NORMAL.0);
        }
    }
}
