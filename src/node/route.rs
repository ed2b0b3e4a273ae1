//! Where a signal goes: to a process of this node, or over a connection.
//!
//! What a process does by itself to another node (send, link, monitor) connects first if need be, and waits.
//! What follows from something else (an exit, the end of a monitor, an acknowledgement) goes over the
//! connection that there is, or nowhere: if there is none, the other side has been told so already.

use std::sync::Arc;

use crate::dist::Flags;
use crate::dist::control::{self, Control};
use crate::etf::{Atom, Pid, Reference, Term};

use super::Shared;
use super::connection::Connection;
use super::credit::Credit;
use super::entry::{Delivered, Entry, Exit};
use super::received::{Dest, ExitReason, SendFailed};
use super::signals::{Monitored, Watcher};

impl Shared {
    /// The process of this node with that pid.
    pub(super) fn process(&self, pid: &Pid) -> Option<Arc<Entry>> {
        if self.ids.is_own(pid) {
            self.registry.get(pid)
        } else {
            None
        }
    }

    /// The process of this node that a monitor names.
    pub(super) fn named(&self, process: &control::Process) -> Option<Arc<Entry>> {
        match process {
            control::Process::Pid(pid) => self.process(pid),
            control::Process::Name(name) => self.registry.whereis(name),
        }
    }

    pub(super) fn is_own_node(&self, node: &Atom) -> bool {
        *node == *self.ids.node()
    }

    /// Goes on with a process that a signal may have ended.
    pub(super) fn settle(&self, entry: &Entry, delivered: Delivered) {
        // One that runs in a task ends there, when its code has been dropped.
        if delivered == Delivered::Ends && !entry.spawned {
            self.finish(entry, ExitReason::NORMAL.0);
        }
    }

    pub(super) fn deliver(&self, entry: &Entry, message: Term, credit: Option<Credit>) {
        let delivered = entry.message(message, credit);
        self.settle(entry, delivered);
    }

    /// The process of this node that a message is for.
    pub(super) fn here(&self, dest: &Dest) -> Option<Arc<Entry>> {
        match dest {
            Dest::Pid(pid) => self.process(pid),
            Dest::Name(name) | Dest::Remote(name, _) => self.registry.whereis(name),
            Dest::Alias(alias) => {
                let (entry, once) = self.registry.through_alias(alias)?;
                // `{alias, reply_demonitor}`: the monitor goes with its alias.
                if once && let Some(monitored) = entry.lock().relations.remove_monitor(alias) {
                    self.demonitor(&entry.pid, alias.clone(), &monitored);
                }
                Some(entry)
            }
        }
    }

    /// A message of this node's for its own processes. One for nobody goes nowhere.
    ///
    /// # Errors
    /// [`SendFailed::Stopped`] if nobody is there because the node has been stopped.
    pub(super) fn deliver_here(&self, dest: &Dest, message: Term) -> Result<(), SendFailed> {
        match self.here(dest) {
            Some(entry) => self.deliver(&entry, message, None),
            None if self.is_stopped() => return Err(SendFailed::Stopped),
            None => {}
        }
        Ok(())
    }

