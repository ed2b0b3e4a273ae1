//! Who is connected, and who is being connected to.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::dist::channel::{self, ChannelOptions, Receiver, Sender};
use crate::dist::handshake::{Claimed, Named, Names, Stranger, Verdict};
use crate::dist::{CloseReason, ConnectError, Flags, Peer, Stream, dial, until_awake};
use crate::name::NodeName;

use super::connection::{self, Connection};
use super::credit::Gate;
use super::{NodeEvent, Shared};

/// How long a connection that the peer knows of already may take to be known here.
const CROSSED: Duration = Duration::from_millis(100);

/// What those who wait for an attempt are told.
type Attempt = watch::Receiver<Option<Result<Connection, ConnectError>>>;

#[derive(Debug)]
enum Slot {
    Connecting(Attempt),
    /// Also one that has ended, until everyone has been told.
    Up(Connection),
}

#[derive(Debug)]
pub(super) struct Table {
    slots: RwLock<HashMap<NodeName, Slot>>,
    /// For nodes that ask for a name.
    names: Mutex<Names>,
    /// Changes whenever a connection came to be.
    came: watch::Sender<()>,
    /// The nodes whose connection was lost and that have not been connected since.
    lost: Mutex<HashSet<NodeName>>,
    /// The most connections.
    most: usize,
}

/// How many lost nodes are remembered.
const REMEMBERED: usize = 10_000;

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            slots: RwLock::default(),
            names: Mutex::default(),
            came: watch::Sender::default(),
            lost: Mutex::default(),
            most,
        }
    }

    fn lost(&self) -> MutexGuard<'_, HashSet<NodeName>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn up(&self, peer: &str) -> Option<Connection> {
        match self.read().get(peer) {
            Some(Slot::Up(connection)) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        }
    }

    pub(super) fn all(&self) -> Vec<Connection> {
        let slots = self.read();
        let up = |slot: &Slot| match slot {
            Slot::Up(connection) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        };
        slots.values().filter_map(up).collect()
    }

    pub(super) fn nodes(&self) -> Vec<NodeName> {
        let all = self.all().into_iter();
        all.map(|connection| connection.peer().name.clone())
            .collect()
    }

    /// Forgets everyone, and hands out the connections that there were.
    pub(super) fn drain(&self) -> Vec<Connection> {
        let slots = std::mem::take(&mut *self.write());
        let up = |slot| match slot {
            Slot::Up(connection) => Some(connection),
            Slot::Connecting(_) => None,
        };
        slots.into_values().filter_map(up).collect()
    }

    /// What to answer to a node that wants to connect. When both sides began at once, the attempt of the one
    /// with the greater name goes on, as the protocol has it. A connection that exists is only given up once
    /// the newcomer has said that it means it, and has proved the cookie.
    pub(super) fn judge(&self, own: &NodeName, stranger: &Stranger) -> Verdict {
        let slots = self.read();
        let peer = match &stranger.name {
            // It would speak for the processes of this node.
            Claimed::Name(peer) if peer == own => {
                tracing::warn!(%peer, "a node with the name of this one is not let in");
                return Verdict::Refuse;
            }
            Claimed::Name(peer) => peer,
            Claimed::Host(_) if slots.len() >= self.most => return Verdict::Refuse,
            Claimed::Host(host) => {
                let mut names = super::lock(&self.names);
                loop {
                    match names.give(host, (rand::random(), rand::random())) {
                        // Some node may have come by that name in another way.
                        Ok(named) if slots.contains_key(&named.name) => {}
                        Ok(named) => return Verdict::Name(named),
                        Err(_) => return Verdict::Refuse,
                    }
                }
            }
        };
        match slots.get(peer) {
            Some(Slot::Connecting(_)) if own > peer => Verdict::OursGoesFirst,
            Some(Slot::Connecting(_)) => Verdict::AcceptSimultaneous,
            Some(Slot::Up(connection)) if !connection.is_closed() => Verdict::Connected,
            Some(Slot::Up(_)) => Verdict::Accept,
            None if slots.len() >= self.most => {
                tracing::warn!(%peer, "it is not let in: there are {} connections", self.most);
                Verdict::Refuse
            }
            None => Verdict::Accept,
        }
    }

    /// A name that was given is not taken, as its node did not pass the handshake. One that a node had before is
    /// given again later; of one that is new nobody knows.
    pub(super) fn not_taken(&self, named: Named) {
        super::lock(&self.names).not_taken(named);
    }

    /// Lets a name that this node gave be given again.
    fn free(&self, peer: &Peer) {
        if let (true, Some(creation)) = (peer.flags.contains(Flags::NAME_ME), peer.creation) {
            let name = peer.name.clone();
            super::lock(&self.names).take_back(Named { name, creation });
        }
    }

    /// Whether this node is still connecting to `peer`, and has no connection from it.
    fn is_connecting(&self, peer: &NodeName) -> bool {
        matches!(self.read().get(peer), Some(Slot::Connecting(_)))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<NodeName, Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<NodeName, Slot>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to `peer`, or joins the attempt that is under way, or gives the connection that there is.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    peer: &NodeName,
) -> Result<Connection, ConnectError> {
    loop {
        let ended = match begin(shared, peer)? {
            Begun::Up(connection) => return Ok(connection),
            Begun::Connecting(mut attempt) => {
                return match attempt.wait_for(Option::is_some).await {
                    Ok(result) => result.clone().unwrap_or(Err(ConnectError::Stopped)),
                    Err(_) if shared.is_stopped() => Err(ConnectError::Stopped),
                    Err(_) => Err(ConnectError::Handshake {
                        peer: peer.clone(),
                        detail: "the task that connected ended by a fault of this node".into(),
                    }),
                };
            }
            Begun::Ended(connection) => connection,
        };
        // What is sent over a new connection comes after all that the end of the old one means.
        ended.settled().await;
    }
}

