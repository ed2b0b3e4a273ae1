//! Processes that one node has another one start: `SPAWN_REQUEST` and `SPAWN_REPLY`, both ways.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#SPAWN_REQUEST>. Coming in, a request runs one
//! of the [`Functions`](super::Functions) that the node offers. Going out, it is what starts a process on a
//! BEAM, and what a call through `erpc` is made of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::dist::Flags;
use crate::dist::control::{Control, Process as Named};
use crate::etf::{Atom, Pid, Reference, Term};

use super::connection::Connection;
use super::credit::Awaited;
use super::entry::{Entry, Exit};
use super::erpc::{self, Job};
use super::exception::Exception;
use super::functions::{Context, Functions};
use super::received::{ExitReason, SendFailed};

use super::signals::{Monitored, Watcher};
use super::spawn_options::{FLAG_LINK, FLAG_MONITOR, Options};
use super::{Shared, SpawnOptions, lock};

/// Why a process ends that was started for somebody who gave it up.
const ABANDONED: Term = Term::atom("abandoned");
/// How many requests may wait for their outcomes: so many that only a mistake reaches it.
const MOST: usize = 65_536;

/// Why another node did not start a process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no connection to the node, or it was lost before the answer.
    #[error("no connection to {0}")]
    NoConnection(Atom),
    /// The node refused: `system_limit` if it has too many processes, `badopt`, or `notsup` if it does not
    /// know such requests, as OTP before 23.
    #[error("{node} did not start the process: {}", reason.as_str())]
    Refused {
        /// The node.
        node: Atom,
        /// Its reason.
        reason: Atom,
    },
    /// The arguments cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Send(SendFailed),
    /// More requests wait for their outcomes than are let wait.
    #[error("{0} requests wait for their outcomes already; let some of them end first")]
    TooMany(usize),
}

/// What is to be started.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) module: Atom,
    pub(super) function: Atom,
    /// The list of the arguments.
    pub(super) arguments: Term,
    pub(super) options: Options,
}

/// How a call through `erpc` went, as far as the protocol tells.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The process ended with this reason.
    Down(Term),
    Refused(Atom),
    Lost,
}

/// The requests that this node has made and that are not settled.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<HashMap<Reference, Request>>);

#[derive(Debug)]
struct Request {
    /// The node that was asked, which alone can answer.
    node: Atom,
    asker: Asker,
    /// It is read although a process here receives too slowly.
    _awaited: Awaited,
}

#[derive(Debug)]
enum Asker {
    /// A call, which waits for the end of the process.
    Call {
        answer: oneshot::Sender<Outcome>,
        /// The process, once it is known to run.
        pid: Option<Pid>,
    },
    /// A process, which wants another one.
    Process {
        entry: Arc<Entry>,
        answer: oneshot::Sender<Result<Pid, SpawnError>>,
    },
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<Reference, Request>> {
        lock(&self.0)
    }

    fn add(&self, id: Reference, request: Request) -> Result<(), SpawnError> {
        let mut requests = self.lock();
        if requests.len() >= MOST {
            return Err(SpawnError::TooMany(MOST));
        }
        requests.insert(id, request);
        Ok(())
    }

    /// A process of that node is down. Gives the reason back if the reference was not one of a call to that node.
    pub(super) fn down(&self, node: &Atom, id: &Reference, reason: Term) -> Option<Term> {
        let mut requests = self.lock();
        let Some(request) = requests.get(id).filter(|request| request.node == *node) else {
            return Some(reason);
        };
        // Answers are sent outside of the lock, and terms may be large.
        let Asker::Call { .. } = request.asker else {
            return Some(reason);
        };
        let request = requests.remove(id);
        drop(requests);
        if let Some(Asker::Call { answer, .. }) = request.map(|request| request.asker) {
            // Whoever waited may have gone just now.
            let _ = answer.send(Outcome::Down(reason));
        }
        None
    }

    /// The connection to a node is gone.
    pub(super) fn lose(&self, node: &Atom) {
        let of_node = |_: &Reference, request: &mut Request| request.node == *node;
        let lost: Vec<_> = self.lock().extract_if(of_node).collect();
        for (_, request) in lost {
            match request.asker {
                Asker::Call { answer, .. } => drop(answer.send(Outcome::Lost)),
                Asker::Process { answer, .. } => {
                    drop(answer.send(Err(SpawnError::NoConnection(request.node))));
                }
            }
        }
    }
}

