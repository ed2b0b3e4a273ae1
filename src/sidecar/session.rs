//! One attachment: from the connection to its end.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::driver::{Driver, Handle, Setup};
use crate::dist::DialOptions;
use crate::etf::Term;
use crate::name::NodeName;
use crate::node::{Connection, Node};
use crate::panics::words;

use super::connector::Connector;
use super::hands::Hands;
use super::leave::Leave;
use super::removals::Removals;
use super::watch::{self, Change, Peer, Watch};
use super::{Ended, Sidecar, SidecarError, StatusRequests, requested, status};

/// How many changes and results may wait to be told to the engine.
const ROOM: usize = 256;
/// How long the attached node may take to say its `net_ticktime`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the providers and an engine in the name of the attached node, for as long as `connection` lasts.
pub(super) async fn run(
    sidecar: &Sidecar,
    connection: &Connection,
    statuses: &mut StatusRequests,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Ended, SidecarError> {
    let (node, options) = (&sidecar.node, &sidecar.options);
    let (report, mut attempts) = mpsc::channel(ROOM);
    let dial = DialOptions {
        epmd_port: options.epmd_port,
        port: options.port,
        tls: options.tls.clone(),
        ..DialOptions::default()
    };
    let target = &options.node;
    let leave = Arc::new(Leave::new(node.clone(), target.clone()));
    let connector = Connector::new(
        node.clone(),
        target.clone(),
        dial,
        options.hidden,
        Arc::clone(&leave),
    );
    let (remove, mut unnamed) = mpsc::channel(ROOM);
    let hands = Hands::new(target.clone(), connector, report, remove);
    let mut setup = Setup::new(Some(options.node.clone()));
    setup.policy = options.policy.clone();
    let (driver, handle) = Driver::new(setup, sidecar.sources.clone(), hands)?;
    let (tell, mut changes) = mpsc::channel(ROOM);
    let watch = Watch::new(
        node.clone(),
        options.node.clone(),
        options.refresh_interval,
        tell,
    );

    // Whatever was started here ends here: dropping the set aborts what is left in it.
    let mut tasks = Tasks::new();
    let (keeper, kept) = (node.clone(), connection.clone());
    tasks.spawn(async {
        keep_time(keeper, kept).await;
        None
    });
    let watching = Arc::clone(&watch);
    tasks.spawn(async {
        watch::poll(watching).await;
        Some("the poll of its connections")
    });
    let watching = Arc::clone(&watch);
    tasks.spawn(async {
        watch::follow(watching).await;
        Some("the watch of its connections")
    });
    let driver = tasks.spawn(async {
        driver.run().await;
        Some("the engine")
    });

    let (returning, mut returns) = mpsc::channel(ROOM);
    let (leaves, wake, back) = (Arc::clone(&leave), handle.clone(), target.clone());
    tasks.spawn(async move {
        follow_returns(&leaves, &wake, &back, &mut returns).await;
        None
    });

    let mut removals = Removals::new(target.clone(), leave, handle.clone());
    let mut connected = Connected {
        nodes: HashSet::new(),
        handle: handle.clone(),
        returning,
    };
    let ended = loop {
        tokio::select! {
            () = &mut stop => break Ended::Stopped,
            reason = connection.closed() => break Ended::Lost(reason),
            error = broken(&mut tasks) => return Err(error),
            () = requested(statuses) => {
                // An engine that cannot answer has ended, which is told above.
                if let Ok(status) = handle.status().await {
                    status::log(&options.node, &status, &removals);
                }
            }
            Some(change) = changes.recv() => match change {
                Change::All(nodes, epoch) if epoch == watch.epoch.load(Ordering::Acquire) => {
                    connected.all(nodes, &mut removals);
                }
                // Something changed while it was asked for.
                Change::All(..) => watch.poll.notify_one(),
                Change::Up(node) => {
                    watch.epoch.fetch_add(1, Ordering::AcqRel);
                    connected.up(node, &mut removals);
                }
                Change::Down(node, reason) => {
                    watch.epoch.fetch_add(1, Ordering::AcqRel);
                    connected.down(&node, reason);
                }
            },
            Some(node) = unnamed.recv() => removals.begin(node),
            () = removals.next() => {}
            Some((peer, result)) = attempts.recv() => {
                if result.is_ok() {
                    watch.epoch.fetch_add(1, Ordering::AcqRel);
                    connected.nodes.insert(peer.clone());
                }
                // It is told only of connections that the engine asked for, which are few at a time.
                let _ = handle.connect_result(peer, result);
            }
        }
    };
    handle.stop();
    handle.stopped().await;
    // The driver has ended; to wait for it makes sure that what it held is gone too.
    driver.abort();
    tasks.shutdown().await;
    Ok(ended)
}

/// The tasks of a session. Those that end by themselves although the session goes on give their name.
type Tasks = JoinSet<Option<&'static str>>;

/// Waits until a task ends that the session needs: without it the session would stay attached and do nothing.
async fn broken(tasks: &mut Tasks) -> SidecarError {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(None) => {}
            Ok(Some(task)) => return SidecarError::Broken(format!("{task} ended by itself")),
            Err(error) => {
                // One that was aborted was so with the session.
                if let Ok(panic) = error.try_into_panic() {
                    return SidecarError::Broken(words(&*panic).to_owned());
                }
            }
        }
    }
    std::future::pending().await
}

