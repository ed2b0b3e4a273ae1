//! A hidden node of a BEAM cluster, in Rust: it registers with EPMD, connects and is connected to, calls
//! functions on other nodes, and answers `net_adm:ping`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rendez::{Node, Secret};
//! use std::time::Duration;
//!
//! let node = Node::builder("probe@127.0.0.1".parse()?, Secret::new("cookie")).start().await?;
//! let peer = "shop@127.0.0.1".parse()?;
//! let answer = node.call(&peer, "erlang", "nodes", vec![], Duration::from_secs(5)).await?;
//! println!("{answer}");
//! # Ok(()) }
//! ```
//!
//! The modules: `builder` says what a node is made of, `table` holds who is connected, `calls` waits for
//! answers, `mailbox` gives others something to send to, `dispatch` decides what an incoming message is for,
//! `listen` takes connections.

#![allow(dead_code, reason = "connections are about to use what processes have")]

mod agent;
mod builder;
pub mod call;
mod calls;
mod credit;
mod dispatch;
mod entry;
mod erpc;
mod exception;
mod functions;
mod global;
mod ids;
mod io;
mod kernel;
mod listen;
#[cfg(test)]
mod local_tests;
mod mailbox;
pub mod pg;
mod presence;
mod process;
mod received;
mod registry;
mod remote;
mod rex;
mod route;
mod rpc;
mod server;
mod services;
mod signals;
mod spawn;
mod spawn_options;
mod table;
mod task;
pub(crate) mod terms;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use eetf::{Pid, Reference, Term};
use erl_dist::message::Message;
use erl_dist::term::PidOrAtom;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::dist::{
    CloseReason, ConnectError, Connection, DialOptions, Identity, LinkOptions, dial_for_name, etf,
};
use crate::epmd::Registered;
use crate::name::NodeName;
use crate::secret::Secret;

pub use builder::{Builder, Registration, StartError};
pub use call::{Caller, Request};
pub use calls::CallError;
use calls::{Calls, Outcome};
pub use entry::{MailboxBound, WhenFull};
pub use exception::Exception;
pub use functions::{Context, Functions};
pub use global::Global;
use ids::Ids;
pub use mailbox::Mailbox;
use mailbox::Mailboxes;
pub use process::Process;
pub use received::{Dest, ExitReason, Received, SendFailed};
pub use registry::RegisterError;
use registry::Registry;
pub use rpc::RpcError;
pub use server::{Answer, GenServer, Next, ServeError};
use services::Services;
pub use signals::Monitored;
pub use spawn::SpawnError;
use spawn::{Requests, Slots};
use table::Table;
pub use task::SpawnOptions;
use terms::{atom, gen_call, is_atom, list, tuple};

/// How many events a subscriber may be behind before it misses some.
const EVENTS: usize = 1024;

/// A connection came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// A connection to the node exists.
    Up(NodeName),
    /// It ended.
    Down(NodeName, CloseReason),
}

/// A hidden node. Clones share it; it stops with [`Node::stop`] or with its last clone.
#[derive(Clone)]
pub struct Node(Arc<Shared>);

/// What the tasks of a node share.
struct Shared {
    identity: Identity,
    dial: DialOptions,
    link: LinkOptions,
    table: Table,
    calls: Calls,
    /// Under which pid calls are made.
    caller: Pid,
    mailboxes: Mailboxes,
    ids: Ids,
    /// Whom the node itself is, where a signal needs a sender.
    own: crate::etf::Pid,
    registry: Registry,
    /// What this node asked others to start.
    requests: Requests,
    /// What others can have this node run, and how much of it at once.
    functions: Functions,
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
    runtime: tokio::runtime::Handle,
    events: broadcast::Sender<NodeEvent>,
    /// The next number for a pid or a reference.
    next: AtomicU64,
    stopped: AtomicBool,
    registered: Mutex<Option<Registered>>,
    listener: Mutex<Option<AbortHandle>>,
}

impl Node {
    /// Begins a node of this name with the cookie of its cluster.
    ///
    /// The name has to be unique among the nodes that it will meet, and of one kind with theirs: long
    /// (`x@host.domain`, `x@10.0.0.7`) or short (`x@host`).
    #[must_use]
    pub fn builder(name: NodeName, cookie: Secret) -> Builder {
        Builder::new(name, cookie)
    }

