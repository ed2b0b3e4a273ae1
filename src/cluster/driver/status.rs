//! What a driver shows of itself.

use std::time::Duration;

use crate::cluster::{ConnectError, Counters, Engine, NodeState, ProviderSet};
use crate::name::NodeName;

use super::Source;
use super::source::Progress;

/// How a cluster stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The own node.
    pub own: Option<NodeName>,
    /// The nodes that are named or connected, by their names.
    pub nodes: Vec<NodeStatus>,
    /// The providers in their configured order.
    pub providers: Vec<ProviderStatus>,
    /// How many attempts to connect are under way.
    pub connecting: usize,
    /// What happened since the driver began.
    pub counters: Counters,
    /// The time since the driver began. [`NodeStatus::state`] counts its moments from there.
    pub uptime: Duration,
}

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeName,
    /// Who names it.
    pub named_by: ProviderSet,
    /// How long it has been named without a gap.
    pub named_for: Option<Duration>,
    /// How it stands.
    pub state: NodeState,
    /// How long it has stood so, where the state has a beginning.
    pub state_for: Option<Duration>,
    /// How long until the next attempt, where one is set.
    pub retry_in: Option<Duration>,
    /// Failures in a row.
    pub failures: u32,
    /// Why the last attempt failed.
    pub last_error: Option<ConnectError>,
}

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Its name, which is its kind unless it was given another.
    pub name: String,
    /// The word after `via`, or `external`.
    pub kind: &'static str,
    /// How many nodes it names, without the own one.
    pub nodes: usize,
    /// Whether it names the own node.
    pub names_self: bool,
    /// The time since it last said something about the cluster: a complete answer, an announcement.
    pub age: Option<Duration>,
    /// Why its last lookup failed; `None` once it answered again.
    pub error: Option<String>,
    /// What it says of its safety, for as long as it is asked for: a source that authenticates nothing.
    pub warning: Option<String>,
    /// Lookups in a row that failed.
    pub failures: u32,
    /// How often it was started again after it broke.
    pub restarts: u32,
    /// What it counts, each count by its name, since it was last started: for `multicast` what
    /// [`Counters`](crate::discovery::multicast::Counters) lists. Empty for one that counts nothing.
    pub counters: Vec<(&'static str, u64)>,
}

pub(super) fn status<'a>(
    engine: &Engine,
    now: Duration,
    sources: impl Iterator<Item = (&'a Source, &'a Progress)>,
) -> Status {
    let mut nodes: Vec<NodeStatus> = engine
        .nodes()
        .map(|view| {
            let (since, retry_at) = match view.state {
                NodeState::Connecting { since } | NodeState::Connected { since } => {
                    (Some(since), None)
                }
                NodeState::Waiting { retry_at } => (None, Some(retry_at)),
                _ => (None, None),
            };
            NodeStatus {
                node: view.node.clone(),
                named_by: view.named_by,
                named_for: view.first_named.map(|first| now.saturating_sub(first)),
                state: view.state,
                state_for: since.map(|since| now.saturating_sub(since)),
                retry_in: retry_at.map(|at| at.saturating_sub(now)),
                failures: view.failures,
                last_error: view.last_error.cloned(),
            }
        })
        .collect();
    nodes.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    let views: Vec<_> = engine.providers().collect();
    let providers = sources
        .enumerate()
        .map(|(index, (source, progress))| {
            let view = views.iter().find(|view| view.provider.index() == index);
            ProviderStatus {
                name: source.name().to_owned(),
                kind: source.kind(),
                nodes: view.map_or(0, |view| view.nodes),
                names_self: view.is_some_and(|view| view.names_self),
                age: view
                    .and_then(|view| view.last_answer)
                    .map(|at| now.saturating_sub(at)),
                error: view.and_then(|view| view.error).map(str::to_owned),
                warning: source.warning().map(str::to_owned),
                failures: view.map_or(0, |view| view.failures),
                restarts: progress.restarts(),
                counters: progress.counters(),
            }
        })
        .collect();
    Status {
        own: engine.own().cloned(),
        nodes,
        providers,
        connecting: engine.connecting(),
        counters: engine.counters(),
        uptime: now,
    }
}
