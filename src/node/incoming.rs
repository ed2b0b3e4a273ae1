//! What came over a connection, and what it is for.
//!
//! This runs in the task that reads the connection, so it never waits. Whoever asks for a process that is
//! not here is told so at once, as a BEAM would tell it. A peer speaks for its own processes only: one that
//! speaks for those of another node breaks the protocol, and the connection ends.

use std::sync::Arc;

use crate::dist::CloseReason;
use crate::dist::channel::{Incoming, Lost};
use crate::dist::control::{Control, Process};
use crate::etf::{Pid, Reference, Term};

use super::Shared;
use super::connection::Connection;
use super::credit::Credit;
use super::discard::discard;
use super::entry::{Entry, Exit, Item};
use super::received::Dest;
use super::route::send_exit;
use super::signals::Watcher;
use super::spawn::Requested;

/// The most links and monitors that a process may have before peers can set no more.
const MOST_RELATIONS: usize = 1 << 20;

/// What is taken for a payload that went beyond a limit. A message is lost; a signal is not, but its reason says
/// that the reason could not be read; a spawn request is refused.
fn in_place_of(lost: &Lost, connection: &Connection, control: &Control) -> Option<Term> {
    let count = connection.count_lost();
    // A peer that sends many of them does not fill the log.
    if count.is_power_of_two() {
        tracing::warn!(
            peer = %connection.peer().name,
            count,
            "a payload from the peer is not taken: {lost}. Builder::decode_limits and Builder::max_message set \
             the limits"
        );
    }
    match control {
        Control::PayloadExit { .. }
        | Control::PayloadExit2 { .. }
        | Control::PayloadMonitorExit { .. } => Some(Term::Tuple(vec![
            Term::atom("unreadable"),
            Term::binary(lost.to_string()),
        ])),
        Control::SpawnRequest { id, from, .. } => {
            let refused = Control::SpawnReply {
                id: id.clone(),
                to: from.clone(),
                flags: 0,
                result: Term::atom("system_limit"),
            };
            connection.signal(&refused, None);
            None
        }
        _ => None,
    }
}

impl Shared {
    /// Processes that got messages and have to be woken are added to `wake`.
    pub(super) fn incoming(
        self: &Arc<Self>,
        connection: &Connection,
        incoming: Incoming,
        wake: &mut Vec<Arc<Entry>>,
    ) {
        let Incoming {
            control,
            payload,
            lost,
            bytes,
        } = incoming;
        #[cfg(test)]
        if let Control::RegSend { to, .. } = &control {
            assert!(*to != *"a fault of this node", "as a test wants it");
        }
        if let Some(from) = speaker(&control)
            && from != connection.node()
        {
            let what = format!("it speaks for a process of {}", from.as_str());
            connection.close(CloseReason::Protocol(what));
            return;
        }
        if let Some(to) = addressee(&control)
            && !self.is_own_node(&to.node)
        {
            let what = format!(
                "it sends this node what is for a process of {}",
                to.node.as_str()
            );
            connection.close(CloseReason::Protocol(what));
            return;
        }
        let payload = match (payload, lost) {
            (Some(payload), _) => payload,
            (None, None) => Term::NIL,
            (None, Some(lost)) => match in_place_of(&lost, connection, &control) {
                Some(payload) => payload,
                None => return,
            },
        };
        // The place in the mailbox counts too: what is small is mostly that.
        let credit = || connection.gate().take(size_of::<Item>() + bytes);
        match control {
            Control::Send { to } | Control::SendSender { to, .. } => {
                self.hand_over(&Dest::Pid(to), payload, credit, wake);
            }
            Control::RegSend { to, .. } => {
                self.hand_over(&Dest::Name(to), payload, credit, wake);
            }
            Control::AliasSend { alias, .. } => {
                if self.ids.is_own_reference(&alias) {
                    self.hand_over(&Dest::Alias(alias), payload, credit, wake);
                }
            }
            Control::Link { from, to } => self.link_from(connection, from, to),
            Control::Unlink { from, to } => {
                if let Some(entry) = self.process(&to) {
                    entry.relate(|relations| relations.remove_link(&from));
                }
            }
            Control::UnlinkId { id, from, to } => {
                let acknowledge = || {
                    let control = Control::UnlinkIdAck {
                        id,
                        from: to.clone(),
                        to: from.clone(),
                    };
                    connection.signal(&control, None);
                };
                // In one step: nothing of this process may come to the peer in between.
                let done = self.process(&to).and_then(|entry| {
                    entry.relate(|relations| {
                        relations.unlinked(&from);
                        acknowledge();
                    })
                });
                if done.is_none() {
                    acknowledge();
                }
            }
            Control::UnlinkIdAck { id, from, to } => {
                if let Some(entry) = self.process(&to) {
                    entry.relate(|relations| relations.unlink_acknowledged(&from, id));
                }
            }
            Control::Exit { from, to, reason } => {
                self.exit_from(&from, &to, reason, Exit::Link, credit());
            }
            Control::PayloadExit { from, to } => {
                self.exit_from(&from, &to, payload, Exit::Link, credit());
            }
            Control::Exit2 { from, to, reason } => {
                self.exit_from(&from, &to, reason, Exit::Sent, credit());
            }
            Control::PayloadExit2 { from, to } => {
                self.exit_from(&from, &to, payload, Exit::Sent, credit());
            }
            Control::Monitor {
                from,
                to,
                reference,
            } => self.monitor_from(connection, from, to, reference),
            Control::Demonitor {
                from,
                to,
                reference,
            } => self.demonitor_from(&from, &to, &reference),
            Control::MonitorExit {
                to,
                reference,
                reason,
                ..
            } => self.down_from(connection, &to, reference, reason, credit()),
            Control::PayloadMonitorExit { to, reference, .. } => {
                self.down_from(connection, &to, reference, payload, credit());
            }
            Control::SpawnRequest {
                id,
                from,
                leader,
                module,
                function,
                options,
                ..
            } => {
                let request = Requested {
                    id,
                    from,
                    leader,
                    module,
                    function,
                    options,
                    arguments: payload,
                    bytes,
                };
                self.spawn_requested(connection, request);
            }
            Control::SpawnReply {
                id,
                to,
                flags,
                result,
            } => self.spawn_replied(connection, id, &to, flags, result),
            // There are no group leaders here: nothing prints through one.
            Control::GroupLeader { .. } => {}
        }
    }

