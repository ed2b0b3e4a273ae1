//! Who is connected, and who is being connected to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::dist::handshake::{Claimed, Named, Names, Stranger, Verdict};
use crate::dist::{CloseReason, ConnectError, Connection, Flags, Peer, Stream, dial};
use crate::name::NodeName;

use super::{NodeEvent, Shared};

/// What those who wait for an attempt are told.
type Attempt = watch::Receiver<Option<Result<Connection, ConnectError>>>;

#[derive(Debug)]
enum Slot {
    Connecting(Attempt),
    Up(Connection),
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Mutex<HashMap<NodeName, Slot>>,
    /// For nodes that ask for a name.
    names: Mutex<Names>,
    /// Changes whenever a connection came to be.
    came: watch::Sender<()>,
}

impl Table {
    pub(super) fn up(&self, peer: &NodeName) -> Option<Connection> {
        match self.lock().get(peer) {
            Some(Slot::Up(connection)) => Some(connection.clone()),
            _ => None,
        }
    }

    pub(super) fn nodes(&self) -> Vec<NodeName> {
        let slots = self.lock();
        let up = |(name, slot): (&NodeName, &Slot)| match slot {
            Slot::Up(_) => Some(name.clone()),
            Slot::Connecting(_) => None,
        };
        slots.iter().filter_map(up).collect()
    }

    /// Forgets everyone, and hands out the connections that there were.
    pub(super) fn drain(&self) -> Vec<Connection> {
        let slots = std::mem::take(&mut *self.lock());
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
        let slots = self.lock();
        let peer = match &stranger.name {
            Claimed::Name(peer) => peer,
            Claimed::Host(host) => {
                let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
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
            _ => Verdict::Accept,
        }
    }

    /// Lets a name that this node gave be given again.
    fn free(&self, peer: &Peer) {
        if let (true, Some(creation)) = (peer.flags.contains(Flags::NAME_ME), peer.creation) {
            let name = peer.name.clone();
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.take_back(Named { name, creation });
        }
    }

    /// Whether this node is still connecting to `peer`, and has no connection from it.
    fn is_connecting(&self, peer: &NodeName) -> bool {
        matches!(self.lock().get(peer), Some(Slot::Connecting(_)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to `peer`, or joins the attempt that is under way, or gives the connection that there is.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    peer: &NodeName,
) -> Result<Connection, ConnectError> {
    let mut attempt = {
        let mut slots = shared.table.lock();
        // Under the lock, so that a node that stops meanwhile leaves nobody waiting in the table.
        if shared.is_stopped() {
            return Err(ConnectError::Stopped);
        }
        match slots.get(peer) {
            Some(Slot::Up(connection)) if !connection.is_closed() => return Ok(connection.clone()),
            Some(Slot::Connecting(attempt)) => attempt.clone(),
            _ => {
                let (tell, attempt) = watch::channel(None);
                slots.insert(peer.clone(), Slot::Connecting(attempt.clone()));
                let (shared, peer) = (Arc::downgrade(shared), peer.clone());
                tokio::spawn(async move {
                    let result = try_to_connect(&shared, &peer).await;
                    // Everyone who waited may have been cancelled.
                    let _ = tell.send(Some(result));
                });
                attempt
            }
        }
    };
    match attempt.wait_for(Option::is_some).await {
        Ok(result) => result.clone().unwrap_or(Err(ConnectError::Stopped)),
        Err(_) => Err(ConnectError::Stopped),
    }
}

async fn try_to_connect(weak: &Weak<Shared>, peer: &NodeName) -> Result<Connection, ConnectError> {
    let (identity, options) = {
        let shared = weak.upgrade().ok_or(ConnectError::Stopped)?;
        (shared.identity.clone(), shared.dial.clone())
    };
    // Not so if the peer connected to us meanwhile.
    let still_wanted = || {
        let shared = weak.upgrade();
        shared.is_some_and(|shared| shared.table.is_connecting(peer))
    };
    let dialled = dial(&identity, peer, &options, still_wanted).await;
    let shared = weak.upgrade().ok_or(ConnectError::Stopped)?;
    let error = match dialled {
        Ok((stream, peer)) => return adopt(&shared, stream, peer),
        Err(error) => error,
    };
    // The peer may have connected to us meanwhile, or be about to.
    if matches!(error, ConnectError::Simultaneous { .. }) {
        let mut came = shared.table.came.subscribe();
        let theirs =
            async { while shared.table.up(peer).is_none() && came.changed().await.is_ok() {} };
        let _ = timeout(options.setup_time, theirs).await;
    }
    let mut slots = shared.table.lock();
    match slots.get(peer) {
        Some(Slot::Up(connection)) if !connection.is_closed() => Ok(connection.clone()),
        _ => {
            slots.remove(peer);
            Err(error)
        }
    }
}

/// Takes a stream that passed the handshake for the connection to its peer. An earlier one is closed.
pub(super) fn adopt(
    shared: &Arc<Shared>,
    stream: Stream,
    peer: Peer,
) -> Result<Connection, ConnectError> {
    let name = peer.name.clone();
    let (weak, from) = (Arc::downgrade(shared), name.clone());
    let connection = {
        // The lock is held until the connection is in its place: its first message may ask for an answer.
        let mut slots = shared.table.lock();
        if shared.is_stopped() {
            return Err(ConnectError::Stopped);
        }
        let connection = Connection::start(stream, peer, shared.link, move |message| {
            if let Some(shared) = weak.upgrade() {
                shared.dispatch(&from, message);
            }
        });
        let before = slots.insert(name.clone(), Slot::Up(connection.clone()));
        if let Some(Slot::Up(before)) = before {
            before.close(CloseReason::Replaced);
            tell(shared, NodeEvent::Down(name.clone(), CloseReason::Replaced));
        }
        tell(shared, NodeEvent::Up(name.clone()));
        connection
    };
    shared.table.came.send_replace(());
    let (weak, ended) = (Arc::downgrade(shared), connection.clone());
    tokio::spawn(async move {
        let reason = ended.closed().await;
        if let Some(shared) = weak.upgrade() {
            lost(&shared, &name, &ended, reason);
        }
    });
    Ok(connection)
}

fn lost(shared: &Shared, name: &NodeName, connection: &Connection, reason: CloseReason) {
    shared.calls.lost(connection, &reason);
    let mut slots = shared.table.lock();
    let current = matches!(slots.get(name), Some(Slot::Up(current)) if current.is(connection));
    if current {
        slots.remove(name);
        shared.table.free(connection.peer());
        tell(shared, NodeEvent::Down(name.clone(), reason));
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
        let table = Table::default();
        // `b` is connecting to both of the others when they knock.
        for peer in [&a, &c] {
            let (_tell, attempt) = watch::channel(None);
            table.lock().insert(peer.clone(), Slot::Connecting(attempt));
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
        assert_eq!(judge(&name("stranger@h")), Verdict::Accept);
    }
}
