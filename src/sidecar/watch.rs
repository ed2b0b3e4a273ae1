//! Follows which nodes the attached node is connected to.
//!
//! Two ways lead there. A *watcher* is a process on the attached node that subscribes with
//! `net_kernel:monitor_nodes/2` and forwards what comes; a *poll* calls `erlang:nodes(connected)`. A C node
//! cannot subscribe from outside. The watcher needs nothing in the release but stdlib, whose `erl_scan`,
//! `erl_parse` and `erl_eval` run its few lines ([`WATCHER`]); it ends with the connection to this node.
//!
//! The watcher tells of a node at once, a poll each second after half a second on average, and a lost peer is
//! to be connected again as soon as it can be. So the watcher is the way, with a slow poll beside it that puts
//! right whatever was missed, and a poll each second while there is no watcher.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::etf::{Pid, Term};
use crate::name::NodeName;
use crate::node::{MailboxBound, Node, Process, Received, WhenFull};

use super::eval;

/// What the watcher does. `To` is the mailbox here; its `DOWN` is the end of the connection.
///
/// The name `rendez_sidecar` tells other nodes that a sidecar is attached to this one: see `leave`. With several
/// sidecars, another watcher takes the name when the one that has it ends.
const WATCHER: &str = "
    erlang:monitor(process, To),
    Claim = fun() ->
        try register(rendez_sidecar, self())
        catch error:_ -> erlang:monitor(process, rendez_sidecar)
        end
    end,
    Claim(),
    ok = net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]),
    To ! {rendez, watching, self()},
    Watch = fun Next() ->
        receive
            {nodeup, Node, Info} ->
                To ! {rendez, nodeup, Node, proplists:get_value(node_type, Info)},
                Next();
            {nodedown, Node, Info} ->
                To ! {rendez, nodedown, Node, proplists:get_value(nodedown_reason, Info)},
                Next();
            {'DOWN', _, process, To, _} -> ok;
            {'DOWN', _, process, {rendez_sidecar, _}, _} -> Claim(), Next();
            _ -> Next()
        end
    end,
    Watch().
";

/// The longest pause between polls while there is no watcher.
const UNWATCHED: Duration = Duration::from_secs(1);
/// The pause before a poll whose answer was overtaken is made again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before a watcher that ended or did not start is started again, and the longest.
const RESTARTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How many changes the watcher may be ahead. What does not fit is put right by the next poll.
const ROOM: usize = 1024;

/// What was learnt.
#[derive(Debug)]
pub(super) enum Change {
    /// The attached node is connected to this one.
    Up(Peer),
    /// It is not any more, and why.
    Down(NodeName, Option<String>),
    /// These are all that it is connected to, if nothing has changed since [`Watch::epoch`] was this.
    All(Vec<Peer>, u64),
}

/// A node that the attached one is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: NodeName,
    /// The attached node sees it as a hidden node.
    pub(super) hidden: bool,
}

/// What the two ways share.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) node: Node,
    pub(super) target: NodeName,
    pub(super) changes: mpsc::Sender<Change>,
    /// The pace of the poll while there is a watcher.
    pace: Duration,
    /// Counts what was learnt in whatever way. A poll that began at an earlier count is out of date.
    pub(super) epoch: AtomicU64,
    /// Have a poll made soon.
    pub(super) poll: Notify,
    /// Whether there is a watcher.
    watched: AtomicBool,
}

impl Watch {
    pub(super) fn new(
        node: Node,
        target: NodeName,
        pace: Duration,
        changes: mpsc::Sender<Change>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            target,
            changes,
            pace,
            epoch: AtomicU64::new(0),
            poll: Notify::new(),
            watched: AtomicBool::new(false),
        })
    }

    async fn call(
        &self,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<Term, String> {
        let call = self
            .node
            .call(&self.target, module, function, arguments, PATIENCE);
        call.await.map_err(|error| error.to_string())
    }
}

/// Polls for ever.
pub(super) async fn poll(watch: Arc<Watch>) {
    loop {
        let epoch = watch.epoch.load(Ordering::Acquire);
        match connected(&watch).await {
            Ok(nodes) => {
                let change = Change::All(nodes, epoch);
                if watch.changes.send(change).await.is_err() {
                    return;
                }
            }
            Err(why) => {
                tracing::debug!(attached = %watch.target, "the connections of {} are not known: {why}", watch.target)
            }
        }
        let pace = if watch.watched.load(Ordering::Acquire) {
            watch.pace
        } else {
            watch.pace.min(UNWATCHED)
        };
        if timeout(pace, watch.poll.notified()).await.is_ok() {
            sleep(AGAIN).await;
        }
    }
}

