//! What a dialect can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Codec;
use super::libcluster::Gossip;
use super::nodefinder::Nodefinder;
use crate::cluster::Accept;
use crate::discovery::Context;
use crate::discovery::multicast::config::InterfaceChoice;
use crate::secret::Secret;

/// How another library writes its announcements.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// libcluster's Gossip.
    Libcluster {
        /// The `secret` of libcluster's configuration; `None` where that has none.
        secret: Option<Secret>,
        /// Whether to send broadcasts to the groups' addresses instead of multicasts.
        broadcast_only: bool,
    },
    /// Peerage's `Via.Udp`.
    Peerage,
    /// nodefinder; its secret is the cookie.
    Nodefinder {
        /// Whether to tell the others to make hidden connections. For nodes started with `-hidden`.
        hidden: bool,
    },
    /// GossipCluster.
    GossipCluster,
}

impl Dialect {
    /// The word in `dialects`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Libcluster { .. } => "libcluster",
            Self::Peerage => "peerage",
            Self::Nodefinder { .. } => "nodefinder",
            Self::GossipCluster => "gossip_cluster",
        }
    }

    /// The option that says where it announces.
    #[must_use]
    pub fn group_option(&self) -> &'static str {
        match self {
            Self::Libcluster { .. } => "libcluster_group",
            Self::Peerage => "peerage_group",
            Self::Nodefinder { .. } => "nodefinder_group",
            Self::GossipCluster => "gossip_cluster_group",
        }
    }

    /// Where the library announces unless it is told otherwise.
    #[must_use]
    pub fn groups(&self) -> Vec<SocketAddr> {
        let at = |ip: [u8; 4], port| SocketAddr::new(Ipv4Addr::from(ip).into(), port);
        match self {
            Self::Libcluster {
                broadcast_only: true,
                ..
            } => vec![at([255, 255, 255, 255], 45_892)],
            Self::Libcluster { .. } => vec![at([233, 252, 1, 32], 45_892)],
            Self::Peerage => vec![at([230, 1, 1, 1], 45_900)],
            Self::Nodefinder { .. } => vec![at([224, 0, 0, 1], 4_475)],
            // Deployments configured like libcluster, and the module's own defaults.
            Self::GossipCluster => {
                vec![at([233, 252, 1, 32], 45_892), at([233, 252, 1, 0], 8_888)]
            }
        }
    }

    /// The shortest and the longest time between two announcements. nodefinder's says it once and at
    /// request; the others' libraries are as talkative.
    pub(super) fn interval(&self) -> (Duration, Duration) {
        let (least, most) = match self {
            Self::Libcluster { .. } => (1000, 5000),
            Self::Peerage => (3000, 7000),
            Self::Nodefinder { .. } => (10_000, 20_000),
            Self::GossipCluster => (900, 1100),
        };
        (Duration::from_millis(least), Duration::from_millis(most))
    }

    /// For how long an announcement holds: none of them says so itself, and nobody says goodbye.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Libcluster { .. } | Self::GossipCluster => 30,
            // Six of its longest intervals.
            Self::Peerage => 42,
            // It announces a node once, at its start.
            Self::Nodefinder { .. } => 3600,
        })
    }
}

/// How announcements of a dialect are sent and what is listened to.
#[derive(Debug, Clone, PartialEq)]
pub struct DialectConfig {
    /// The dialect.
    pub dialect: Dialect,
    /// The groups and ports, all of which are announced to and listened to.
    pub groups: Vec<SocketAddr>,
    /// The interfaces to use; empty means every one that is up and can multicast.
    pub interface: Vec<InterfaceChoice>,
    /// How many routers an announcement may pass, plus one.
    pub ttl: u8,
    /// Which names to take in: those that the cluster's `accept` refuses are not even remembered.
    pub accept: Accept,
}