    fn hand_over(
        &self,
        dest: &Dest,
        message: Term,
        credit: impl FnOnce() -> Credit,
        wake: &mut Vec<Arc<Entry>>,
    ) {
        if let Some(entry) = self.here(dest) {
            let (delivered, asleep) = entry.message_quietly(message, Some(credit()));
            self.settle(&entry, delivered);
            if asleep {
                wake.push(entry);
            }
        } else {
            discard(message);
        }
    }

    fn link_from(&self, connection: &Connection, from: Pid, to: Pid) {
        let linked = self.related(connection, self.process(&to).as_deref(), |entry| {
            entry.relate(|relations| relations.linked(&from))
        });
        if !linked {
            send_exit(connection, to, from, Term::atom("noproc"), Exit::Link);
        }
    }

    fn monitor_from(&self, connection: &Connection, from: Pid, to: Process, reference: Reference) {
        let watcher = Watcher {
            pid: from,
            monitored: to,
        };
        let entry = self.named(&watcher.monitored);
        let watched = self.related(connection, entry.as_deref(), |entry| {
            entry.relate(|relations| relations.watched(reference.clone(), watcher.clone()))
        });
        if !watched {
            self.down(reference, watcher, Term::atom("noproc"));
        }
    }

    /// Adds to the relations of a process what a peer asked for. Whether there is such a process.
    fn related(
        &self,
        connection: &Connection,
        entry: Option<&Entry>,
        add: impl FnOnce(&Entry) -> Option<()>,
    ) -> bool {
        let Some(entry) = entry else { return false };
        if entry.relate(|relations| relations.len()) >= Some(MOST_RELATIONS) {
            let what = format!("a process has {MOST_RELATIONS} links and monitors already");
            connection.close(CloseReason::Limit(what));
        }
        add(entry).is_some()
    }

    pub(super) fn demonitor_from(&self, from: &Pid, to: &Process, reference: &Reference) {
        let entry = match to {
            Process::Pid(pid) => self.process(pid),
            // The process may have given up the name since.
            Process::Name(_) => {
                let process = self.related.monitored_by_name(reference);
                process.and_then(|process| self.registry.by_key(process))
            }
        };
        if let Some(entry) = entry {
            entry.relate(|relations| relations.unwatched(reference, from));
        }
    }

    fn exit_from(&self, from: &Pid, to: &Pid, reason: Term, how: Exit, credit: Credit) {
        if let Some(entry) = self.process(to) {
            let delivered = entry.exit(from, reason, how, Some(credit));
            self.settle(&entry, delivered);
        }
    }

    fn down_from(
        &self,
        connection: &Connection,
        to: &Pid,
        reference: Reference,
        reason: Term,
        credit: Credit,
    ) {
        let node = connection.node();
        let Some(reason) = self.requests.down(node, &reference, reason) else {
            return;
        };
        let Some(entry) = self.process(to) else {
            return;
        };
        // A monitor's alias goes with it, unless another node than the monitored process's says so.
        if entry.down_of(node, reference.clone(), reason, credit) {
            self.registry.remove_alias(&reference);
        }
    }
}

/// The process that the message is for, which has to be one of this node. Of an earlier life of the node it may be.
fn addressee(control: &Control) -> Option<&Pid> {
    match control {
        Control::Link { to, .. }
        | Control::Exit { to, .. }
        | Control::PayloadExit { to, .. }
        | Control::Exit2 { to, .. }
        | Control::PayloadExit2 { to, .. }
        | Control::Monitor {
            to: Process::Pid(to),
            ..
        } => Some(to),
        _ => None,
    }
}

/// The node whose process does what the message says.
fn speaker(control: &Control) -> Option<&crate::etf::Atom> {
    match control {
        Control::Link { from, .. }
        | Control::Exit { from, .. }
        | Control::PayloadExit { from, .. }
        | Control::Exit2 { from, .. }
        | Control::PayloadExit2 { from, .. }
        | Control::Unlink { from, .. }
        | Control::UnlinkId { from, .. }
        | Control::UnlinkIdAck { from, .. }
        | Control::Monitor { from, .. }
        | Control::Demonitor { from, .. }
        | Control::SpawnRequest { from, .. } => Some(&from.node),
        Control::MonitorExit {
            from: Process::Pid(from),
            ..
        }
        | Control::PayloadMonitorExit {
            from: Process::Pid(from),
            ..
        } => Some(&from.node),
        _ => None,
    }
}
