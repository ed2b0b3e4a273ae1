//! Running code as a process.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;

use crate::dist::control;
use crate::etf::{Atom, Pid, Reference, Term};

use super::entry::{Entry, MailboxBound};
use super::process::Process;
use super::received::ExitReason;
use super::registry::RegisterError;
use super::signals::{Monitored, Watcher};
use super::spawn_options::Options;
use super::{Node, Shared};

/// How a process begins.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    bound: Option<MailboxBound>,
    name: Option<Atom>,
    trap_exit: bool,
    links: Vec<Pid>,
    monitors: Vec<(Pid, Reference)>,
    /// The process of another node that asked for this one, and has linked to it.
    linked_by: Option<Pid>,
    /// The same, if it monitors this one.
    monitored_by: Option<(Pid, Reference)>,
}

impl SpawnOptions {
    /// A process without a name and without relations, with the node's bound for mailboxes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers it under a name.
    #[must_use]
    pub fn name(mut self, name: Atom) -> Self {
        self.name = Some(name);
        self
    }

    /// Bounds its mailbox.
    #[must_use]
    pub fn mailbox(mut self, bound: MailboxBound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Has it trap exits from the beginning.
    #[must_use]
    pub fn trap_exit(mut self) -> Self {
        self.trap_exit = true;
        self
    }

    /// Links it to a process of this node or of another one, as its first act would. A node that is not connected
    /// is connected to first, and its code begins after that.
    #[must_use]
    pub fn link(mut self, to: Pid) -> Self {
        self.links.push(to);
        self
    }

    /// Has `by`, a process of this node, monitor it, with a reference of [`Node::reference`]. A process of another
    /// node sets its monitors itself, so one is left out here.
    #[must_use]
    pub fn monitor(mut self, by: Pid, reference: Reference) -> Self {
        self.monitors.push((by, reference));
        self
    }

    /// As `SPAWN_REQUEST` has it: the process of another node that asked knows by the reply that it is linked to the
    /// new one, or monitors it.
    pub(super) fn requested(by: &Pid, reference: &Reference, options: Options) -> Self {
        Self {
            linked_by: options.link.then(|| by.clone()),
            monitored_by: options.monitor.then(|| (by.clone(), reference.clone())),
            ..Self::default()
        }
    }
}

impl Node {
    /// Runs `code` as a process of this node, with the [`Process`] that is its own. What the code
    /// returns is its exit reason; a panic is one too, and does the node no harm.
    ///
    /// ```no_run
    /// # use rendez::Node;
    /// # fn example(node: &Node) {
    /// node.spawn(|mut process| async move {
    ///     let received = process.receive().await;
    ///     println!("{received:?}");
    /// });
    /// # }
    /// ```
    pub fn spawn<F, Fut, R>(&self, code: F) -> Pid
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        self.0.spawn_nameless(SpawnOptions::new(), code)
    }

    /// As [`Node::spawn`], with options.
    ///
    /// # Errors
    /// If it cannot be registered under the name in the options; then it is not begun.
    pub fn spawn_with<F, Fut, R>(
        &self,
        options: SpawnOptions,
        code: F,
    ) -> Result<Pid, RegisterError>
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        self.0.spawn(options, code)
    }

    /// Makes a process for the code that calls this, which ends when it is dropped. It does not keep the node: it ends
    /// when the node stops, or the last [`Node`] is dropped.
    #[must_use]
    pub fn process(&self) -> Process {
        let entry = self.0.new_entry(None, false);
        Process::new(Self::inner(&self.0), entry)
    }

    /// As [`Node::process`], with a bound of its own.
    #[must_use]
    pub fn process_with(&self, bound: MailboxBound) -> Process {
        let entry = self.0.new_entry(Some(bound), false);
        Process::new(Self::inner(&self.0), entry)
    }
}

/// Processes of the node, seen from outside.
impl Node {
    /// The process of this node that is registered under a name.
    #[must_use]
    pub fn whereis(&self, name: &Atom) -> Option<Pid> {
        let entry = self.0.registry.whereis(name)?;
        Some(entry.pid.clone())
    }

    /// The names that are registered on this node.
    #[must_use]
    pub fn registered(&self) -> Vec<Atom> {
        self.0.registry.names()
    }

