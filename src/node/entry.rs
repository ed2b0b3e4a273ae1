//! What a node holds of one of its processes: the mailbox, the relations to others, and whether it ends.
//!
//! Whoever delivers never waits here. The lock of an entry may be held while a connection is told
//! something, and nothing else is ever locked under it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::etf::{Atom, Pid, Reference, Term};

use super::credit::Credit;
use super::ids::key;
use super::lock;
use super::received::Received;
use super::related::Related;
use super::signals::{Ended, Monitored, Relations};

/// How many messages may wait in a mailbox, and what becomes of one more.
///
/// Links, monitors and exit signals do not count: they are never lost.
///
/// ```
/// use rendez::node::{MailboxBound, WhenFull};
///
/// // A process that may be slow, and that may miss messages rather than hold up a connection.
/// let bound = MailboxBound { bytes: 4 << 20, when_full: WhenFull::Refuse, ..MailboxBound::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxBound {
    /// The most messages that wait, those among them that a selective receive left out.
    pub messages: usize,
    /// When so many bytes of messages from other nodes wait, the mailbox is full. Default: no bound, so that a
    /// process which receives too slowly holds up the connection that its messages come over
    /// ([`super::Limits::unreceived`]). One with a bound below that mark never does.
    pub bytes: usize,
    /// What becomes of one more.
    pub when_full: WhenFull,
}

/// What becomes of a message for a mailbox that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The process ends with the reason `mailbox_full`, and whoever is linked to it or monitors it is told:
    /// nobody goes on in the belief that it heard everything.
    End,
    /// The message is left out, and counted: [`super::Process::refused`].
    Refuse,
}

impl Default for MailboxBound {
    /// 1,048,576 messages of any size; a process that does not keep up even then ends.
    fn default() -> Self {
        Self {
            messages: 1 << 20,
            bytes: usize::MAX,
            when_full: WhenFull::End,
        }
    }
}

/// How an exit signal came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// A linked process ended.
    Link,
    /// Somebody sent it: `exit/2`.
    Sent,
}

/// What a delivery led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a process that ends by a signal has to be ended"]
pub(super) enum Delivered {
    /// It is there, or was for nobody any more.
    Done,
    /// There is no such process any more.
    Gone,
    /// It ends the process.
    Ends,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) received: Received,
    /// What the connection that it came over gets back once it is taken out.
    pub(super) credit: Option<Credit>,
}

impl Item {
    /// How many bytes it counts for in the mailbox.
    pub(super) fn bytes(&self) -> usize {
        self.credit.as_ref().map_or(0, Credit::bytes)
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pid: Pid,
    /// Whether code runs in a task of its own, which ends with the process.
    pub(super) spawned: bool,
    /// Whether it is one of the processes that every node has, which `kill` does not end.
    system: bool,
    bound: MailboxBound,
    inner: Mutex<Inner>,
    /// Something came into an empty mailbox, or the process ended.
    pub(super) wake: Notify,
    /// The process has to end.
    pub(super) end: Notify,
    /// How many messages wait, those that [`super::Process`] has taken over but not given out among them.
    waiting: AtomicUsize,
    /// How many bytes of them came from other nodes.
    bytes: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) queue: VecDeque<Item>,
    pub(super) relations: Relations,
    pub(super) traps_exit: bool,
    /// Why it ends; it may still be about to.
    pub(super) fate: Option<Term>,
    /// The others have been told.
    gone: bool,
    pub(super) names: Vec<Atom>,
    pub(super) aliases: Vec<Reference>,
}

/// What is to be done for a process that ended.
pub(super) struct Remains {
    pub(super) reason: Term,
    pub(super) relations: Ended,
    pub(super) names: Vec<Atom>,
    pub(super) aliases: Vec<Reference>,
}

impl Inner {
    /// Whether the process has ended for good.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Puts something into the mailbox. Whether the process has to be woken for it.
    fn put(&mut self, item: Item) -> bool {
        let was_empty = self.queue.is_empty();
        self.queue.push_back(item);
        was_empty
    }
}

