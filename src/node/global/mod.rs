//! Names and locks of a whole cluster, as OTP's [`global`](https://www.erlang.org/doc/apps/kernel/global.html)
//! keeps them among visible nodes.
//!
//! A BEAM counts on every visible node for this: it synchronises with it, asks it for locks, and tells it the
//! names. A hidden node is left out, so it has none of this.
//!
//! The modules: `state` decides, with `tables` for what is held, `locker` and `registrar` for what is done one
//! step after another; `conflict` settles which of two processes keeps a name; `lock` is for programs that want
//! one; this one does what they say.

mod conflict;
mod lock;
mod locker;
mod registrar;
mod state;
mod tables;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;

use crate::dist::{CloseReason, Flags, Peer};
use crate::etf::{Atom, Pid, Reference, Term};

use super::agent::{Agent, NEWS};
use super::call::Caller;
use super::connection::Connection;
use super::credit::Awaited;
use super::received::{Dest, Received};
use super::{Node, NodeEvent, Shared, atom_of, lock};

use registrar::Request;
use state::{Asker, Conflict, Output, Settings, State};

pub(super) use conflict::offer;

/// The name that it has on every node.
const NAME: Atom = Atom::new("global_name_server");
/// How long the node of a process has to say which of two keeps a name.
const CHOICE: Duration = Duration::from_secs(30);

/// Names of the whole cluster: see [`Node::global`].
#[derive(Clone)]
pub struct Global {
    node: Node,
    server: Arc<Server>,
}

/// The global name server of a node.
#[derive(Debug)]
pub(super) struct Server {
    names: Agent,
    locker: Agent,
    registrar: Agent,
    state: Mutex<State>,
    /// What was asked of other nodes, by the reference that their answer carries.
    calls: Mutex<HashMap<Reference, Asked>>,
    /// Who waits for what was asked of this one.
    requests: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    next: AtomicU64,
    connections: Mutex<Option<AbortHandle>>,
}

/// What was asked of another node, and is not answered yet.
#[derive(Debug)]
struct Asked {
    id: u64,
    node: Atom,
    /// The answer is read although a process here receives too slowly.
    _awaited: Option<Awaited>,
}

impl Node {
    /// The names and locks of the cluster; `None` on a hidden node, which has no part in them.
    #[must_use]
    pub fn global(&self) -> Option<Global> {
        let server = self.0.global.get()?;
        Some(Global {
            node: Self::inner(&self.0),
            server: Arc::clone(server),
        })
    }
}

impl Global {
    /// The process that has a name, on whichever node, as `global:whereis_name/1` says.
    #[must_use]
    pub fn whereis_name(&self, name: &Term) -> Option<Pid> {
        lock(&self.server.state).whereis(name).cloned()
    }

    /// All names, in no order.
    #[must_use]
    pub fn registered_names(&self) -> Vec<Term> {
        let state = lock(&self.server.state);
        state.names().map(|(name, _)| name.clone()).collect()
    }

    /// Registers a process, here or elsewhere, under a name in the whole cluster, as
    /// `global:register_name/2` does. False if the name is taken, or the process has one.
    ///
    /// It waits until every node that is known has taken it, however long another holds the lock.
    /// When two parts of a cluster meet in which the same name is registered, the process on the lesser
    /// node keeps it and the other is killed: `global:random_exit_name/3`.
    pub async fn register_name(&self, name: impl Into<Term>, pid: &Pid) -> bool {
        self.request(Request::Register(name.into(), pid.clone()))
            .await
    }

    /// As [`Global::register_name`], whoever had the name before.
    pub async fn re_register_name(&self, name: impl Into<Term>, pid: &Pid) {
        self.request(Request::ReRegister(name.into(), pid.clone()))
            .await;
    }

    /// Takes a name from whoever has it, as `global:unregister_name/1` does. False if nobody had it.
    pub async fn unregister_name(&self, name: &Term) -> bool {
        self.request(Request::Unregister(name.clone())).await
    }