    /// Registers a process of this node under a name.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(&self, name: Atom, pid: &Pid) -> Result<(), RegisterError> {
        let entry = self.0.process(pid).ok_or(RegisterError::Ended)?;
        self.0.registry.register(name, &entry)
    }

    /// Frees a name. Whether it was registered.
    pub fn unregister(&self, name: &Atom) -> bool {
        self.0.registry.unregister(name)
    }

    /// Whether a process of this node is there. One of another node counts as not there: ask its node.
    #[must_use]
    pub fn is_alive(&self, pid: &Pid) -> bool {
        self.0.process(pid).is_some_and(|entry| entry.is_alive())
    }

    /// How many processes the node has.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.0.registry.count()
    }
}

impl Shared {
    fn new_entry(&self, bound: Option<MailboxBound>, spawned: bool) -> Arc<Entry> {
        let bound = bound.unwrap_or(self.mailbox);
        let entry = Arc::new(Entry::new(self.ids.pid(), spawned, bound, &self.related));
        self.registry.add(Arc::clone(&entry));
        // A node that stops ends the processes that it has; this one may have come after that.
        if self.is_stopped() {
            let mut inner = entry.lock();
            let _ = entry.doom(&mut inner, ExitReason::SHUTDOWN.0);
        }
        entry
    }

    pub(super) fn spawn_nameless<F, Fut, R>(self: &Arc<Self>, options: SpawnOptions, code: F) -> Pid
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        debug_assert!(options.name.is_none());
        let entry = self.new_entry(options.bound, true);
        self.begin(&entry, options, code);
        entry.pid.clone()
    }

    pub(super) fn spawn<F, Fut, R>(
        self: &Arc<Self>,
        mut options: SpawnOptions,
        code: F,
    ) -> Result<Pid, RegisterError>
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        let entry = self.new_entry(options.bound, true);
        if let Some(name) = options.name.take()
            && let Err(error) = self.registry.register(name, &entry)
        {
            self.finish(&entry, ExitReason::NORMAL.0);
            return Err(error);
        }
        self.begin(&entry, options, code);
        Ok(entry.pid.clone())
    }

    fn begin<F, Fut, R>(self: &Arc<Self>, entry: &Arc<Entry>, options: SpawnOptions, code: F)
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output = R> + Send,
        R: Into<ExitReason>,
    {
        entry.lock().traps_exit = options.trap_exit;
        let mut unreached = Vec::new();
        for pid in options.links {
            if self.is_own_node(&pid.node) {
                self.link_here(entry, &pid);
            } else if let Some(link) = self.link_up(&pid.node) {
                self.link_over(entry, &pid, Some(&link));
            } else {
                unreached.push(pid);
            }
        }
        if let Some(pid) = options.linked_by {
            entry.relate(|relations| relations.linked(&pid));
        }
        let watched = |pid, reference| {
            let monitored = control::Process::Pid(entry.pid.clone());
            let watcher = Watcher { pid, monitored };
            entry.relate(|relations| relations.watched(reference, watcher));
        };
        for (pid, reference) in options.monitors {
            if let Some(watching) = self.process(&pid) {
                watching.monitor(reference.clone(), Monitored::Pid(entry.pid.clone()));
                watched(pid, reference);
            } else {
                tracing::warn!(
                    ?pid,
                    "it is not a process of this node, and so does not monitor what it was to"
                );
            }
        }
        if let Some((pid, reference)) = options.monitored_by {
            watched(pid, reference);
        }
        let guard = Guard {
            shared: Arc::clone(self),
            entry: Arc::clone(entry),
            reason: None,
        };
        let process = Process::new(Node::inner(self), Arc::clone(entry));
        self.runtime.spawn(run(guard, async move {
            for pid in unreached {
                process.link(&pid).await;
            }
            let result: ExitReason = code(process).await.into();
            result
        }));
    }
}

async fn run(mut guard: Guard, code: impl Future<Output = ExitReason>) {
    let entry = Arc::clone(&guard.entry);
    let code = AssertUnwindSafe(code).catch_unwind();
    let reason = tokio::select! {
        biased;
        // The reason is in the entry then.
        () = entry.end.notified() => return,
        done = code => done.unwrap_or_else(|panic| {
            let pid = &entry.pid;
            tracing::error!(?pid, "a process panicked: {}", crate::panics::words(&*panic));
            ExitReason::panic(&*panic)
        }),
    };
    guard.reason = Some(reason.0);
}

/// Ends the process when its code has been dropped, also when its runtime ends.
struct Guard {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    reason: Option<Term>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let reason = self.reason.take();
        let reason = reason.unwrap_or_else(|| Term::atom("killed"));
        self.shared.finish(&self.entry, reason);
    }
}