/// A call that waits. When it is dropped before its end, the call is given up: the function goes on, and
/// nobody hears of its outcome.
pub(super) struct Call<'a> {
    shared: &'a Shared,
    id: Reference,
    outcome: oneshot::Receiver<Outcome>,
}

impl Call<'_> {
    pub(super) async fn outcome(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Outcome::Lost)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let request = self.shared.requests.lock().remove(&self.id);
        let Some(Request { node, asker, .. }) = request else {
            return;
        };
        // The peer need not keep the monitor. Of a process that is not known yet, the reply will tell.
        if let Asker::Call { pid: Some(pid), .. } = asker
            && let Some(link) = self.shared.link_up(&node)
        {
            link.signal(&demonitor(&self.shared.own, pid, self.id.clone()), None);
        }
    }
}

/// A process that is being started. When it is dropped before its end, the process is given up, as
/// `erlang:spawn_request_abandon/1` has it: nothing that the caller does not know is linked to it or monitored by it,
/// and a process that was to be linked ends with the reason `abandoned`.
struct Starting<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    id: Reference,
    /// `None` once the caller knows.
    pid: Option<oneshot::Receiver<Result<Pid, SpawnError>>>,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let Some(mut pid) = self.pid.take() else {
            return;
        };
        // If the reply has not come, it finds nobody.
        self.shared.requests.lock().remove(&self.id);
        if let Ok(Ok(pid)) = pid.try_recv() {
            self.shared.abandon(self.entry, &pid, &self.id);
        }
    }
}

fn demonitor(own: &Pid, to: Pid, reference: Reference) -> Control {
    Control::Demonitor {
        from: own.clone(),
        to: Named::Pid(to),
        reference,
    }
}

