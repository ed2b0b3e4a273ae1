//! How a node begins and ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;

use crate::dist::{CloseReason, Identity, dial_for_name};
use crate::epmd::Registered;

use super::builder::{Builder, StartError};
use super::entry::Exit;
use super::ids::Ids;
use super::received::ExitReason;
use super::registry::Registry;
use super::services::Services;
use super::spawn::{Requests, Slots};
use super::table::{self, Table};
use super::{Alive, Node, Shared, atom_of, global, listen, lock, pg};

/// How many events a subscriber may be behind before it misses some.
pub(super) const EVENTS: usize = 1024;
/// How long EPMD may take to forget a node that stops.
const FORGET: Duration = Duration::from_millis(500);
/// How long processes that trap exits may take to end when the node stops.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn start(builder: Builder) -> Result<Node, StartError> {
    builder.check()?;
    let (cookie, peer_cookies) = builder.cookies()?;
    let mut identity = Identity::new(builder.name.clone()?, 0, cookie);
    identity.peer_cookies = peer_cookies;
    // Who has its name from another is hidden.
    identity.visible = builder.visible && builder.named_by.is_none();
    let (mut given, mut listener, mut registered) = (None, None, None);
    if let Some(giver) = &builder.named_by {
        let named = dial_for_name(&identity, giver, &builder.dial).await;
        let (stream, peer, named) = named.map_err(|error| StartError::Unnamed {
            peer: giver.clone(),
            error,
        })?;
        identity.name = named.name;
        identity.creation = named.creation;
        given = Some((stream, peer));
    } else {
        let (name, visible) = (&identity.name, identity.visible);
        (listener, registered) = builder.presence.begin(name, visible, &builder.dial).await?;
        let creation = registered.as_ref().and_then(Registered::creation);
        // OTP's EPMD counts up from 4; without one, a number that an earlier run hardly had.
        identity.creation = creation.unwrap_or_else(|| rand::random_range(4..u32::MAX));
    }
    let prevent_overlapping_partitions = builder.prevent_overlapping_partitions;
    let visible = identity.visible;
    if visible {
        global::offer(&builder.functions);
    }
    let shared = Arc::new(new_shared(builder, identity, registered));
    let _ = shared.services.set(Services::begin(&shared));
    if visible {
        let server = global::Server::begin(&shared, prevent_overlapping_partitions);
        let _ = shared.global.set(server);
    }
    if let Some(socket) = listener {
        let task = tokio::spawn(listen::run(socket, Arc::downgrade(&shared)));
        *lock(&shared.listener) = Some(task.abort_handle());
    }
    let alive = Arc::new(Alive(Arc::clone(&shared)));
    if let Some((stream, peer)) = given {
        let giver = peer.name.clone();
        let begun = table::Origin {
            here: true,
            at: tokio::time::Instant::now(),
            replaces: false,
        };
        let connection = table::adopt(&shared, stream, peer, begun)
            .await
            .map_err(|error| StartError::Unnamed { peer: giver, error })?;
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            connection.closed().await;
            if let Some(shared) = weak.upgrade() {
                // The name is another node's to have from now on.
                shared.stop().await;
            }
        });
    }
    Ok(Node(shared, Some(alive)))
}

fn new_shared(builder: Builder, identity: Identity, registered: Option<Registered>) -> Shared {
    let ids = Ids::new(atom_of(&identity.name), identity.creation);
    Shared {
        own: ids.pid(),
        ids,
        registry: Registry::default(),
        related: Arc::default(),
        requests: Requests::default(),
        functions: builder.functions,
        printed: builder.printed,
        slots: Slots::new(builder.limits.functions, builder.limits.arguments),
        block_calls: Arc::default(),
        global: OnceLock::new(),
        scopes: pg::Scopes::default(),
        services: OnceLock::new(),
        linking: Mutex::new(()),
        ended: Notify::new(),
        mailbox: builder.limits.mailbox,
        unreceived: builder.limits.unreceived,
        unreceived_at_most: builder.limits.unreceived_at_most,
        patience: builder.channel.tick_time,
        runtime: tokio::runtime::Handle::current(),
        identity,
        dial: builder.dial,
        take_over: builder.take_over,
        channel: builder.channel,
        table: Table::new(builder.limits.connections),
        events: broadcast::Sender::new(EVENTS),
        stopped: AtomicBool::new(false),
        registered: Mutex::new(registered),
        listener: Mutex::new(None),
    }
}

impl Node {
    /// Stops the node: it leaves EPMD (which has half a second to forget the name, so that it can be registered
    /// again when this returns), takes no more connections, has its processes end, and closes its
    /// connections when their links and monitors have told the peers so. Processes that trap exits have 5 s
    /// to end by themselves, see [`super::Process::is_shutdown`]. It goes on when this is cancelled.
    pub async fn stop(&self) {
        let shared = Arc::clone(&self.0);
        // A task of its own: the code that calls this may be that of a process, which ends with the others.
        let stopped = self.0.runtime.spawn(async move { shared.stop().await });
        // An error means that the runtime ends, and everything with it.
        let _ = stopped.await;
    }
}

impl Shared {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Takes no more connections, and gives back what EPMD is left with.
    fn shut(&self) -> Option<Registered> {
        self.stopped.store(true, Ordering::Release);
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
        lock(&self.registered).take()
    }

    /// Tells every process to end.
    fn end_processes(&self, how: impl Fn(&super::entry::Entry) -> super::entry::Delivered) {
        for entry in self.registry.all() {
            let delivered = how(&entry);
            self.settle(&entry, delivered);
        }
    }

    async fn stop(&self) {
        if let Some(global) = self.global.get() {
            global.leave();
        }
        let leaving = self.shut();
        let leaving = leaving.map(|registered| self.runtime.spawn(registered.leave(FORGET)));
        self.end_processes(|entry| {
            if entry.spawned {
                return entry.exit(&self.own, ExitReason::SHUTDOWN.0, Exit::Sent, None);
            }
            // Its code is not ours to end: it sees that its process has ended.
            let mut inner = entry.lock();
            entry.doom(&mut inner, ExitReason::SHUTDOWN.0)
        });
        if timeout(GRACE, self.all_ended()).await.is_err() {
            self.end_processes(|entry| {
                let mut inner = entry.lock();
                entry.doom(&mut inner, crate::etf::Term::atom("killed"))
            });
            // Code that holds a thread cannot be ended.
            if timeout(GRACE, self.all_ended()).await.is_err() {
                let left = self.registry.count();
                tracing::warn!("the node stops while {left} processes still run");
            }
        }
        let connections = self.table.drain();
        for connection in &connections {
            connection.close(CloseReason::Local);
        }
        for connection in &connections {
            connection.settled().await;
        }
        if let Some(leaving) = leaving {
            // An error means that the runtime ends, and the connection to EPMD with it.
            let _ = leaving.await;
        }
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.registry.count() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// The last handle of a node is gone.
impl Drop for Alive {
    fn drop(&mut self) {
        let shared = &self.0;
        if shared.is_stopped() {
            return;
        }
        if let Some(global) = shared.global.get() {
            global.leave();
        }
        drop(shared.shut());
        shared.end_processes(|entry| {
            let mut inner = entry.lock();
            entry.doom(&mut inner, ExitReason::SHUTDOWN.0)
        });
        for connection in shared.table.drain() {
            connection.close(CloseReason::Local);
        }
    }
}
