//! What the engine shows of itself, for status pages and metrics.

use std::fmt;
use std::time::Duration;

use super::io::{ConnectError, ProviderId, Refusal};
use crate::name::NodeName;

/// Some of a cluster's providers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ProviderSet(u64);

impl ProviderSet {
    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the provider is in it.
    #[must_use]
    pub fn contains(self, provider: ProviderId) -> bool {
        self.0 & Self::bit(provider) != 0
    }

    /// Those in it, in their configured order.
    pub fn iter(self) -> impl Iterator<Item = ProviderId> {
        (0..ProviderId::MAX)
            .filter_map(ProviderId::new)
            .filter(move |&provider| self.contains(provider))
    }

    /// Puts the provider in; whether it was not there before.
    pub(super) fn insert(&mut self, provider: ProviderId) -> bool {
        let news = !self.contains(provider);
        self.0 |= Self::bit(provider);
        news
    }

    /// Takes the provider out; whether it was there.
    pub(super) fn remove(&mut self, provider: ProviderId) -> bool {
        let was_there = self.contains(provider);
        self.0 &= !Self::bit(provider);
        was_there
    }

    fn bit(provider: ProviderId) -> u64 {
        1 << provider.index()
    }
}

impl fmt::Debug for ProviderSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(ProviderId::index))
            .finish()
    }
}

/// What the engine knows of a node. Moments are on the clock of the `now` that the engine is given.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Its name.
    pub node: &'a NodeName,
    /// Who names it. Empty for a node that others connected, or that is still connected though no one
    /// names it any longer.
    pub named_by: ProviderSet,
    /// When it was first named since it was last named by nobody.
    pub first_named: Option<Duration>,
    /// Why it is not wanted although it is named. Others may have connected it all the same.
    pub refused: Option<Refusal>,
    /// How it stands.
    pub state: NodeState,
    /// Failures in a row: attempts, and connections that did not last.
    pub failures: u32,
    /// Why the last attempt failed; `None` once it is connected.
    pub last_error: Option<&'a ConnectError>,
}

impl NodeView<'_> {
    /// Whether the engine is to be connected to it: it is named and not refused.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.named_by.is_empty() && self.refused.is_none()
    }
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeState {
    /// It will be connected to as soon as `max_connecting` allows.
    Known,
    /// An attempt is under way.
    Connecting {
        /// The moment it began.
        since: Duration,
    },
    /// A connection exists.
    Connected {
        /// The moment it was reported.
        since: Duration,
    },
    /// It is tried again later.
    Waiting {
        /// The earliest moment.
        retry_at: Duration,
    },
    /// It is wanted and was tried, and is not tried again by itself: [`Policy::reconnect`](super::Policy::reconnect)
    /// is off, or the failure is permanent ([`ConnectError::is_permanent`]).
    Idle,
    /// It is not connected to although it is named.
    Refused(Refusal),
}

impl NodeState {
    /// One word: `known`, `connecting`, `connected`, `waiting`, `idle` or `refused`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Connecting { .. } => "connecting",
            Self::Connected { .. } => "connected",
            Self::Waiting { .. } => "waiting",
            Self::Idle => "idle",
            Self::Refused(_) => "refused",
        }
    }
}

/// What the engine knows of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderView<'a> {
    /// Which one.
    pub provider: ProviderId,
    /// How many nodes it names at present, without the own one.
    pub nodes: usize,
    /// Whether it names the own node. A provider with no other nodes that names the own one works and has found
    /// nobody else; one that names nobody at all was probably asked for the wrong thing.
    pub names_self: bool,
    /// The moment of its last complete answer or announcement, on the clock of the engine's `now`.
    pub last_answer: Option<Duration>,
    /// Why its last lookup failed; `None` once it answered again.
    pub error: Option<&'a str>,
    /// Lookups in a row that failed.
    pub failures: u32,
}

/// What happened since the engine was made. They only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Times that a provider named a node which it did not name before.
    pub discovered: u64,
    /// Times that a provider no longer named a node.
    pub withdrawn: u64,
    /// Those among `withdrawn` that were announcements which ran out.
    pub expired: u64,
    /// Names turned away. One that is turned away for want of room counts every time it is named.
    pub refused: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Those among `failed` whose result never came.
    pub given_up: u64,
    /// Connections, whoever made them.
    pub joined: u64,
    /// Connections that ended.
    pub left: u64,
    /// Connections that the engine had ended.
    pub disconnects: u64,
}