enum Begun {
    Up(Connection),
    Connecting(Attempt),
    Ended(Connection),
}

fn begin(shared: &Arc<Shared>, peer: &NodeName) -> Result<Begun, ConnectError> {
    let mut slots = shared.table.write();
    // Under the lock, so that a node that stops meanwhile leaves nobody waiting in the table.
    if shared.is_stopped() {
        return Err(ConnectError::Stopped);
    }
    Ok(match slots.get(peer) {
        Some(Slot::Up(connection)) if connection.is_closed() => Begun::Ended(connection.clone()),
        Some(Slot::Up(connection)) => Begun::Up(connection.clone()),
        Some(Slot::Connecting(attempt)) => Begun::Connecting(attempt.clone()),
        None => {
            let (tell, attempt) = watch::channel(None);
            slots.insert(peer.clone(), Slot::Connecting(attempt.clone()));
            let (weak, peer) = (Arc::downgrade(shared), peer.clone());
            let under_way = UnderWay {
                shared: Weak::clone(&weak),
                peer: peer.clone(),
                attempt: attempt.clone(),
            };
            shared.runtime.spawn(async move {
                let _under_way = under_way;
                let result = try_to_connect(&weak, &peer).await;
                // Everyone who waited may have been cancelled.
                let _ = tell.send(Some(result));
            });
            Begun::Connecting(attempt)
        }
    })
}

/// An attempt to connect, which leaves nothing in the table when it ends, also if its task is dropped or panics.
struct UnderWay {
    shared: Weak<Shared>,
    peer: NodeName,
    attempt: Attempt,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut slots = shared.table.write();
        if matches!(slots.get(&self.peer), Some(Slot::Connecting(it)) if it.same_channel(&self.attempt))
        {
            slots.remove(&self.peer);
        }
    }
}