    async fn start(builder: Builder) -> Result<Self, StartError> {
        let Builder {
            mut name,
            cookie,
            peer_cookies,
            named_by,
            presence,
            dial,
            link,
            functions,
            functions_at_once,
            visible,
            prevent_overlapping_partitions,
        } = builder;
        // Who has its name from another is hidden.
        let visible = visible && named_by.is_none();
        if visible {
            global::offer(&functions);
        }
        let (mut given, mut listener, mut registered) = (None, None, None);
        if let Some(peer) = named_by {
            let nobody = Identity::new(name, 0, cookie.clone());
            let named = dial_for_name(&nobody, &peer, &dial).await;
            let (stream, peer, named) =
                named.map_err(|error| StartError::Unnamed { peer, error })?;
            name = named.name;
            given = Some((stream, peer, named.creation));
        } else {
            (listener, registered) = presence.begin(&name, visible, &dial).await?;
        }
        let creation = given.as_ref().map(|(_, _, creation)| *creation);
        let creation = creation.or_else(|| registered.as_ref().and_then(Registered::creation));
        // OTP's EPMD counts up from 4; without one, a number that an earlier run hardly had.
        let creation = creation.unwrap_or_else(|| rand::random_range(4..u32::MAX));
        let ids = Ids::new(atom_of(&name), creation);
        let caller = Pid::new(name.as_str(), 1, 0, creation);
        let mut identity = Identity::new(name, creation, cookie);
        identity.peer_cookies = Arc::new(peer_cookies);
        identity.visible = visible;
        let shared = Arc::new(Shared {
            own: ids.pid(),
            ids,
            registry: Registry::default(),
            requests: Requests::default(),
            functions,
            slots: Slots::new(functions_at_once),
            block_calls: Arc::default(),
            global: OnceLock::new(),
            scopes: pg::Scopes::default(),
            services: OnceLock::new(),
            linking: Mutex::new(()),
            ended: Notify::new(),
            mailbox: MailboxBound::default(),
            runtime: tokio::runtime::Handle::current(),
            caller,
            identity,
            dial,
            link,
            table: Table::default(),
            calls: Calls::default(),
            mailboxes: Mailboxes::default(),
            events: broadcast::Sender::new(EVENTS),
            next: AtomicU64::new(2),
            stopped: AtomicBool::new(false),
            registered: Mutex::new(registered),
            listener: Mutex::new(None),
        });
        let _ = shared.services.set(Services::begin(&shared));
        if visible {
            let server = global::Server::begin(&shared, prevent_overlapping_partitions);
            let _ = shared.global.set(server);
        }
        if let Some((stream, peer, _)) = given {
            let giver = peer.name.clone();
            let connection = table::adopt(&shared, stream, peer)
                .map_err(|error| StartError::Unnamed { peer: giver, error })?;
            let weak = Arc::downgrade(&shared);
            tokio::spawn(async move {
                connection.closed().await;
                if let Some(shared) = weak.upgrade() {
                    // The name is another node's to have from now on.
                    Node(shared).stop().await;
                }
            });
        }
        if let Some(socket) = listener {
            let task = tokio::spawn(listen::run(socket, Arc::downgrade(&shared)));
            *lock(&shared.listener) = Some(task.abort_handle());
        }
        Ok(Self(shared))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.0.identity.name
    }