impl DialectConfig {
    /// The dialect as its library speaks it by default.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            groups: dialect.groups(),
            dialect,
            interface: Vec::new(),
            ttl: 1,
            accept: Accept::everything(),
        }
    }

    pub(super) fn is_broadcast(&self) -> bool {
        matches!(
            self.dialect,
            Dialect::Libcluster {
                broadcast_only: true,
                ..
            }
        )
    }

    /// Checks everything that can be checked without a socket, and derives the keys.
    ///
    /// # Errors
    /// [`InvalidDialect`], for the first option that is off.
    pub fn codec(&self, context: &Context) -> Result<Codec, InvalidDialect> {
        let option = self.dialect.group_option();
        if self.groups.is_empty() {
            return Err(InvalidDialect::NoGroup(option));
        }
        for group in &self.groups {
            let is_right = match group.ip() {
                IpAddr::V4(ip) if self.is_broadcast() => !ip.is_multicast(),
                ip => ip.is_multicast() && !self.is_broadcast(),
            };
            if !is_right && self.is_broadcast() {
                return Err(InvalidDialect::NotBroadcast(option, group.ip()));
            }
            if !is_right {
                return Err(InvalidDialect::NotMulticast(option, group.ip()));
            }
            if group.port() == 0 {
                return Err(InvalidDialect::NoPort(option));
            }
        }
        if self.ttl == 0 {
            return Err(InvalidDialect::NoTtl);
        }
        Ok(match &self.dialect {
            Dialect::Libcluster { secret, .. } => Codec::Libcluster(Gossip::new(secret.as_ref())),
            Dialect::Peerage => Codec::Peerage,
            Dialect::GossipCluster => Codec::GossipCluster,
            Dialect::Nodefinder { hidden } => {
                let cookie = context
                    .cookie
                    .as_ref()
                    .filter(|cookie| !cookie.expose().is_empty())
                    .ok_or(InvalidDialect::NoCookie)?;
                Codec::Nodefinder(Nodefinder::new(cookie, *hidden))
            }
        })
    }

    /// What whoever asks for the dialect should know of its safety.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let remedy = match &self.dialect {
            Dialect::Nodefinder { .. }
            | Dialect::Libcluster {
                secret: Some(_), ..
            } => return None,
            Dialect::Libcluster { secret: None, .. } => {
                "set libcluster_secret where all nodes of libcluster have a secret, "
            }
            Dialect::Peerage | Dialect::GossipCluster => "",
        };
        Some(format!(
            "the dialect {} is not authenticated: whoever can send a datagram to this host can name nodes, to which \
             it will try to connect. {remedy}set accept to what your nodes are called, and take {} out of dialects \
             once every node has moved over",
            self.dialect.name(),
            self.dialect.name()
        ))
    }
}

/// Why a dialect cannot be spoken: the option and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDialect {
    /// There is no group to announce to.
    #[error("`{0}` is empty; leave it out for the library's own")]
    NoGroup(&'static str),
    /// An address that is no multicast group.
    #[error(
        "`{0}`: {1} is no multicast address; those are 224.0.0.0 to 239.255.255.255 and ff00::/8. Set the address \
         that the nodes of the other library are configured with"
    )]
    NotMulticast(&'static str, IpAddr),
    /// An address that is no broadcast address.
    #[error(
        "`{0}`: {1} is no IPv4 broadcast address, and `libcluster_broadcast_only` is set; leave the option out for \
         255.255.255.255, or set the network's, such as 10.0.0.255"
    )]
    NotBroadcast(&'static str, IpAddr),
    /// Port 0.
    #[error("`{0}`: the port is 0; set that of the nodes of the other library")]
    NoPort(&'static str),
    /// TTL 0.
    #[error("`ttl` is 0, which leaves no host; 1 stays on the link, more passes routers")]
    NoTtl,
    /// There is no cookie.
    #[error(
        "the dialect nodefinder authenticates with the cookie, and there is none: give the node a cookie"
    )]
    NoCookie,
}