/// What the attached node is connected to, this node left out.
async fn connected(watch: &Watch) -> Result<Vec<Peer>, String> {
    let nodes = async |kind| {
        let answer = watch.call("erlang", "nodes", vec![Term::atom(kind)]).await;
        answer.map(|nodes| names(&nodes, watch.node.name()))
    };
    let all = nodes("connected").await?;
    // Asked for second: a node that has come in between is not in the first list, and so in neither.
    let hidden: HashSet<_> = nodes("hidden").await?.into_iter().collect();
    let peer = |name: NodeName| Peer {
        hidden: hidden.contains(&name),
        name,
    };
    Ok(all.into_iter().map(peer).collect())
}

/// The node names in a list of atoms, the own one left out.
fn names(term: &Term, own: &NodeName) -> Vec<NodeName> {
    let names = term.as_list().unwrap_or_default().iter();
    let names = names.filter_map(|name| name.as_atom()?.as_str().parse().ok());
    names.filter(|name| name != own).collect()
}

/// Keeps a watcher and forwards what it says, for ever.
pub(super) async fn follow(watch: Arc<Watch>) {
    let mut pause = RESTARTS.0;
    loop {
        let mut process = watch.node.process_with(MailboxBound {
            messages: ROOM,
            when_full: WhenFull::Refuse,
            ..MailboxBound::default()
        });
        match start(&watch, &mut process).await {
            Ok(()) => {
                pause = RESTARTS.0;
                watch.watched.store(true, Ordering::Release);
                // What changed before the watcher was there.
                watch.poll.notify_one();
                let why = forward(&watch, &mut process).await;
                watch.watched.store(false, Ordering::Release);
                watch.poll.notify_one();
                // With the connection it ends too, which is told elsewhere.
                if watch.node.connection(&watch.target).is_some() && why != "noconnection" {
                    tracing::warn!(
                        event = "watch_failed", phrase = "the watch of the connections ended",
                        attached = %watch.target,
                        "the process on {} that watches its connections ended: {why}; it is started again",
                        watch.target
                    );
                }
            }
            Err(why) => {
                let first = pause == RESTARTS.0;
                let message = format!(
                    "no process on {} can watch its connections, so they are polled each second: {why}",
                    watch.target
                );
                if first && watch.node.connection(&watch.target).is_some() {
                    tracing::warn!(
                        event = "watch_failed", phrase = "the connections cannot be watched",
                        attached = %watch.target, "{message}"
                    );
                } else {
                    tracing::debug!(attached = %watch.target, "{message}");
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RESTARTS.1);
    }
}

/// Starts a watcher and waits until it watches.
async fn start(watch: &Watch, process: &mut Process) -> Result<(), String> {
    let forms = eval::forms(&watch.node, &watch.target, WATCHER).await?;
    let to = Term::Tuple(vec![Term::atom("To"), process.pid().clone().into()]);
    let bindings = Term::List(vec![to]);
    let arguments = vec![
        Term::atom("erl_eval"),
        Term::atom("exprs"),
        Term::List(vec![forms, bindings]),
    ];
    watch.call("erlang", "spawn", arguments).await?;
    let watcher = timeout(PATIENCE, watching(process)).await;
    let watcher = watcher
        .ok()
        .flatten()
        .ok_or("it was started but does not answer")?;
    process.monitor(watcher).await;
    Ok(())
}

async fn watching(process: &mut Process) -> Option<Pid> {
    loop {
        match process.receive().await {
            Received::Message(message) => {
                if let Some([_, Term::Atom(what), Term::Pid(pid)]) = message.as_tuple()
                    && *what == *"watching"
                {
                    return Some(Pid::clone(pid));
                }
            }
            Received::Ended { .. } => return None,
            _ => {}
        }
    }
}

/// Forwards what the watcher says, until it ends.
async fn forward(watch: &Watch, process: &mut Process) -> String {
    loop {
        let change = match process.receive().await {
            Received::Message(message) => change(&message, watch.node.name()),
            Received::Down { reason, .. } => return reason.to_string(),
            Received::Ended { .. } => break,
            _ => None,
        };
        if let Some(change) = change
            && watch.changes.send(change).await.is_err()
        {
            break;
        }
    }
    "this node stops".into()
}

/// `{rendez, nodeup, Node, Type}` or `{rendez, nodedown, Node, Reason}`. An invalid name (a node may have asked
/// for any) is left out.
fn change(message: &Term, own: &NodeName) -> Option<Change> {
    let [_, Term::Atom(what), Term::Atom(node), detail] = message.as_tuple()? else {
        return None;
    };
    let node: NodeName = node.as_str().parse().ok()?;
    if node == *own {
        return None;
    }
    match what.as_str() {
        "nodeup" => Some(Change::Up(Peer {
            name: node,
            hidden: *detail == Term::atom("hidden"),
        })),
        "nodedown" => {
            let said = *detail != Term::atom("undefined");
            let reason = said.then(|| excerpt(&detail.to_string()));
            Some(Change::Down(node, reason))
        }
        _ => None,
    }
}

/// The longest reason for the end of a connection that is told, in characters.
const MOST_REASON: usize = 200;

fn excerpt(reason: &str) -> String {
    match reason.char_indices().nth(MOST_REASON) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason.to_owned(),
    }
}