    /// The node that something is to be sent to, if it is not this one.
    pub(super) fn elsewhere<'a>(&self, dest: &'a Dest) -> Option<&'a Atom> {
        let node = match dest {
            Dest::Pid(pid) => &pid.node,
            Dest::Name(_) => return None,
            Dest::Remote(_, node) => node,
            Dest::Alias(alias) => &alias.node,
        };
        (!self.is_own_node(node)).then_some(node)
    }

    pub(super) fn control(link: &Connection, from: &Pid, dest: &Dest) -> Option<Control> {
        Some(match dest.clone() {
            Dest::Pid(to) if link.has(Flags::SEND_SENDER) => Control::SendSender {
                from: from.clone(),
                to,
            },
            Dest::Pid(to) => Control::Send { to },
            Dest::Name(to) | Dest::Remote(to, _) => Control::RegSend {
                from: from.clone(),
                to,
            },
            Dest::Alias(alias) if link.has(Flags::ALIAS) => Control::AliasSend {
                from: from.clone(),
                alias,
            },
            Dest::Alias(_) => return None,
        })
    }

    /// Sends a message as `from`; connects first if need be, and waits while the peer is behind.
    pub(super) async fn send(
        self: &Arc<Self>,
        from: &Pid,
        dest: &Dest,
        message: Term,
    ) -> Result<(), SendFailed> {
        let Some(node) = self.elsewhere(dest) else {
            tokio::task::coop::consume_budget().await;
            return self.deliver_here(dest, message);
        };
        let link = self.link_to(node).await?;
        match Self::control(&link, from, dest) {
            Some(control) => link.send(&control, Some(&message)).await,
            // A peer that does not know aliases made none.
            None => Ok(()),
        }
    }

    /// Sends a message without waiting, over the connection that there is.
    pub(super) fn try_send(
        &self,
        from: &Pid,
        dest: &Dest,
        message: Term,
    ) -> Result<(), SendFailed> {
        let Some(node) = self.elsewhere(dest) else {
            return self.deliver_here(dest, message);
        };
        let link = self
            .link_up(node)
            .ok_or_else(|| SendFailed::NotConnected(node.clone()))?;
        match Self::control(&link, from, dest) {
            Some(control) => link.try_send(&control, Some(&message)),
            None => Ok(()),
        }
    }

    /// `from` sends an exit signal, or ended while it was linked to `to`.
    pub(super) fn exit(&self, from: &Pid, to: &Pid, reason: Term, how: Exit) {
        if self.is_own_node(&to.node) {
            if let Some(entry) = self.process(to) {
                let delivered = entry.exit(from, reason, how, None);
                self.settle(&entry, delivered);
            }
        } else if let Some(link) = self.link_up(&to.node) {
            send_exit(&link, from.clone(), to.clone(), reason, how);
        }
    }

    /// Tells the process that monitored `watcher.monitored` that it is down.
    pub(super) fn down(&self, reference: Reference, watcher: Watcher, reason: Term) {
        let Watcher { pid, monitored } = watcher;
        if self.is_own_node(&pid.node) {
            if let Some(entry) = self.process(&pid) {
                entry.down(reference.clone(), reason);
                // A monitor's alias goes with it.
                self.registry.remove_alias(&reference);
            }
        } else if let Some(link) = self.link_up(&pid.node) {
            let (from, to) = (monitored, pid);
            if link.has(Flags::EXIT_PAYLOAD) {
                let control = Control::PayloadMonitorExit {
                    from,
                    to,
                    reference,
                };
                link.signal(&control, Some(&reason));
            } else {
                let control = Control::MonitorExit {
                    from,
                    to,
                    reference,
                    reason,
                };
                link.signal(&control, None);
            }
        }
    }

    /// Takes a monitor back.
    pub(super) fn demonitor(&self, from: &Pid, reference: Reference, monitored: &Monitored) {
        let node = monitored.node();
        let to = monitored.process();
        if self.is_own_node(node) {
            self.demonitor_from(from, &to, &reference);
        } else if let Some(link) = self.link_up(node) {
            let control = Control::Demonitor {
                from: from.clone(),
                to,
                reference,
            };
            link.signal(&control, None);
        }
    }

    /// Links `entry` to a process of this node.
    pub(super) fn link_here(&self, entry: &Entry, to: &Pid) {
        // Both sides change as one, so no unlink between processes of one node waits for anything.
        let _both = super::lock(&self.linking);
        if entry.relate(|relations| relations.link(to)) != Some(true) {
            return;
        }
        let other = self.process(to);
        let linked = other.and_then(|other| other.relate(|other| other.linked(&entry.pid)));
        if linked.is_none() {
            let delivered = entry.exit(to, Term::atom("noproc"), Exit::Link, None);
            self.settle(entry, delivered);
        }
    }

    /// Links `entry` to a process of another node, over the connection that there is.
    pub(super) fn link_over(&self, entry: &Entry, to: &Pid, link: Option<&Connection>) {
        let linked = {
            // Under the lock of the entry, so that signals go out in the order in which they count here.
            let mut inner = entry.lock();
            if inner.is_gone() || !inner.relations.link(to) {
                return;
            }
            let control = Control::Link {
                from: entry.pid.clone(),
                to: to.clone(),
            };
            link.is_some_and(|link| link.signal(&control, None))
        };
        if !linked {
            let delivered = entry.exit(to, Term::atom("noconnection"), Exit::Link, None);
            self.settle(entry, delivered);
        }
    }

    pub(super) fn unlink_here(&self, entry: &Entry, from: &Pid) {
        let _both = super::lock(&self.linking);
        entry.relate(|relations| relations.remove_link(from));
        if let Some(other) = self.process(from) {
            other.relate(|other| other.remove_link(&entry.pid));
        }
    }

    /// Ends a process for good: tells everyone who is to know. Does nothing if that was done before.
    pub(super) fn finish(&self, entry: &Entry, reason: Term) {
        let Some(remains) = entry.bury(reason) else {
            return;
        };
        self.registry.forget_names(entry, &remains.names);
        self.registry.forget_aliases(&remains.aliases);
        let reason = remains.reason;
        for (reference, monitored) in remains.relations.monitors {
            self.demonitor(&entry.pid, reference, &monitored);
        }
        for (reference, watcher) in remains.relations.watchers {
            self.down(reference, watcher, reason.clone());
        }
        for other in remains.relations.links {
            self.exit(&entry.pid, &other, reason.clone(), Exit::Link);
        }
        // Last: a node that stops closes its connections as soon as no process is left, and then all have
        // to have told theirs.
        self.registry.remove(entry);
        self.ended.notify_waiters();
    }

    /// A connection is gone: every link and monitor over it fires.
    pub(super) fn lose(&self, node: &Atom) {
        self.requests.lose(node);
        let mut fired = Vec::new();
        let related = self.related.take(node);
        for entry in related
            .into_iter()
            .filter_map(|it| self.registry.by_key(it))
        {
            let delivered = entry.lose(node, &mut fired);
            self.settle(&entry, delivered);
        }
        // A monitor's alias goes with it.
        for reference in fired {
            self.registry.remove_alias(&reference);
        }
    }
}

/// Sends an exit signal over a connection.
pub(super) fn send_exit(link: &Connection, from: Pid, to: Pid, reason: Term, how: Exit) {
    if link.has(Flags::EXIT_PAYLOAD) {
        let control = match how {
            Exit::Link => Control::PayloadExit { from, to },
            Exit::Sent => Control::PayloadExit2 { from, to },
        };
        link.signal(&control, Some(&reason));
    } else {
        let control = match how {
            Exit::Link => Control::Exit { from, to, reason },
            Exit::Sent => Control::Exit2 { from, to, reason },
        };
        link.signal(&control, None);
    }
}
