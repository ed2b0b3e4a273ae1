//! The announcements of libcluster, Peerage, nodefinder and GossipCluster, so that a fleet can move over
//! node by node.
//!
//! One file a dialect holds its codec, which is pure: bytes, keys and the time come in as arguments.
//! [`Herald`] decides what to send, what to believe and for how long; [`Announcements`] is the provider.
//! `docs/dialects.md` describes all of it.

mod config;
mod counters;
pub mod gossip_cluster;
mod herald;
pub mod libcluster;
pub mod nodefinder;
pub mod peerage;
mod session;
pub mod term;
#[cfg(test)]
mod tests;

pub use config::{Dialect, DialectConfig, InvalidDialect};
pub use counters::DialectCounters;
pub use herald::Herald;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::discovery::{Context, Counts, Feed, Provider, Running, SharedCounts};
use crate::name::NodeName;

/// The longest datagram that is read. The longest name, 255 characters, fits every dialect.
pub const MAX_DATAGRAM: usize = super::codec::MAX_DATAGRAM;

/// What a datagram says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The sender.
    pub node: NodeName,
    /// How long ago it was sent, where the dialect tells.
    pub age: Duration,
}

/// Why a datagram is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Longer than [`MAX_DATAGRAM`].
    Oversized,
    /// No announcement in this dialect.
    Foreign,
    /// Not made with our secret or cookie.
    Forged,
    /// Its time is too far from ours: a clock is off, or it is a replay.
    Clock,
    /// Begins as an announcement and goes on as none, or names no node.
    Malformed,
    /// Its sender makes its connections itself, as hidden ones.
    Hidden,
}

/// Writes and reads the announcements of one dialect.
#[derive(Clone)]
pub enum Codec {
    /// libcluster's Gossip.
    Libcluster(libcluster::Gossip),
    /// Peerage's `Via.Udp`.
    Peerage,
    /// nodefinder.
    Nodefinder(nodefinder::Nodefinder),
    /// GossipCluster.
    GossipCluster,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are not shown.
        f.write_str(match self {
            Self::Libcluster(_) => "Libcluster(..)",
            Self::Peerage => "Peerage",
            Self::Nodefinder(_) => "Nodefinder(..)",
            Self::GossipCluster => "GossipCluster",
        })
    }
}

impl Codec {
    /// An announcement of `node`, made at the time `unix`; `random` is used where the dialect encrypts.
    #[must_use]
    pub fn encode(&self, node: &NodeName, unix: Duration, random: [u8; 16]) -> Vec<u8> {
        match self {
            Self::Libcluster(gossip) => gossip.encode(node, random),
            Self::Peerage => peerage::encode(node),
            Self::Nodefinder(nodefinder) => nodefinder.encode(node, unix),
            Self::GossipCluster => gossip_cluster::encode(node),
        }
    }

    /// Reads a datagram that arrived at the time `unix`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn decode(&self, unix: Duration, datagram: &[u8]) -> Result<Heard, Refused> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(Refused::Oversized);
        }
        let now = |node| Heard {
            node,
            age: Duration::ZERO,
        };
        match self {
            Self::Libcluster(gossip) => gossip.decode(datagram).map(now),
            Self::Peerage => peerage::decode(datagram).map(now),
            Self::Nodefinder(nodefinder) => nodefinder.decode(unix, datagram),
            Self::GossipCluster => gossip_cluster::decode(datagram).map(now),
        }
    }

    /// Whether an announcement shows that its sender has a secret.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        match self {
            Self::Libcluster(gossip) => gossip.is_authenticated(),
            Self::Nodefinder(_) => true,
            Self::Peerage | Self::GossipCluster => false,
        }
    }
}

/// The provider that announces and hears in one of the dialects.
///
/// One that has no own node ([`Context::own`]) only listens.
#[derive(Debug)]
pub struct Announcements {
    config: DialectConfig,
    codec: Codec,
    own: Option<NodeName>,
    counters: SharedDialectCounters,
}

/// The [`DialectCounters`] of a provider at work.
#[derive(Debug, Clone, Default)]
pub struct SharedDialectCounters(Arc<Mutex<DialectCounters>>);

impl SharedDialectCounters {
    /// The counters as they are now.
    #[must_use]
    pub fn get(&self) -> DialectCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counters: DialectCounters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

impl Counts for SharedDialectCounters {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.get().named().into()
    }
}

impl Announcements {
    /// Makes the provider. Opens nothing before it runs.
    ///
    /// # Errors
    /// [`InvalidDialect`]: an option that is off, or no cookie for nodefinder.
    pub fn new(config: DialectConfig, context: &Context) -> Result<Self, InvalidDialect> {
        Ok(Self {
            codec: config.codec(context)?,
            config,
            own: context.own.clone(),
            counters: SharedDialectCounters::default(),
        })
    }
}

impl Provider for Announcements {
    fn kind(&self) -> &'static str {
        self.config.dialect.name()
    }

    fn counters(&self) -> Option<SharedCounts> {
        Some(Arc::new(self.counters.clone()))
    }

    fn warning(&self) -> Option<String> {
        self.config.warning()
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin(async move { session::Session::start(*self, feed).run().await })
    }
}
