//! Process groups, as OTP's [`pg`](https://www.erlang.org/doc/apps/kernel/pg.html) keeps them.
//!
//! A group is a name, any term, for processes on any number of nodes. A scope is a set of groups that is
//! kept apart from others, on the nodes that have started it: `pg:start_link(Scope)` there, [`Node::pg`] here.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # use rendez::{Node, Secret};
//! use rendez::etf::{Atom, Term};
//!
//! # let node = Node::builder("stage@127.0.0.1").cookie(Secret::new("cookie")).start().await?;
//! let pg = node.pg(Atom::new("pg"))?;
//! let singer = node.spawn(|mut process| async move {
//!     while let Some(song) = process.receive().await.into_message() {
//!         println!("{song}");
//!     }
//! });
//! pg.join(Term::atom("rockstars"), &singer)?;
//! // iex> for pid <- :pg.get_members(:rockstars), do: send(pid, "Paranoid")
//! for pid in pg.members(&Term::atom("rockstars")) {
//!     node.send(&pid, Term::binary("Paranoid")).await?;
//! }
//! # Ok(()) }
//! ```
//!
//! The modules: `message` reads and writes what scopes tell each other, `state` decides what follows from it,
//! `events` follows a scope from outside; this one lets a scope take part in a node.

mod events;
mod message;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::etf::{Atom, Pid, Term};

use super::agent::{Agent, NEWS};
use super::received::{Dest, Received};
use super::registry::RegisterError;
use super::{Node, NodeEvent, Shared, atom_of, lock};

pub use events::PgEvents;
use message::Message;
use state::{Output, State};
pub use state::{PgEvent, PgEventKind};

/// How many events a follower may be behind before it is told the difference instead.
const EVENTS: usize = 4096;
/// How often the scope is looked for on nodes that did not have it. A BEAM that starts it later does not tell
/// hidden nodes.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A scope of process groups on a node: see [`Node::pg`]. Clones share it; it ends with the last of them, and
/// its members leave. It does not keep the node.
#[derive(Clone)]
pub struct Pg {
    node: Node,
    scope: Arc<Scope>,
}

/// A process was to join or leave that does not run on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} does not run on this node: a process joins and leaves groups on its own", Term::from(.0.clone()))]
pub struct NotLocal(pub Pid);

/// The scopes that a node takes part in, which do not end with it but with their handles.
pub(super) type Scopes = Mutex<HashMap<Atom, Weak<Scope>>>;

/// What a scope's tasks and handles share.
#[derive(Debug)]
pub(super) struct Scope {
    name: Atom,
    agent: Agent,
    shared: Weak<Shared>,
    state: Mutex<State>,
    events: broadcast::Sender<Arc<PgEvent>>,
    connections: Mutex<Option<AbortHandle>>,
}

impl Node {
    /// Takes part in a scope of process groups: `pg` is OTP's own. Asking again gives the same scope.
    ///
    /// It finds the scope on every node that is connected, whoever connected, and however this node is seen
    /// there. Where that node started it later, finding it may take five seconds.
    ///
    /// # Errors
    /// If a process of this node, which is no scope, is registered under the name.
    pub fn pg(&self, scope: Atom) -> Result<Pg, RegisterError> {
        let mut scopes = lock(&self.0.scopes);
        if let Some(scope) = scopes.get(&scope).and_then(Weak::upgrade) {
            let node = Self::inner(&self.0);
            return Ok(Pg { node, scope });
        }
        scopes.retain(|_, scope| scope.strong_count() > 0);
        let begun = Scope::begin(&self.0, scope.clone())?;
        scopes.insert(scope, Arc::downgrade(&begun));
        Ok(Pg {
            node: Self::inner(&self.0),
            scope: begun,
        })
    }
}

impl Pg {
    /// The name of the scope.
    #[must_use]
    pub fn scope(&self) -> &Atom {
        &self.scope.name
    }

    /// A process of this node joins a group: it is a member as often as it joined. It leaves when it ends.
    ///
    /// # Errors
    /// If it is a process of another node.
    pub fn join(&self, group: impl Into<Term>, pid: &Pid) -> Result<(), NotLocal> {
        self.join_all(group, std::slice::from_ref(pid))
    }

    /// Several processes of this node join a group, of which others hear at once.
    ///
    /// # Errors
    /// If one is a process of another node; then none joins.
    pub fn join_all(&self, group: impl Into<Term>, pids: &[Pid]) -> Result<(), NotLocal> {
        self.all_local(pids)?;
        let (group, pids) = (group.into(), pids.to_vec());
        self.scope
            .change(&self.node.0, |state| state.join(group, pids));
        Ok(())
    }

    /// A process of this node leaves a group once. False if it was no member.
    ///
    /// # Errors
    /// If it is a process of another node.
    pub fn leave(&self, group: &Term, pid: &Pid) -> Result<bool, NotLocal> {
        self.leave_all(group, std::slice::from_ref(pid))
    }

    /// Several processes of this node leave a group once each. False if none was a member.
    ///
    /// # Errors
    /// If one is a process of another node; then none leaves.
    pub fn leave_all(&self, group: &Term, pids: &[Pid]) -> Result<bool, NotLocal> {
        self.all_local(pids)?;
        let mut any = false;
        self.scope.change(&self.node.0, |state| {
            let (left, out) = state.leave(group, pids);
            any = left;
            out
        });
        Ok(any)
    }

    fn all_local(&self, pids: &[Pid]) -> Result<(), NotLocal> {
        let ids = &self.node.0.ids;
        match pids.iter().find(|pid| !ids.is_own(pid)) {
            Some(pid) => Err(NotLocal(pid.clone())),
            None => Ok(()),
        }
    }