/// Notes on the attached node who is connected to it, by which it is back if it had left.
async fn follow_returns(
    leave: &Leave,
    handle: &Handle,
    target: &NodeName,
    returns: &mut mpsc::Receiver<NodeName>,
) {
    let mut peers = Vec::with_capacity(ROOM);
    while returns.recv_many(&mut peers, ROOM).await > 0 {
        if leave.returned(&peers).await {
            tracing::info!(
                event = "node_returned", phrase = "the attached node is back", attached = %target,
                "{target} is back in the cluster"
            );
            // The nodes that were not connected to meanwhile are. An engine that has ended is told of elsewhere.
            let _ = handle.refresh();
        }
        peers.clear();
    }
}

/// What the attached node is connected to, as far as the engine was told.
struct Connected {
    nodes: HashSet<NodeName>,
    handle: Handle,
    /// Takes the visible nodes that came.
    returning: mpsc::Sender<NodeName>,
}

impl Connected {
    // A driver that has no room (a hundred thousand nodes wait) or has ended is told again by the next poll.

    fn up(&mut self, peer: Peer, removals: &mut Removals) {
        removals.up(&peer.name);
        if !peer.hidden {
            // When so many wait already, one of them says the same.
            let _ = self.returning.try_send(peer.name.clone());
        }
        if self.nodes.contains(&peer.name) {
            return;
        }
        let told = match peer.hidden {
            true => self.handle.up_hidden(peer.name.clone()),
            false => self.handle.up(peer.name.clone()),
        };
        if told.is_ok() {
            self.nodes.insert(peer.name);
        }
    }

    fn down(&mut self, node: &NodeName, reason: Option<String>) {
        if self.nodes.contains(node) && self.handle.down(node.clone(), reason).is_ok() {
            self.nodes.remove(node);
        }
    }

    fn all(&mut self, peers: Vec<Peer>, removals: &mut Removals) {
        let nodes: HashSet<_> = peers.iter().map(|peer| &peer.name).collect();
        let gone = self.nodes.iter().filter(|node| !nodes.contains(node));
        let gone: Vec<_> = gone.cloned().collect();
        for node in gone {
            self.down(&node, None);
        }
        for peer in peers {
            // A poll tells again of those that are known.
            if !self.nodes.contains(&peer.name) {
                self.up(peer, removals);
            }
        }
    }
}

/// Takes over the `net_ticktime` of the attached node: with a longer one here it would take us for dead.
async fn keep_time(node: Node, connection: Connection) {
    let peer = &connection.peer().name;
    let answer = node.call(peer, "net_kernel", "get_net_ticktime", vec![], PATIENCE);
    let seconds = match answer.await {
        Ok(Term::Tuple(elements)) => match elements.as_slice() {
            // `{ongoing_change_to, Seconds}`
            [_, seconds] => seconds.as_int(),
            _ => None,
        },
        Ok(seconds) => seconds.as_int(),
        Err(error) => {
            tracing::debug!(node = %peer, "its net_ticktime is not known: {error}");
            None
        }
    };
    if let Some(seconds @ 1..) = seconds {
        connection.set_tick_time(Duration::from_secs(seconds.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_panics_ends_the_session_with_what_it_said() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { None });
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("a fault of the test") });
        let error = broken(&mut tasks).await;
        assert!(error.to_string().contains("a fault of the test"), "{error}");
        tasks.spawn(async { Some("the engine") });
        let error = broken(&mut tasks).await;
        assert!(
            error.to_string().contains("the engine ended by itself"),
            "{error}"
        );
    }
}