impl Shared {
    /// Has the peer run a call. The connection is the one that the answer comes over.
    pub(super) async fn begin_call(
        &self,
        link: &Connection,
        node: &Atom,
        start: Start,
    ) -> Result<Call<'_>, SpawnError> {
        let id = self.ids.reference();
        let (answer, outcome) = oneshot::channel();
        let asker = Asker::Call { answer, pid: None };
        let request = Request {
            node: node.clone(),
            asker,
            _awaited: link.await_answer(),
        };
        self.requests.add(id.clone(), request)?;
        let call = Call {
            shared: self,
            id: id.clone(),
            outcome,
        };
        self.request(link, id, &self.own, start).await?;
        Ok(call)
    }

    /// Has the peer start a process for one of this node's.
    pub(super) async fn begin_process(
        &self,
        link: &Connection,
        node: &Atom,
        entry: &Arc<Entry>,
        start: Start,
    ) -> Result<(Pid, Reference), SpawnError> {
        let id = self.ids.reference();
        let (answer, pid) = oneshot::channel();
        let asker = Asker::Process {
            entry: Arc::clone(entry),
            answer,
        };
        let request = Request {
            node: node.clone(),
            asker,
            _awaited: link.await_answer(),
        };
        self.requests.add(id.clone(), request)?;
        let mut starting = Starting {
            shared: self,
            entry,
            id: id.clone(),
            pid: Some(pid),
        };
        self.request(link, id.clone(), &entry.pid, start).await?;
        let lost = |_| Err(SpawnError::NoConnection(node.clone()));
        let started = match &mut starting.pid {
            Some(pid) => pid.await.unwrap_or_else(lost),
            None => Err(SpawnError::NoConnection(node.clone())),
        };
        starting.pid = None;
        Ok((started?, id))
    }

    /// Has the peer run something of which nothing is to be heard.
    pub(super) async fn cast_spawn(
        &self,
        link: &Connection,
        start: Start,
    ) -> Result<(), SpawnError> {
        // The reply is for a request that is not waited for.
        self.request(link, self.ids.reference(), &self.own, start)
            .await
    }

    async fn request(
        &self,
        link: &Connection,
        id: Reference,
        from: &Pid,
        start: Start,
    ) -> Result<(), SpawnError> {
        let Start {
            module,
            function,
            arguments,
            options,
        } = start;
        let control = Control::SpawnRequest {
            id: id.clone(),
            from: from.clone(),
            leader: self.leader(),
            module,
            function,
            arity: arity(&arguments),
            options: options.write(),
        };
        if let Err(error) = link.send(&control, Some(&arguments)).await {
            self.requests.lock().remove(&id);
            return Err(match error {
                SendFailed::Lost(node) => SpawnError::NoConnection(node),
                error => SpawnError::Send(error),
            });
        }
        Ok(())
    }

    /// `SPAWN_REPLY` came. What it says about links and monitors counts before anything that comes after it.
    pub(super) fn spawn_replied(
        &self,
        link: &Connection,
        id: Reference,
        to: &Pid,
        flags: u32,
        result: Term,
    ) {
        let result = match result {
            Term::Pid(pid) => Ok(*pid),
            Term::Atom(reason) => Err(reason),
            _ => Err(Atom::new("badarg")),
        };
        let speaks_for = |pid: &Pid| pid.node == *link.node();
        if !result.as_ref().map_or(true, speaks_for) {
            return;
        }
        let mut requests = self.requests.lock();
        if requests
            .get(&id)
            .is_some_and(|request| request.node != *link.node())
        {
            // Only the node that was asked can answer.
            return;
        }
        // A call goes on until its process is down.
        if let (Ok(started), Some(Request { asker, .. })) = (&result, requests.get_mut(&id))
            && let Asker::Call { pid, .. } = asker
        {
            *pid = Some(started.clone());
            return;
        }
        let request = requests.remove(&id);
        drop(requests);
        let Some(Request { node, asker, .. }) = request else {
            // It was given up meanwhile.
            if let Ok(pid) = result {
                if flags & FLAG_MONITOR != 0 {
                    link.signal(&demonitor(to, pid.clone(), id), None);
                }
                if flags & FLAG_LINK != 0 {
                    self.exit(to, &pid, ABANDONED, Exit::Link);
                }
            }
            return;
        };
        match (asker, result) {
            (Asker::Call { answer, .. }, Err(reason)) => {
                drop(answer.send(Outcome::Refused(reason)))
            }
            (Asker::Call { .. }, Ok(_)) => {}
            (Asker::Process { answer, .. }, Err(reason)) => {
                drop(answer.send(Err(SpawnError::Refused { node, reason })));
            }
            (Asker::Process { entry, answer }, Ok(pid)) => {
                let related = entry.relate(|relations| {
                    if flags & FLAG_LINK != 0 {
                        relations.linked(&pid);
                    }
                    if flags & FLAG_MONITOR != 0 {
                        relations.monitor(id.clone(), Monitored::Pid(pid.clone()));
                    }
                });
                if related.is_none() {
                    // The process that wanted it has ended, which is what the link and the monitor say.
                    if flags & FLAG_MONITOR != 0 {
                        link.signal(&demonitor(to, pid.clone(), id.clone()), None);
                    }
                    if flags & FLAG_LINK != 0 {
                        self.exit(to, &pid, Term::atom("noproc"), Exit::Link);
                    }
                }
                if let Err(Ok(pid)) = answer.send(Ok(pid)) {
                    self.abandon(&entry, &pid, &id);
                }
            }
        }
    }

    /// Gives up a process of another node that was started for `entry`, and that nobody knows.
    fn abandon(&self, entry: &Entry, pid: &Pid, id: &Reference) {
        let relations =
            entry.relate(|relations| (relations.remove_link(pid), relations.remove_monitor(id)));
        let (linked, monitored) = relations.unwrap_or((false, None));
        if let Some(monitored) = monitored {
            self.demonitor(&entry.pid, id.clone(), &monitored);
        }
        if linked {
            self.exit(&entry.pid, pid, ABANDONED, Exit::Link);
        }
    }

    /// `SPAWN_REQUEST` came: runs the function in a process of its own.
    pub(super) fn spawn_requested(self: &Arc<Self>, link: &Connection, request: Requested) {
        let Requested {
            id,
            from,
            leader,
            module,
            function,
            options,
            arguments,
            bytes,
        } = request;
        let credit = link.gate().take(bytes);
        let reply = |flags, result| Control::SpawnReply {
            id: id.clone(),
            to: from.clone(),
            flags,
            result,
        };
        let Ok(options) = Options::read(&options) else {
            link.signal(&reply(0, Term::atom("badopt")), None);
            return;
        };
        let Some(slot) = self.slots.take(bytes) else {
            link.signal(&reply(0, Term::atom("system_limit")), None);
            return;
        };
        let begin = SpawnOptions::requested(&from, &id, options);
        let (way, monitor) = (link.clone(), id.clone());
        let work = move |functions: Functions, context: Context| async move {
            // The function has its arguments, as a process has a message that it received.
            drop(credit);
            match Job::new(module, function, arguments) {
                Job::Call(reference, apply) => {
                    let entry = Arc::clone(&context.process.entry);
                    let outcome = functions.run(context, apply).await;
                    answer_call(&way, &entry, &monitor, reference, outcome).await
                }
                Job::Spawn(apply) | Job::Cast(apply) => match functions.run(context, apply).await {
                    Ok(_) => ExitReason::NORMAL,
                    Err(raised) => ExitReason(raised.into_exit_reason()),
                },
            }
        };
        let (pid, go) = self.begin_function(slot, begin, Some(from.clone()), Some(leader), work);
        link.signal(&reply(options.flags(), pid.into()), None);
        // It may have been killed meanwhile.
        let _ = go.send(());
    }

    /// Begins a process for what somebody elsewhere asks for. It does nothing before it is told to go, or the
    /// sender is dropped: whoever asked is to know of it first.
    pub(super) fn begin_function<F, Fut>(
        self: &Arc<Self>,
        slot: Slot,
        options: SpawnOptions,
        caller: Option<Pid>,
        group_leader: Option<Pid>,
        work: F,
    ) -> (Pid, oneshot::Sender<()>)
    where
        F: FnOnce(Functions, Context) -> Fut + Send + 'static,
        Fut: Future<Output = ExitReason> + Send,
    {
        let functions = self.functions.clone();
        let (go, told) = oneshot::channel();
        let pid = self.spawn_nameless(options, move |process| async move {
            let _slot = slot;
            let _ = told.await;
            let context = Context {
                process,
                caller,
                group_leader,
            };
            work(functions, context).await
        });
        (pid, go)
    }
}

