//! A node of a BEAM cluster, in Rust: it registers with EPMD, connects and is connected to, and has
//! processes that send, receive, link and monitor as those of a BEAM do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rendez::Node;
//! use std::time::Duration;
//!
//! let node = Node::builder("probe@127.0.0.1").cookie("cookie").start().await?;
//! let peer = "shop@127.0.0.1".parse()?;
//! let answer = node.call(&peer, "erlang", "nodes", vec![], Duration::from_secs(5)).await?;
//! println!("{answer}");
//! # Ok(()) }
//! ```
//!
//! The modules, from the inside out. Pure: `ids` numbers pids and references, `signals` keeps the links and
//! monitors of one process. What a process is: `entry` (its mailbox and whether it ends), `registry` (by pid,
//! name and alias), `process` (as its own code has it), `task` (running code as a process), `received`. What
//! processes make of it: `call` and `server`. Between nodes: `route` says where a signal goes, `remote` and
//! `table` find or make the connection, `connection` is one, `credit` holds a peer up that is not listened to,
//! `incoming` decides what a message is for. `builder`, `start` and `listen` begin and end it all.

mod agent;
mod builder;
pub mod call;
mod connection;
mod credit;
mod discard;
mod entry;
mod erpc;
mod exception;
mod functions;
mod global;
mod ids;
mod incoming;
mod io;
mod kernel;
mod listen;
#[cfg(test)]
mod local_tests;
mod monitor_nodes;
pub mod pg;
mod ping;
mod presence;
mod process;
mod received;
mod registry;
mod related;
mod remote;
mod rex;
mod route;
mod rpc;
mod server;
mod services;
mod signals;
mod spawn;
mod spawn_options;
mod start;
mod system_messages;
mod table;
mod task;
#[cfg(test)]
mod wire_tests;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;

use crate::dist::channel::ChannelOptions;
use crate::dist::{CloseReason, ConnectError, DialOptions, Identity, Peer};
use crate::epmd::Registered;
use crate::etf::{Atom, Pid, Reference};
use crate::name::{InvalidName, NodeName};

pub use builder::{Builder, Cookie, Limits, Registration, StartError};
pub use call::{CallError, Caller, Request};
pub use connection::Connection;
pub use entry::{MailboxBound, WhenFull};
pub use exception::Exception;
pub use functions::{Context, Functions};
pub use global::Global;
use ids::Ids;
pub use monitor_nodes::NodeEvents;
pub use process::Process;
pub use received::{Dest, ExitReason, Received, SendFailed};
pub use registry::RegisterError;
use registry::Registry;
use related::Related;
pub use rpc::RpcError;
pub use server::{Answer, GenServer, Next, ServeError};
use services::Services;
pub use signals::Monitored;
pub use spawn::SpawnError;
use spawn::{Requests, Slots};
use table::Table;
pub use task::SpawnOptions;

/// A connection came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// A connection to the node exists.
    Up(Peer),
    /// It ended.
    Down(Peer, CloseReason),
}

/// A node. Clones share it; it stops with [`Node::stop`], or when the last is dropped. A [`Process`], a [`Connection`],
/// a [`pg::Pg`] and a [`Global`] do not keep it, nor does what [`Process::node`] gives, and clones of that.
#[derive(Clone)]
pub struct Node(
    Arc<Shared>,
    #[expect(dead_code, reason = "what counts is when it is dropped")] Option<Arc<Alive>>,
);

/// Is held by those who keep the node.
struct Alive(Arc<Shared>);

/// What the tasks of a node share.
struct Shared {
    identity: Identity,
    ids: Ids,
    /// Whom the node itself is, where a signal needs a sender.
    own: Pid,
    registry: Registry,
    /// Which processes have to do with which other nodes.
    related: Arc<Related>,
    /// What this node asked others to start.
    requests: Requests,
    /// What others can have this node run, and how much of it at once.
    functions: Functions,
    /// Where goes what is printed by the processes that this node starts elsewhere.
    printed: io::Printed,
    slots: Slots,
    /// Held by one `block_call` at a time.
    block_calls: Arc<tokio::sync::Mutex<()>>,
    /// Names of the whole cluster, of which a hidden node has none.
    global: OnceLock<Arc<global::Server>>,
    /// The scopes of process groups that it takes part in.
    scopes: pg::Scopes,
    /// The processes that every node has.
    services: OnceLock<Services>,
    /// Held while two processes of this node are linked or unlinked.
    linking: Mutex<()>,
    /// A process has ended.
    ended: Notify,
    /// The bound of mailboxes that are not given one.
    mailbox: MailboxBound,
    /// How much of one connection may wait in mailboxes, in bytes: while nothing is waited for from the peer, while
    /// something is, and for how long.
    unreceived: usize,
    unreceived_at_most: usize,
    patience: Duration,
    runtime: tokio::runtime::Handle,
    dial: DialOptions,
    take_over: bool,
    channel: ChannelOptions,
    table: Table,
    events: broadcast::Sender<NodeEvent>,
    stopped: AtomicBool,
    registered: Mutex<Option<Registered>>,
    listener: Mutex<Option<AbortHandle>>,
}

