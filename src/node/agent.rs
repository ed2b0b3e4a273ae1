//! Processes of the node's own: the services that other nodes count on.
//!
//! Each is a plain entry of the node's registry with a task that empties its mailbox. What it does with a
//! message never waits. The tasks do not keep the node: it can stop with the last of its users.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};

use tokio::task::AbortHandle;

use crate::dist::control::Control;
use crate::etf::{Atom, Pid, Reference, Term};

use super::entry::{Entry, MailboxBound, WhenFull};
use super::received::{Dest, ExitReason, Received};
use super::registry::RegisterError;
use super::signals::{Monitored, Watcher};
use super::{Shared, lock};

/// A bound for those that have to hear everything. Of a message too many one is left out all the same, rather than
/// the service for the life of the node.
pub(super) const NEWS: MailboxBound = MailboxBound {
    messages: 1 << 20,
    bytes: usize::MAX,
    when_full: WhenFull::Refuse,
};

/// A process of the node's own, which ends when this is dropped and not before: see [`Entry::system`].
#[derive(Debug)]
pub(super) struct Agent {
    shared: Weak<Shared>,
    entry: Arc<Entry>,
    task: AbortHandle,
    /// Its monitors, at most one a process.
    monitors: Mutex<HashMap<Pid, Reference>>,
}

impl Agent {
    /// Begins one that is registered under no name. The handler is also told how many bytes a message from
    /// another node takes.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        bound: MailboxBound,
        handler: impl Fn(&Arc<Shared>, Received, usize) + Send + 'static,
    ) -> Self {
        let entry = Arc::new(Entry::system(shared.ids.pid(), bound, &shared.related));
        shared.registry.add(Arc::clone(&entry));
        let weak = Arc::downgrade(shared);
        let serving = serve(Arc::clone(&entry), weak.clone(), handler);
        Self {
            shared: weak,
            entry,
            task: shared.runtime.spawn(serving).abort_handle(),
            monitors: Mutex::default(),
        }
    }

    pub(super) fn register(&self, shared: &Shared, name: Atom) -> Result<(), RegisterError> {
        shared.registry.register(name, &self.entry)
    }

    pub(super) fn pid(&self) -> &Pid {
        &self.entry.pid
    }

    /// Monitors a process, unless it does already: over the connection that there is.
    pub(super) fn monitor(&self, shared: &Shared, pid: &Pid) {
        let reference = {
            let mut monitors = lock(&self.monitors);
            if monitors.contains_key(pid) {
                return;
            }
            let reference = shared.ids.reference();
            monitors.insert(pid.clone(), reference.clone());
            reference
        };
        let monitored = Monitored::Pid(pid.clone());
        let to = monitored.process();
        self.entry.monitor(reference.clone(), monitored);
        let reason = if shared.is_own_node(&pid.node) {
            let watcher = Watcher {
                pid: self.entry.pid.clone(),
                monitored: to,
            };
            let watch =
                |entry: Arc<Entry>| entry.relate(|it| it.watched(reference.clone(), watcher));
            let watched = shared.process(pid).and_then(watch);
            watched.is_none().then_some("noproc")
        } else {
            let control = Control::Monitor {
                from: self.entry.pid.clone(),
                to,
                reference: reference.clone(),
            };
            let sent = shared
                .link_up(&pid.node)
                .is_some_and(|link| link.signal(&control, None));
            (!sent).then_some("noconnection")
        };
        if let Some(reason) = reason {
            self.entry.down(reference, Term::atom(reason));
        }
    }

    /// Takes a monitor back.
    pub(super) fn demonitor(&self, shared: &Shared, pid: &Pid) {
        let Some(reference) = lock(&self.monitors).remove(pid) else {
            return;
        };
        let removed = self.entry.lock().relations.remove_monitor(&reference);
        if let Some(monitored) = removed {
            shared.demonitor(&self.entry.pid, reference, &monitored);
        }
    }

    /// Which process is down, if a message says that one is which is still monitored.
    pub(super) fn down(&self, received: &Received) -> Option<Pid> {
        let Received::Down {
            reference,
            process: Monitored::Pid(pid),
            ..
        } = received
        else {
            return None;
        };
        let mut monitors = lock(&self.monitors);
        // It may have been taken back, and set anew, while this was on its way.
        (monitors.get(pid) == Some(reference)).then(|| monitors.remove(pid))?;
        Some(pid.clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(shared) = self.shared.upgrade() {
            shared.finish(&self.entry, ExitReason::SHUTDOWN.0);
        }
    }
}

/// A bound for those of whom others ask something: a peer that floods one loses its own questions, and
/// nobody else's service.
pub(super) const QUESTIONS: MailboxBound = MailboxBound {
    messages: 65_536,
    bytes: usize::MAX,
    when_full: WhenFull::Refuse,
};

/// A message that takes more bytes than this is handled on a thread for blocking work: all the members of a scope, or
/// terms that mean nothing and take long to be dropped.
const AT_ONCE: usize = 1 << 20;

async fn serve(
    entry: Arc<Entry>,
    shared: Weak<Shared>,
    mut handler: impl Fn(&Arc<Shared>, Received, usize) + Send + 'static,
) {
    loop {
        let items = {
            let mut inner = entry.lock();
            if inner.fate.is_some() {
                return;
            }
            std::mem::take(&mut inner.queue)
        };
        if items.is_empty() {
            entry.wake.notified().await;
            continue;
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        for item in items {
            let bytes = item.bytes();
            let received = entry.took(item);
            if bytes <= AT_ONCE {
                handle(&handler, &shared, received, bytes);
                // Many small ones do not hold the thread either.
                tokio::task::coop::consume_budget().await;
                continue;
            }
            let shared = Arc::clone(&shared);
            let handled = tokio::task::spawn_blocking(move || {
                handle(&handler, &shared, received, bytes);
                handler
            });
            // An error means that the runtime ends.
            let Ok(same) = handled.await else { return };
            handler = same;
        }
        drop(shared);
        tokio::task::yield_now().await;
    }
}

fn handle(
    handler: &impl Fn(&Arc<Shared>, Received, usize),
    shared: &Arc<Shared>,
    received: Received,
    bytes: usize,
) {
    // A panic in one request must not stop the service.
    let handled = catch_unwind(AssertUnwindSafe(|| handler(shared, received, bytes)));
    if let Err(panic) = handled {
        tracing::error!("a service panicked: {}", crate::panics::words(&*panic));
    }
}

impl Shared {
    /// Sends what a service has to say, over the connection that there is and without waiting.
    pub(super) fn tell(&self, to: &Dest, message: Term) {
        if let Err(why) = self.signal_message(to, message) {
            tracing::debug!(?to, "a message of a service is left out: {why}");
        }
    }
}