    /// Waits until all names are shared with every visible node that is connected, as `global:sync/0` does.
    pub async fn sync(&self) {
        self.ask(|state, id| state.sync(id)).await;
    }

    /// The nodes with which all names are shared.
    #[must_use]
    pub fn nodes(&self) -> Vec<Atom> {
        lock(&self.server.state).known().cloned().collect()
    }

    async fn request(&self, request: Request) -> bool {
        self.ask(|state, id| state.request(id, request)).await
    }

    async fn ask(&self, ask: impl FnOnce(&mut State, u64) -> Vec<Output>) -> bool {
        let id = self.server.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        lock(&self.server.requests).insert(id, tell);
        self.server.change(&self.node.0, |state| ask(state, id));
        told.await.unwrap_or(false)
    }
}

impl fmt::Debug for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Global")
            .field("node", self.node.name())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Begins the global name server of a node that has just started.
    pub(super) fn begin(shared: &Arc<Shared>, prevent_overlapping_partitions: bool) -> Arc<Self> {
        let settings = Settings {
            prevent_overlapping_partitions,
            creation: shared.identity.creation,
            seed: rand::random(),
        };
        let server = Arc::new_cyclic(|weak: &Weak<Self>| {
            let agent = |received: fn(&Arc<Self>, &Arc<Shared>, Received)| {
                let server = weak.clone();
                Agent::begin(shared, NEWS, move |shared, what, _| {
                    if let Some(server) = server.upgrade() {
                        received(&server, shared, what);
                    }
                })
            };
            let (locker, registrar) = (agent(Self::answered), agent(Self::answered));
            let state = State::new(
                shared.ids.node().clone(),
                locker.pid().clone(),
                registrar.pid().clone(),
                settings,
            );
            Self {
                names: agent(Self::received),
                locker,
                registrar,
                state: Mutex::new(state),
                calls: Mutex::default(),
                requests: Mutex::default(),
                next: AtomicU64::new(1),
                connections: Mutex::default(),
            }
        });
        // The name is new like the node.
        let _ = server.names.register(shared, NAME);
        let events = shared.events.subscribe();
        let following = follow_connections(Arc::downgrade(&server), Arc::downgrade(shared), events);
        let task = shared.runtime.spawn(following);
        *lock(&server.connections) = Some(task.abort_handle());
        server
    }

    /// The node is about to stop, and its connections to end: nobody is to part from anybody for that.
    pub(super) fn leave(&self) {
        lock(&self.state).leave();
    }

    /// Ends the connection to one node, and no other.
    pub(super) fn part(self: &Arc<Self>, shared: &Arc<Shared>, node: &Atom) {
        self.change(shared, |state| state.part(node));
    }

    /// Ends the connections to all visible nodes.
    pub(super) fn part_from_all(self: &Arc<Self>, shared: &Arc<Shared>) {
        self.change(shared, State::part_from_all);
    }

    fn received(self: &Arc<Self>, shared: &Arc<Shared>, received: Received) {
        let message = match received {
            Received::Message(message) => message,
            other => {
                if let Some(pid) = self.names.down(&other) {
                    self.change(shared, |state| state.down(&pid));
                }
                return;
            }
        };
        if let Some([Term::Atom(label), from, request]) = message.as_tuple()
            && *label == *"$gen_call"
        {
            self.change(shared, |state| state.called(from.clone(), request));
            return;
        }
        self.change(shared, |state| {
            let (understood, out) = state.message(&message);
            if !understood {
                tracing::debug!(
                    "global: not a message of a global name server: {}",
                    message.shape()
                );
            }
            out
        });
    }

    /// `{Reference, Answer}` came to the locker or the registrar.
    fn answered(self: &Arc<Self>, shared: &Arc<Shared>, received: Received) {
        let Received::Message(Term::Tuple(fields)) = received else {
            return;
        };
        let [Term::Reference(reference), answer] = fields.as_slice() else {
            return;
        };
        let asked = lock(&self.calls).remove(reference);
        if let Some(Asked { id, node, .. }) = asked {
            let answer = Some(answer.clone());
            self.change(shared, |state| state.answered(id, &node, answer));
        }
    }

    /// Changes the state and does what follows, in the order in which things changed: that is why the lock
    /// is held meanwhile, and why nothing here waits.
    fn change(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        change: impl FnOnce(&mut State) -> Vec<Output>,
    ) {
        let mut state = lock(&self.state);
        let mut outputs = change(&mut state);
        while !outputs.is_empty() {
            let mut next = Vec::new();
            for output in outputs {
                next.extend(self.perform(shared, &mut state, output));
            }
            outputs = next;
        }
    }

    /// Does one thing; what the state says to its outcome is to be done next.
    fn perform(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        state: &mut State,
        output: Output,
    ) -> Vec<Output> {
        match output {
            Output::Send(node, message) => shared.tell(&Dest::Remote(NAME, node), message),
            Output::Reply(from, answer) => {
                if let Some(caller) = Caller::from_term(from) {
                    shared.reply(&caller, answer);
                }
            }
            Output::Call {
                id,
                asker,
                node,
                request,
            } => {
                if shared.link_up(&node).is_some() {
                    self.call(shared, (id, asker), &node, request);
                } else {
                    self.connect_and_call(shared, (id, asker), node, request);
                }
            }
            // Where there is no connection, nothing is held that could be given back.
            Output::Tell {
                asker,
                node,
                request,
            } => {
                let reference = shared.ids.reference();
                let call = gen_call(self.agent(asker).pid(), &reference, request);
                shared.tell(&Dest::Remote(NAME, node), call);
            }
            Output::Monitor(pid)
                if shared.is_own_node(&pid.node) || shared.link_up(&pid.node).is_some() =>
            {
                self.names.monitor(shared, &pid);
            }
            // As a BEAM does: the names of a node may come before the connection to it.
            Output::Monitor(pid) => self.later(shared, async move |server, shared| {
                connect(&shared, &pid.node).await;
                server.change(&shared, |state| {
                    if state.is_watched(&pid) {
                        server.names.monitor(&shared, &pid);
                    }
                    Vec::new()
                });
            }),
            Output::Demonitor(pid) => self.names.demonitor(shared, &pid),
            Output::Connect(node) if shared.link_up(&node).is_some() => {
                return state.connected(&node, true);
            }
            Output::Connect(node) => self.later(shared, async move |server, shared| {
                // The first may be an attempt that began before the node could be reached, and that ends now.
                let connected = connect(&shared, &node).await || connect(&shared, &node).await;
                server.change(&shared, |state| state.connected(&node, connected));
            }),
            Output::Disconnect(node) => {
                if let Some(connection) = shared.link_up(&node) {
                    connection.close(CloseReason::Local);
                }
            }
            Output::Choose(conflict) => self.choose(shared, conflict),
            Output::Wake(after, wake) => {
                // Nobody keeps node and server while it sleeps.
                let (server, weak) = (Arc::downgrade(self), Arc::downgrade(shared));
                shared.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    if let (Some(server), Some(shared)) = (server.upgrade(), weak.upgrade()) {
                        server.change(&shared, |state| state.wake(wake));
                    }
                });
            }
            Output::Done(id, result) => {
                if let Some(tell) = lock(&self.requests).remove(&id) {
                    // Whoever asked may have gone.
                    let _ = tell.send(result);
                }
            }
            Output::Warn(text) => tracing::warn!("{text}"),
        }
        Vec::new()
    }

    /// Runs what takes its time, for as long as node and server are there.
    fn later<F>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        work: impl FnOnce(Arc<Self>, Arc<Shared>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let (server, weak) = (Arc::downgrade(self), Arc::downgrade(shared));
        shared.runtime.spawn(async move {
            if let (Some(server), Some(shared)) = (server.upgrade(), weak.upgrade()) {
                work(server, shared).await;
            }
        });
    }

    fn agent(&self, asker: Asker) -> &Agent {
        match asker {
            Asker::Locker => &self.locker,
            Asker::Registrar => &self.registrar,
        }
    }

    fn call(&self, shared: &Shared, (id, asker): (u64, Asker), node: &Atom, request: Term) {
        let reference = shared.ids.reference();
        let link = shared.link_up(node);
        let asked = Asked {
            id,
            node: node.clone(),
            _awaited: link.as_ref().map(Connection::await_answer),
        };
        lock(&self.calls).insert(reference.clone(), asked);
        let call = gen_call(self.agent(asker).pid(), &reference, request);
        shared.tell(&Dest::Remote(NAME, node.clone()), call);
    }

    fn connect_and_call(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        (id, asker): (u64, Asker),
        node: Atom,
        request: Term,
    ) {
        self.later(shared, async move |server, shared| {
            let connected = connect(&shared, &node).await;
            server.change(&shared, |state| {
                // It may have been given up meanwhile.
                if !connected || !state.is_asked(id, &node) {
                    return state.answered(id, &node, None);
                }
                server.call(&shared, (id, asker), &node, request);
                Vec::new()
            });
        });
    }

    /// Asks the node of our process which of two keeps a name.
    fn choose(self: &Arc<Self>, shared: &Arc<Shared>, conflict: Conflict) {
        self.later(shared, async move |server, shared| {
            let arguments = vec![
                conflict.method.clone(),
                conflict.name.clone(),
                conflict.theirs.clone().into(),
                conflict.ours.clone().into(),
            ];
            let node = Node::inner(&shared);
            let answer = if shared.is_own_node(&conflict.ours.node) {
                conflict::resolve(&node, &arguments).await.ok()
            } else if let Ok(peer) = conflict.ours.node.as_str().parse() {
                let rpc = node.rpc(&peer, "global", "resolve_it", arguments, CHOICE);
                rpc.await.ok()
            } else {
                None
            };
            server.change(&shared, |state| state.chosen(&conflict, answer.as_ref()));
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.connections).take() {
            task.abort();
        }
    }
}