impl Entry {
    pub(super) fn new(
        pid: Pid,
        spawned: bool,
        bound: MailboxBound,
        related: &Arc<Related>,
    ) -> Self {
        let relations = Relations::listed(Arc::clone(related), key(&pid));
        Self {
            pid,
            spawned,
            system: false,
            bound,
            inner: Mutex::new(Inner {
                relations,
                ..Inner::default()
            }),
            wake: Notify::new(),
            end: Notify::new(),
            waiting: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// One of the processes that every node has. A BEAM begins these again when somebody ends them, and here
    /// they do not end: an exit signal of another process does not reach them, `kill` neither.
    pub(super) fn system(pid: Pid, bound: MailboxBound, related: &Arc<Related>) -> Self {
        let mut entry = Self::new(pid, false, bound, related);
        entry.system = true;
        entry.lock().traps_exit = true;
        entry
    }

    pub(super) fn key(&self) -> u64 {
        key(&self.pid)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.lock().fate.is_none()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// An item has been taken out of the mailbox.
    pub(super) fn took(&self, item: Item) -> Received {
        if matches!(item.received, Received::Message(_)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(item.bytes(), Ordering::Relaxed);
        }
        item.received
    }

    pub(super) fn message(&self, message: Term, credit: Option<Credit>) -> Delivered {
        let (delivered, wake) = self.message_quietly(message, credit);
        if wake {
            self.wake.notify_one();
        }
        delivered
    }

    /// As [`Entry::message`], and leaves it to the caller to wake the process, if it has to be: whoever
    /// has more messages at hand wakes it once.
    pub(super) fn message_quietly(
        &self,
        message: Term,
        credit: Option<Credit>,
    ) -> (Delivered, bool) {
        let mut inner = self.lock();
        if inner.fate.is_some() {
            return (Delivered::Gone, false);
        }
        // Both can only get lower meanwhile: they rise under the lock.
        if self.waiting.load(Ordering::Relaxed) >= self.bound.messages
            || self.bytes.load(Ordering::Relaxed) >= self.bound.bytes
        {
            match self.bound.when_full {
                WhenFull::End => {
                    return (self.doom(&mut inner, Term::atom("mailbox_full")), false);
                }
                WhenFull::Refuse => {
                    if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                        let pid = &self.pid;
                        tracing::warn!(?pid, "a mailbox is full: messages are left out");
                    }
                    return (Delivered::Done, false);
                }
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let received = Received::Message(message);
        let item = Item { received, credit };
        self.bytes.fetch_add(item.bytes(), Ordering::Relaxed);
        (Delivered::Done, inner.put(item))
    }

    /// Puts in what is never refused; what came from another node holds up its connection at most.
    fn push(&self, inner: &mut Inner, received: Received, credit: Option<Credit>) {
        if inner.put(Item { received, credit }) {
            self.wake.notify_one();
        }
    }

    /// A signal says that `from` ended, or tells this process to end.
    pub(super) fn exit(
        &self,
        from: &Pid,
        reason: Term,
        how: Exit,
        credit: Option<Credit>,
    ) -> Delivered {
        let mut inner = self.lock();
        if inner.fate.is_some() {
            return Delivered::Gone;
        }
        if how == Exit::Link && !inner.relations.link_broke(from) {
            return Delivered::Done;
        }
        self.react(&mut inner, from, reason, how, credit)
    }

    /// A connection is lost, and with it what this process had to do with the node at its other end. Adds
    /// the monitors that fired to `fired`.
    pub(super) fn lose(&self, node: &Atom, fired: &mut Vec<Reference>) -> Delivered {
        let mut inner = self.lock();
        let lost = inner.relations.lose(node);
        if inner.fate.is_some() {
            return Delivered::Gone;
        }
        let reason = || Term::atom("noconnection");
        for (reference, process) in lost.monitors {
            fired.push(reference.clone());
            let reason = reason();
            self.push(
                &mut inner,
                Received::Down {
                    reference,
                    process,
                    reason,
                },
                None,
            );
        }
        for from in lost.links {
            if self.react(&mut inner, &from, reason(), Exit::Link, None) == Delivered::Ends {
                return Delivered::Ends;
            }
        }
        Delivered::Done
    }

    fn react(
        &self,
        inner: &mut Inner,
        from: &Pid,
        reason: Term,
        how: Exit,
        credit: Option<Credit>,
    ) -> Delivered {
        if self.system {
            // None of them links to another process.
            tracing::debug!(pid = ?self.pid, ?from, "an exit signal for a process of the node itself");
            return Delivered::Done;
        }
        if how == Exit::Sent && is_atom(&reason, "kill") {
            return self.doom(inner, Term::atom("killed"));
        }
        if inner.traps_exit {
            let from = from.clone();
            self.push(inner, Received::Exit { from, reason }, credit);
            return Delivered::Done;
        }
        // That another process did what it was for ends nobody, unless it is oneself who says so.
        if is_atom(&reason, "normal") && *from != self.pid {
            return Delivered::Done;
        }
        self.doom(inner, reason)
    }

    /// The end of what this process monitors. Whether there was such a monitor.
    pub(super) fn down(&self, reference: Reference, reason: Term) -> bool {
        self.down_if(reference, reason, None, Relations::remove_monitor)
    }

    /// The same, as a peer says it, which knows of its own processes only.
    pub(super) fn down_of(
        &self,
        node: &Atom,
        reference: Reference,
        reason: Term,
        credit: Credit,
    ) -> bool {
        let remove = |relations: &mut Relations, reference: &Reference| {
            relations.remove_monitor_of(node, reference)
        };
        self.down_if(reference, reason, Some(credit), remove)
    }

    fn down_if(
        &self,
        reference: Reference,
        reason: Term,
        credit: Option<Credit>,
        remove: impl FnOnce(&mut Relations, &Reference) -> Option<Monitored>,
    ) -> bool {
        let mut inner = self.lock();
        if inner.fate.is_some() {
            return false;
        }
        let Some(process) = remove(&mut inner.relations, &reference) else {
            return false;
        };
        let down = Received::Down {
            reference,
            process,
            reason,
        };
        self.push(&mut inner, down, credit);
        true
    }

    /// Decides that the process ends.
    pub(super) fn doom(&self, inner: &mut Inner, reason: Term) -> Delivered {
        if inner.fate.is_some() {
            return Delivered::Done;
        }
        inner.fate = Some(reason);
        // What waits is read by nobody any more, and others may want the room.
        inner.queue.clear();
        self.end.notify_one();
        self.wake.notify_one();
        Delivered::Ends
    }

    /// Ends the process for good: `None` if that was done before.
    pub(super) fn bury(&self, reason: Term) -> Option<Remains> {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.gone, true) {
            return None;
        }
        let reason = inner.fate.get_or_insert(reason).clone();
        let queue = std::mem::take(&mut inner.queue);
        let remains = Remains {
            reason,
            relations: inner.relations.end(),
            names: std::mem::take(&mut inner.names),
            aliases: std::mem::take(&mut inner.aliases),
        };
        drop(inner);
        // Terms may be large: not under the lock.
        drop(queue);
        self.wake.notify_one();
        Some(remains)
    }

    /// Does something to the relations of the process, if it is there for it: one that is about to end still
    /// takes links and monitors, and answers them when it has ended.
    pub(super) fn relate<T>(&self, change: impl FnOnce(&mut Relations) -> T) -> Option<T> {
        let mut inner = self.lock();
        (!inner.gone).then(|| change(&mut inner.relations))
    }

    /// Sets a monitor of this process's own. Whether it is there to have one.
    pub(super) fn monitor(&self, reference: Reference, monitored: Monitored) -> bool {
        self.relate(|relations| relations.monitor(reference, monitored))
            .is_some()
    }
}

fn is_atom(term: &Term, name: &str) -> bool {
    term.as_atom().is_some_and(|atom| *atom == *name)
}