impl Node {
    /// Begins a node of this name.
    ///
    /// The name has to be unique among the nodes that it will meet, and of one kind with theirs: long
    /// (`x@host.domain`, `x@10.0.0.7`) or short (`x@host`).
    #[must_use]
    pub fn builder<N>(name: N) -> Builder
    where
        N: TryInto<NodeName>,
        N::Error: Into<InvalidName>,
    {
        Builder::new(name.try_into().map_err(Into::into))
    }

    /// One that does not keep the node.
    fn inner(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared), None)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.0.identity.name
    }

    /// Its name, as terms have it.
    #[must_use]
    pub fn atom(&self) -> &Atom {
        self.0.ids.node()
    }

    /// Who it is to its peers.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The functions that others can call on it. More can be offered while it runs.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.0.functions
    }

    /// A reference that this node has not used before.
    #[must_use]
    pub fn reference(&self) -> Reference {
        self.0.ids.reference()
    }

    /// Connects to `peer`, unless there is a connection. Callers at the same time share one attempt, which
    /// goes on when they are cancelled.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, peer: &NodeName) -> Result<Connection, ConnectError> {
        table::connect(&self.0, peer).await
    }

    /// The connection to `peer`, if there is one.
    #[must_use]
    pub fn connection(&self, peer: &NodeName) -> Option<Connection> {
        self.0.table.up(peer.as_str())
    }

    /// Ends the connection to `peer`, if there is one, and no other connection.
    ///
    /// This is less than `erlang:disconnect_node/1` does: since OTP 25 `global` on both sides of that tells all others,
    /// and these part from one of the two, so that connections between third nodes end too. A visible node and its peer
    /// note instead that they part. The peer logs that as a warning of `global`, and names of the whole cluster are not
    /// shared between the two until they are connected again. To end all connections use [`Node::leave`].
    pub fn disconnect(&self, peer: &NodeName) {
        let Some(connection) = self.connection(peer) else {
            return;
        };
        match self.0.global.get() {
            Some(global) if connection.is_visible() => global.part(&self.0, connection.node()),
            _ => connection.close(CloseReason::Local),
        }
    }

    /// Leaves the cluster without harm to the nodes that stay, as `global:disconnect/0` does: ends the connections to
    /// all visible nodes, waits until they have ended, and says which nodes that were. Hidden connections stay; a hidden
    /// node has no others.
    ///
    /// The node goes on, and joins again when it connects to a node, or a node to it.
    ///
    /// ```no_run
    /// # async fn example(node: rendez::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let left = node.leave().await;
    /// println!("left {} nodes", left.len());
    /// node.connect(&"shop@127.0.0.1".parse()?).await?;
    /// # Ok(()) }
    /// ```
    pub async fn leave(&self) -> Vec<NodeName> {
        let mut connections = self.connections();
        connections.retain(Connection::is_visible);
        if let Some(global) = self.0.global.get() {
            global.part_from_all(&self.0);
        }
        // Those too that `global` has not heard of yet.
        for connection in &connections {
            connection.close(CloseReason::Local);
        }
        let mut left = Vec::with_capacity(connections.len());
        for connection in connections {
            connection.settled().await;
            left.push(connection.peer().name.clone());
        }
        left
    }

    /// The nodes that it is connected to, hidden ones among them.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        self.0.table.nodes()
    }

    /// Its connections.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.0.table.all()
    }

    /// Tells of connections that come and go from now on. A reader that is more than 1,024 events behind
    /// misses the oldest, and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.0.events.subscribe()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", self.name())
            .field("nodes", &self.nodes())
            .finish_non_exhaustive()
    }
}

/// A node's name as an atom. It is one: names are at most as long.
pub(crate) fn atom_of(name: &NodeName) -> Atom {
    name.as_str()
        .try_into()
        .unwrap_or_else(|_| Atom::new("nonode@nohost"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