async fn connect(shared: &Arc<Shared>, node: &Atom) -> bool {
    shared.link_to(node).await.is_ok()
}

fn gen_call(from: &Pid, reference: &Reference, request: Term) -> Term {
    let from = Term::Tuple(vec![from.clone().into(), reference.clone().into()]);
    Term::Tuple(vec![Term::atom("$gen_call"), from, request])
}

async fn follow_connections(
    server: Weak<Server>,
    shared: Weak<Shared>,
    mut events: broadcast::Receiver<NodeEvent>,
) {
    loop {
        let event = events.recv().await;
        let (Some(server), Some(shared)) = (server.upgrade(), shared.upgrade()) else {
            return;
        };
        server.change(&shared, |state| match event {
            Ok(NodeEvent::Up(peer)) => come(state, &peer),
            Ok(NodeEvent::Down(peer, _)) => {
                let node = atom_of(&peer.name);
                // What it was asked it does not answer any more; `node_down` goes on without.
                lock(&server.calls).retain(|_, asked| asked.node != node);
                state.node_down(&node)
            }
            Err(RecvError::Lagged(_)) => {
                let connections = shared.table.all();
                let is_there = |node: &&Atom| connections.iter().any(|it| it.node() == *node);
                let gone: Vec<Atom> = state.up().filter(|node| !is_there(node)).cloned().collect();
                let mut out = Vec::new();
                for node in &gone {
                    out.extend(state.node_down(node));
                }
                for connection in &connections {
                    out.extend(come(state, connection.peer()));
                }
                out
            }
            Err(RecvError::Closed) => Vec::new(),
        });
    }
}

/// A connection is there; of hidden ones nothing is to be known.
fn come(state: &mut State, peer: &Peer) -> Vec<Output> {
    if peer.flags.contains(Flags::PUBLISHED) {
        state.node_up(atom_of(&peer.name))
    } else {
        Vec::new()
    }
}
