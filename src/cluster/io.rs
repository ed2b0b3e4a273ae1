//! What goes into the engine and what comes out of it.

use std::fmt;
use std::time::Duration;

use crate::name::NodeName;

/// Which of a cluster's providers said something. The driver numbers them in their configured order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(u8);

impl ProviderId {
    /// The most providers that one cluster can have: the engine keeps who wants a node in 64 bits.
    pub const MAX: usize = 64;

    /// The provider at `index`, or `None` past [`Self::MAX`].
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index)
            .ok()
            .filter(|_| index < Self::MAX)
            .map(Self)
    }

    /// Its place among the cluster's providers.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A complete answer: the provider wants these nodes and no others.
    Snapshot {
        /// Who says so.
        provider: ProviderId,
        /// All nodes that it knows of.
        nodes: Vec<NodeName>,
    },
    /// A lookup failed. That says nothing about the cluster: what the provider said before stands.
    Failed {
        /// Who failed.
        provider: ProviderId,
        /// The cause and the remedy, for people.
        error: String,
    },
    /// An announcement: the node lives, and will for `ttl` unless it is heard again.
    Seen {
        /// Who heard it.
        provider: ProviderId,
        /// Who announced itself.
        node: NodeName,
        /// How long the announcement holds.
        ttl: Duration,
    },
    /// The first announcement of a node that has just started: as [`Input::Seen`], and what was learnt
    /// about connecting to it before it stopped is out of date, so it is tried again at once.
    ///
    /// A node that restarts without a goodbye is still named by its last announcement while attempts to
    /// connect to it are backing off; this is how it joins in milliseconds all the same.
    Started {
        /// Who heard it.
        provider: ProviderId,
        /// Who announced itself.
        node: NodeName,
        /// How long the announcement holds.
        ttl: Duration,
    },
    /// A node said goodbye.
    Gone {
        /// Who heard it.
        provider: ProviderId,
        /// Who left.
        node: NodeName,
    },
    /// A connection to the node exists, whoever made it.
    Up {
        /// The node at its other end.
        node: NodeName,
    },
    /// A connection to a hidden node exists, whoever made it. A hidden node is a peer only while a provider
    /// names it; any other is a remote shell, a sidecar or a tool, and no event tells of it.
    UpHidden {
        /// The node at its other end.
        node: NodeName,
    },
    /// The connection to the node ended.
    Down {
        /// The node at its other end.
        node: NodeName,
        /// Why, as the distribution says it, for people; `None` if it does not.
        reason: Option<String>,
    },
    /// An [`Action::Connect`] came to its end. Success is also an `Up`.
    ConnectResult {
        /// The node that was to be connected.
        node: NodeName,
        /// `Ok`, or why there is no connection.
        result: Result<(), ConnectError>,
    },
    /// The user asked to try again now: every waiting backoff is over.
    Refresh,
    /// The time that `Engine::next_wake` named has come.
    Wake,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to the node, and answer with [`Input::ConnectResult`].
    Connect(NodeName),
    /// End the connection to the node.
    Disconnect(NodeName),
    /// Tell people and metrics.
    Event(Event),
}