/// Tells the caller how its call ended, as the end of the process would. Exit reasons otherwise never wait,
/// since they are seldom large; an answer may be as large as it likes, and as many as there are calls.
async fn answer_call(
    link: &Connection,
    entry: &Entry,
    monitor: &Reference,
    mark: Term,
    outcome: Result<Term, Exception>,
) -> ExitReason {
    let reason = erpc::exit_reason(mark.clone(), outcome);
    let watcher = entry.relate(|relations| relations.watcher(monitor).cloned());
    let Some(Watcher { pid, monitored }) = watcher.flatten() else {
        // Nobody waits for it any more, unless through a link.
        return ExitReason(reason);
    };
    let (from, to, reference) = (monitored, pid.clone(), monitor.clone());
    let sent = if link.has(Flags::EXIT_PAYLOAD) {
        let control = Control::PayloadMonitorExit {
            from,
            to,
            reference,
        };
        link.send(&control, Some(&reason)).await
    } else {
        let control = Control::MonitorExit {
            from,
            to,
            reference,
            reason,
        };
        link.send(&control, None).await
    };
    if let Err(SendFailed::Unsendable(why)) = sent {
        return ExitReason(erpc::exit_reason(mark, Err(Exception::unsendable(&why))));
    }
    // Not before: a process that is killed while it waits still has to tell. A connection that ended has
    // told the caller.
    entry.relate(|relations| relations.unwatched(monitor, &pid));
    ExitReason::NORMAL
}

fn arity(arguments: &Term) -> u8 {
    let arity = arguments.as_list().map_or(0, <[Term]>::len);
    u8::try_from(arity).unwrap_or(u8::MAX)
}

/// A spawn request, as it came.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) id: Reference,
    pub(super) from: Pid,
    pub(super) leader: Pid,
    pub(super) module: Atom,
    pub(super) function: Atom,
    pub(super) options: Vec<Term>,
    pub(super) arguments: Term,
    /// About how many bytes the arguments take.
    pub(super) bytes: usize,
}

/// How many more functions others may have running here at once, and how many bytes their arguments may have.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    functions: usize,
    bytes: usize,
}

/// The place of one function that runs.
pub(super) struct Slot {
    slots: Slots,
    bytes: usize,
}

impl Slots {
    pub(super) fn new(functions: usize, bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Left { functions, bytes })))
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        lock(&self.0).functions
    }

    pub(super) fn take(&self, bytes: usize) -> Option<Slot> {
        let mut left = lock(&self.0);
        let functions = left.functions.checked_sub(1)?;
        left.bytes = left.bytes.checked_sub(bytes)?;
        left.functions = functions;
        Some(Slot {
            slots: self.clone(),
            bytes,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut left = lock(&self.slots.0);
        left.functions += 1;
        left.bytes += self.bytes;
    }
}