    /// The members of a group on all nodes, each as often as it joined, in no order.
    #[must_use]
    pub fn members(&self, group: &Term) -> Vec<Pid> {
        lock(&self.scope.state).members(group).to_vec()
    }

    /// The members of a group on this node.
    #[must_use]
    pub fn local_members(&self, group: &Term) -> Vec<Pid> {
        lock(&self.scope.state).local_members(group).to_vec()
    }

    /// The groups that have a member, in no order.
    #[must_use]
    pub fn groups(&self) -> Vec<Term> {
        lock(&self.scope.state).groups().cloned().collect()
    }

    /// The groups that have a member on this node, in no order.
    #[must_use]
    pub fn local_groups(&self) -> Vec<Term> {
        lock(&self.scope.state).local_groups().cloned().collect()
    }

    /// The members of a group, and from then on those who join and leave it, as `pg:monitor/2` gives them.
    #[must_use]
    pub fn monitor(&self, group: impl Into<Term>) -> (Vec<Pid>, PgEvents) {
        let group = group.into();
        self.scope.with_state(|state, events| {
            let members = state.members(&group).to_vec();
            let receiver = events.subscribe();
            let events = PgEvents::new(&self.scope, state, Some(group), receiver);
            (members, events)
        })
    }

    /// All groups with their members, and from then on those who join and leave, as `pg:monitor_scope/1`
    /// gives them.
    #[must_use]
    pub fn monitor_scope(&self) -> (Vec<(Term, Vec<Pid>)>, PgEvents) {
        self.scope.with_state(|state, events| {
            let of = |group: &Term| (group.clone(), state.members(group).to_vec());
            let groups = state.groups().map(of).collect();
            let events = PgEvents::new(&self.scope, state, None, events.subscribe());
            (groups, events)
        })
    }
}

impl fmt::Debug for Pg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pg")
            .field("scope", self.scope())
            .field("node", self.node.name())
            .finish_non_exhaustive()
    }
}

impl Scope {
    fn begin(shared: &Arc<Shared>, name: Atom) -> Result<Arc<Self>, RegisterError> {
        let scope = Arc::new_cyclic(|weak: &Weak<Self>| {
            let scope = weak.clone();
            let agent = Agent::begin(shared, NEWS, move |shared, received, _| {
                if let Some(scope) = scope.upgrade() {
                    scope.received(shared, &received);
                }
            });
            Self {
                name: name.clone(),
                state: Mutex::new(State::new(agent.pid().clone())),
                agent,
                shared: Arc::downgrade(shared),
                events: broadcast::Sender::new(EVENTS),
                connections: Mutex::default(),
            }
        });
        scope.agent.register(shared, name)?;
        // Subscribed before it looks who is there, so that nobody is missed.
        let following = follow_connections(Arc::downgrade(&scope), shared.events.subscribe());
        let task = shared.runtime.spawn(following);
        *lock(&scope.connections) = Some(task.abort_handle());
        scope.change(shared, |state| {
            let nodes = shared.table.nodes();
            nodes
                .iter()
                .flat_map(|node| state.node_up(atom_of(node)))
                .collect()
        });
        Ok(scope)
    }

    fn received(&self, shared: &Shared, received: &Received) {
        match received {
            Received::Message(term) => match Message::from_term(term) {
                Some(message) => self.change(shared, |state| state.message(message)),
                None => {
                    let shape = term.shape();
                    tracing::debug!(scope = self.name.as_str(), "not a message of pg: {shape}");
                }
            },
            _ => {
                if let Some(pid) = self.agent.down(received) {
                    self.change(shared, |state| state.down(&pid));
                }
            }
        }
    }

    /// Changes the state and does what follows, in the order in which things changed: that is why the lock
    /// is held meanwhile, and why nothing here waits.
    fn change(&self, shared: &Shared, change: impl FnOnce(&mut State) -> Vec<Output>) {
        let mut state = lock(&self.state);
        for output in change(&mut state) {
            match output {
                Output::Send(pid, message) => shared.tell(&Dest::Pid(pid), message),
                Output::SendNode(node, message) => {
                    shared.tell(&Dest::Remote(self.name.clone(), node), message);
                }
                Output::Monitor(pid) => self.agent.monitor(shared, &pid),
                Output::Demonitor(pid) => self.agent.demonitor(shared, &pid),
                Output::Event(event) => {
                    // It is no error that nobody follows.
                    let _ = self.events.send(Arc::new(event));
                }
            }
        }
    }

    fn with_state<T>(&self, look: impl FnOnce(&State, &broadcast::Sender<Arc<PgEvent>>) -> T) -> T {
        look(&lock(&self.state), &self.events)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.connections).take() {
            task.abort();
        }
    }
}

async fn follow_connections(scope: Weak<Scope>, mut events: broadcast::Receiver<NodeEvent>) {
    let mut look_again = tokio::time::interval(LOOK_AGAIN);
    look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.recv() => Some(event),
            _ = look_again.tick() => None,
        };
        let Some(scope) = scope.upgrade() else { return };
        let Some(shared) = scope.shared.upgrade() else {
            return;
        };
        scope.change(&shared, |state| match event {
            None => state.look_again(),
            Some(Ok(NodeEvent::Up(peer))) => state.node_up(atom_of(&peer.name)),
            Some(Ok(NodeEvent::Down(peer, _))) => {
                state.node_down(&atom_of(&peer.name));
                Vec::new()
            }
            Some(Err(RecvError::Lagged(_))) => {
                state.nodes_are(shared.table.nodes().iter().map(atom_of).collect());
                state.look_again()
            }
            Some(Err(RecvError::Closed)) => Vec::new(),
        });
    }
}