async fn try_to_connect(weak: &Weak<Shared>, peer: &NodeName) -> Result<Connection, ConnectError> {
    #[cfg(test)]
    assert!(peer.name() != "fault", "as a test wants it");
    let (identity, options) = {
        let shared = weak.upgrade().ok_or(ConnectError::Stopped)?;
        (shared.identity.clone(), shared.dial.clone())
    };
    let (at, replaces) = (Instant::now(), AtomicBool::new(false));
    let in_use = AtomicBool::new(false);
    // Not so if the peer connected to us meanwhile.
    let still_wanted = || {
        let Some(shared) = weak.upgrade() else {
            return false;
        };
        let wanted = shared.table.is_connecting(peer);
        in_use.store(wanted && !shared.take_over, Ordering::Relaxed);
        let replaced = wanted && shared.take_over;
        replaces.store(replaced, Ordering::Relaxed);
        replaced
    };
    // Hidden nodes have no part in what `global` does to a node that slept.
    let lost = identity.visible && {
        let shared = weak.upgrade().ok_or(ConnectError::Stopped)?;
        shared.table.lost().contains(peer)
    };
    let awake = match lost {
        true => until_awake(&identity, peer, &options).await,
        false => Ok(()),
    };
    let dialled = match awake {
        Ok(()) => dial(&identity, peer, &options, still_wanted).await,
        Err(error) => Err(error),
    };
    let shared = weak.upgrade().ok_or(ConnectError::Stopped)?;
    let error = match dialled {
        Ok((stream, peer)) => {
            let begun = Origin {
                here: true,
                at,
                replaces: replaces.load(Ordering::Relaxed),
            };
            return adopt(&shared, stream, peer, begun).await;
        }
        Err(_) if in_use.into_inner() => ConnectError::NameInUse {
            own: identity.name.clone(),
            peer: peer.clone(),
        },
        Err(error) => error,
    };
    // The peer may have connected to us meanwhile, or be about to. One that has closes this attempt where it would
    // let it in, as it does when the cookies differ.
    let patience = match &error {
        ConnectError::Simultaneous { .. } => options.setup_time,
        ConnectError::Cookie { .. } => CROSSED.min(options.setup_time),
        _ => Duration::ZERO,
    };
    if !patience.is_zero() {
        let mut came = shared.table.came.subscribe();
        let theirs = async {
            while shared.table.up(peer.as_str()).is_none() && came.changed().await.is_ok() {}
        };
        let _ = timeout(patience, theirs).await;
    }
    let mut slots = shared.table.write();
    match slots.get(peer) {
        Some(Slot::Up(connection)) if !connection.is_closed() => Ok(connection.clone()),
        Some(Slot::Up(_)) => Err(error),
        _ => {
            slots.remove(peer);
            Err(error)
        }
    }
}

/// How a connection came about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Whether this node began it, and not the peer.
    pub(super) here: bool,
    /// When: as far as this side knew, there was no other connection to the peer then.
    pub(super) at: Instant,
    /// Whether the peer, or this node, was asked whether it is to take the place of an earlier one, and said yes.
    pub(super) replaces: bool,
}

impl Origin {
    /// Whether the other side began a connection that came to be while this one was under way. Neither side knew of
    /// the other's attempt then.
    pub(super) fn crosses(self, other: &Connection) -> bool {
        !self.replaces && other.begun_here() != self.here && other.is_since(self.at)
    }
}