    /// Who it is to its peers.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Connects to `peer`, unless there is a connection. Callers at the same time share one attempt, which
    /// goes on when they are cancelled.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, peer: &NodeName) -> Result<Connection, ConnectError> {
        table::connect(&self.0, peer).await
    }

    /// Ends the connection to `peer`, if there is one.
    pub fn disconnect(&self, peer: &NodeName) {
        if let Some(connection) = self.0.table.up(peer) {
            connection.close(CloseReason::Local);
        }
    }

    /// The nodes that it is connected to.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        self.0.table.nodes()
    }

    /// Tells of connections that come and go from now on. A reader that is more than 1,024 events behind
    /// misses the oldest, and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.0.events.subscribe()
    }

    /// Connects to `peer` if there is no connection, asks it whether it is there, as `net_adm:ping/1` does,
    /// and says how long the question took, connecting left out. `within` bounds each of the two.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self, peer: &NodeName, within: Duration) -> Result<Duration, CallError> {
        let connected = timeout(within, self.connect(peer)).await;
        let late = |_| CallError::Timeout {
            peer: peer.clone(),
            after: within,
        };
        connected.map_err(late)??;
        let start = Instant::now();
        let request = tuple([atom("is_auth"), atom(self.name().as_str())]);
        // Any answer will do: what answers is the peer, and the handshake proved the cookie.
        self.gen_call(peer, "net_kernel", request, within).await?;
        Ok(start.elapsed())
    }

    /// Calls `module:function(arguments)` on `peer`, as `rpc:call/5` does: through the `rex` server, which
    /// every OTP release has, in a process of its own there. What it prints goes to the peer's `user`.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::BadRpc`] is what `rpc:call` gives as `{badrpc, Reason}`.
    pub async fn call(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
        within: Duration,
    ) -> Result<Term, CallError> {
        let request = tuple([
            atom("call"),
            atom(module),
            atom(function),
            list(arguments),
            atom("user"),
        ]);
        let answer = self.gen_call(peer, "rex", request, within).await?;
        match answer {
            Term::Tuple(tuple)
                if tuple.elements.len() == 2 && is_atom(&tuple.elements[0], "badrpc") =>
            {
                Err(CallError::BadRpc {
                    peer: peer.clone(),
                    reason: tuple.elements[1].clone(),
                })
            }
            answer => Ok(answer),
        }
    }

    /// Calls the `gen_server` that is registered as `server` on `peer`, as `gen_server:call/3` does, and
    /// connects first if there is no connection. `within` bounds both together.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn gen_call(
        &self,
        peer: &NodeName,
        server: &str,
        request: Term,
        within: Duration,
    ) -> Result<Term, CallError> {
        let request = etf::sendable(request)?;
        let whole = self.gen_call_unbounded(peer, server, request);
        timeout(within, whole).await.unwrap_or_else(|_| {
            Err(CallError::Timeout {
                peer: peer.clone(),
                after: within,
            })
        })
    }

    async fn gen_call_unbounded(
        &self,
        peer: &NodeName,
        server: &str,
        request: Term,
    ) -> Result<Term, CallError> {
        let shared = &*self.0;
        let connection = self.connect(peer).await?;
        let tag = shared.reference();
        let mut call = shared.calls.begin(tag.clone(), connection.clone())?;
        let caller = shared.caller.clone();
        let target = || PidOrAtom::Atom(server.into());
        let lost = |reason| CallError::Lost {
            peer: peer.clone(),
            reason,
        };
        // The monitor comes first: it says so if there is no such process, or if it ends.
        let monitor = Message::monitor_p(caller.clone(), target(), tag.clone());
        let request = gen_call(caller.clone(), tag.clone(), request);
        let request = Message::reg_send(caller.clone(), server.into(), request);
        for message in [monitor, request] {
            if connection.send(message).await.is_err() {
                return Err(lost(connection.closed().await));
            }
        }
        // Whether answered or given up on, the peer need not keep the monitor.
        let demonitor = Message::demonitor_p(caller, target(), tag);
        let _monitored = OnDrop(Some(|| {
            let _ = connection.try_send(demonitor);
        }));
        match call.outcome().await {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Exited(reason) => Err(CallError::Exited {
                peer: peer.clone(),
                server: server.to_owned(),
                reason,
            }),
            Outcome::Lost(reason) => Err(lost(reason)),
        }
    }

    /// Opens a mailbox with room for `capacity` messages.
    #[must_use]
    pub fn mailbox(&self, capacity: usize) -> Mailbox {
        let pid = self.0.pid();
        self.0.mailboxes.open(pid, capacity)
    }

    /// The functions that others can call on it. More can be offered while it runs.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.0.functions
    }

    /// A reference that this node has not used before.
    #[must_use]
    pub fn reference(&self) -> Reference {
        self.0.reference()
    }

    /// Stops the node: it leaves EPMD, takes no more connections, and closes those that it has.
    pub async fn stop(&self) {
        if let Some(global) = self.0.global.get() {
            global.leave();
        }
        self.0.shut();
        let connections = self.0.table.drain();
        for connection in &connections {
            connection.close(CloseReason::Local);
        }
        for connection in &connections {
            connection.closed().await;
        }
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

impl Shared {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the number"
    )]
    fn pid(&self) -> Pid {
        let number = self.number();
        let (id, serial) = (number as u32, (number >> 32) as u32);
        Pid::new(
            self.identity.name.as_str(),
            id,
            serial,
            self.identity.creation,
        )
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked, or shifted out")]
    fn reference(&self) -> Reference {
        let number = self.number();
        // OTP keeps the first word to 18 bits.
        let id = vec![
            (number & 0x3_ffff) as u32,
            (number >> 18) as u32,
            (number >> 50) as u32,
        ];
        Reference {
            node: self.identity.name.as_str().into(),
            id,
            creation: self.identity.creation,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn shut(&self) {
        self.stopped.store(true, Ordering::Release);
        drop(lock(&self.registered).take());
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.shut();
        for connection in self.table.drain() {
            connection.close(CloseReason::Local);
        }
    }
}

/// A node's name as an atom. It is one: names are at most as long.
pub(crate) fn atom_of(name: &NodeName) -> crate::etf::Atom {
    name.as_str()
        .try_into()
        .unwrap_or_else(|_| crate::etf::Atom::new("nonode@nohost"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something at the end of a scope, also when the future that it is in is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}