/// Something that people and metrics want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A provider named a node that it did not name before.
    Discovered {
        /// The node.
        node: NodeName,
        /// Who named it.
        provider: ProviderId,
    },
    /// A provider no longer names a node: a complete answer without it, a goodbye, or an announcement that expired.
    Withdrawn {
        /// The node.
        node: NodeName,
        /// Who no longer names it.
        provider: ProviderId,
    },
    /// A connection to the node exists.
    Joined {
        /// The node.
        node: NodeName,
        /// How long it was wanted and not connected: since a provider named it or since its connection was
        /// lost. `None` if no provider names it, or none did before it was connected.
        after: Option<Duration>,
    },
    /// The connection to the node ended.
    Left {
        /// The node.
        node: NodeName,
        /// Why, as [`Input::Down`] said it.
        reason: Option<String>,
    },
    /// An attempt to connect failed.
    ConnectFailed {
        /// The node.
        node: NodeName,
        /// Why.
        error: ConnectError,
        /// Failures in a row, this one among them; a connection that did not last is one too.
        attempts: u32,
        /// When the next attempt comes, from now; `None` if the node is no longer wanted, or if no further
        /// attempt can succeed until something changes ([`ConnectError::is_permanent`]).
        retry_in: Option<Duration>,
    },
    /// A node that a provider named will not be connected to. Said once for each node while it is named, for
    /// up to a thousand or so of them at a time; the others are only counted.
    Refused {
        /// The node.
        node: NodeName,
        /// Who named it.
        provider: ProviderId,
        /// Why not.
        reason: Refusal,
    },
    /// A provider's lookup failed. Said at the first failure and whenever the error changes.
    ProviderFailed {
        /// Who failed.
        provider: ProviderId,
        /// The cause and the remedy, for people.
        error: String,
    },
    /// A provider tells something that the user should know although nothing failed. Told once.
    ProviderNotice {
        /// Which provider.
        provider: ProviderId,
        /// A sentence for people.
        message: String,
    },
    /// A provider that had failed answered again.
    ProviderRecovered {
        /// Who recovered.
        provider: ProviderId,
    },
    /// A provider's answers are ever different parts of something larger. Said once for each provider. The
    /// names that one answer leaves out are kept until their absence cannot be chance.
    PartialAnswers {
        /// Who answers so.
        provider: ProviderId,
        /// How many nodes its answers have named so far.
        named: usize,
        /// How many of them are in its last answer.
        answered: usize,
    },
    /// Providers name more new nodes than [`Policy::max_new_nodes`](super::Policy::max_new_nodes) lets in. Said
    /// at most once an hour.
    TooManyNew {
        /// Who named one too many.
        provider: ProviderId,
        /// How many are let in each hour.
        per_hour: usize,
    },
}

impl Event {
    /// What people should know about a provider, with the provider, if this is a warning about one.
    #[must_use]
    pub fn provider_warning(&self) -> Option<(ProviderId, String)> {
        match *self {
            Self::PartialAnswers {
                provider,
                named,
                answered,
            } => Some((
                provider,
                format!(
                    "each answer is another part of what the source knows: {answered} of {named} names so far; a \
                     name is removed only after it was missing from many answers in a row. Let the source answer \
                     in full, or make keep_for longer than its records live"
                ),
            )),
            Self::TooManyNew { provider, per_hour } => Some((
                provider,
                format!(
                    "too many new nodes: only {per_hour} that were never seen before are let in each hour, since \
                     their names stay in the atom table for ever; check the source, or raise max_new_nodes"
                ),
            )),
            _ => None,
        }
    }
}

/// Why a named node is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The `accept` filter does not let it in.
    #[error("the accept filter does not match it")]
    NotAccepted,
    /// The cluster has `max_nodes` already. It is let in when there is room.
    #[error("max_nodes is reached")]
    ClusterFull,
    /// More new nodes than `max_new_nodes` came. It is let in when there is room.
    #[error("max_new_nodes is reached")]
    TooManyNew,
}

impl Refusal {
    /// Whether the node is let in as soon as there is room.
    #[must_use]
    pub fn waits_for_room(self) -> bool {
        matches!(self, Self::ClusterFull | Self::TooManyNew)
    }
}

/// Why a connection was not made: the cause and, where there is one, the remedy.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectError {
    /// One word for programs and metrics: `refused`, `cookie`, `no_epmd`, `not_registered`, `unreachable`,
    /// `name_resolution`, `timeout`, `name_kind`, `invalid_name`, `self`, `left`, `tls`, `failed`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl ConnectError {
    /// Whether every further attempt must fail in the same way: the name is not one that this node can ever
    /// connect to (`name_kind`, `invalid_name`), it is this node itself (`self`), or one of the two has left the
    /// cluster (`left`). Such a node is tried again
    /// only after a fresh sighting, or when the user asks for it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "name_kind" | "invalid_name" | "self" | "left"
        )
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConnectError {}