/// Takes a stream that passed the handshake for the connection to its peer. An earlier one is closed, and
/// everyone told of its end, before the new one counts.
///
/// Of two that crossed, the one that the node with the greater name began stays, on both sides.
pub(super) async fn adopt(
    shared: &Arc<Shared>,
    stream: Stream,
    peer: Peer,
    begun: Origin,
) -> Result<Connection, ConnectError> {
    let options = ChannelOptions {
        flags: peer.flags,
        ..shared.channel
    };
    let mut stream = Some(stream);
    loop {
        let before = {
            // The lock is held until the connection is in its place: its first message may ask for an answer.
            let mut slots = shared.table.write();
            if shared.is_stopped() {
                return Err(ConnectError::Stopped);
            }
            match slots.get(&peer.name) {
                Some(Slot::Up(before))
                    if !before.is_closed()
                        && begun.crosses(before)
                        && before.begun_here() == (shared.identity.name > peer.name) =>
                {
                    return Ok(before.clone());
                }
                Some(Slot::Up(before)) => before.clone(),
                _ => {
                    let Some(stream) = stream.take() else {
                        return Err(ConnectError::Stopped);
                    };
                    let (sender, receiver) = open(stream, options);
                    let gate = Gate::new(shared.unreceived, shared.unreceived_at_most);
                    let node = super::atom_of(&peer.name);
                    let connection = Connection::new(peer.clone(), node, sender, gate, begun.here);
                    slots.insert(peer.name.clone(), Slot::Up(connection.clone()));
                    shared.table.lost().remove(&peer.name);
                    tell(shared, NodeEvent::Up(peer));
                    drop(slots);
                    shared.table.came.send_replace(());
                    let weak = Arc::downgrade(shared);
                    let task = connection::run(connection.clone(), receiver, weak);
                    shared.runtime.spawn(task);
                    return Ok(connection);
                }
            }
        };
        before.close(CloseReason::Replaced);
        before.settled().await;
    }
}

fn open(stream: Stream, options: ChannelOptions) -> (Sender, Receiver) {
    match stream {
        Stream::Plain(stream) => channel::open_tcp(stream, options),
        stream => channel::open(stream, options),
    }
}

/// A connection has ended.
pub(super) fn lost(shared: &Shared, connection: &Connection, reason: CloseReason) {
    let peer = connection.peer();
    // While it is still in the table, so that no newer one is there yet whose links could be mistaken.
    shared.lose(connection.node());
    match &reason {
        CloseReason::ByPeer | CloseReason::Local | CloseReason::Replaced => {
            tracing::debug!(peer = %peer.name, "the connection ended: {reason}");
        }
        // Nobody wanted this.
        reason => tracing::warn!(peer = %peer.name, "the connection ended: {reason}"),
    }
    let mut slots = shared.table.write();
    let current =
        matches!(slots.get(&peer.name), Some(Slot::Up(current)) if current.is(connection));
    if current {
        slots.remove(&peer.name);
        shared.table.free(peer);
        let mut lost = shared.table.lost();
        if lost.len() >= REMEMBERED {
            lost.clear();
        }
        lost.insert(peer.name.clone());
        drop(lost);
        tell(shared, NodeEvent::Down(peer.clone(), reason));
    }
}

fn tell(shared: &Shared, event: NodeEvent) {
    // It is no error that nobody listens.
    let _ = shared.events.send(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_attempts_at_once_that_of_the_greater_name_goes_on() {
        let name = |text: &str| text.parse::<NodeName>().unwrap();
        let (a, b, c) = (name("a@h"), name("b@h"), name("c@h"));
        let table = Table::new(2);
        // `b` is connecting to both of the others when they knock.
        for peer in [&a, &c] {
            let (_tell, attempt) = watch::channel(None);
            table
                .write()
                .insert(peer.clone(), Slot::Connecting(attempt));
        }
        let judge = |name: &NodeName| {
            let stranger = Stranger {
                name: Claimed::Name(name.clone()),
                creation: None,
                flags: Flags::claimed(false),
            };
            table.judge(&b, &stranger)
        };
        assert_eq!(judge(&a), Verdict::OursGoesFirst);
        assert_eq!(judge(&c), Verdict::AcceptSimultaneous);
        assert_eq!(judge(&name("stranger@h")), Verdict::Refuse, "it is full");
        table.write().remove(&a);
        assert_eq!(judge(&name("stranger@h")), Verdict::Accept);
    }
}
