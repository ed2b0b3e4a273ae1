//! Why a connection to a node was not made.

use std::net::SocketAddr;
use std::time::Duration;

use crate::epmd::EpmdError;
use crate::happy_eyeballs;
use crate::name::NodeName;

/// Why a connection to a node was not made: the cause, and in its text the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// One of the two has a long name (`-name`), the other a short one (`-sname`).
    #[error(
        "{own} and {peer} cannot connect: one has a long name (-name), the other a short one (-sname); \
         give all nodes of a cluster names of one kind"
    )]
    NameKind {
        /// The node that connects.
        own: NodeName,
        /// The node that is connected to.
        peer: NodeName,
    },
    /// The host part of the name did not resolve to an address.
    #[error(
        "the host of {peer} does not resolve to an address ({detail}); name a host that DNS or /etc/hosts \
         knows, or an address"
    )]
    UnknownHost {
        /// The node that was to be connected to.
        peer: NodeName,
        /// What the resolver said.
        detail: String,
    },
    /// The EPMD of the peer's host could not be asked.
    #[error("cannot learn where {peer} listens: {error}")]
    Epmd {
        /// The node that was to be connected to.
        peer: NodeName,
        /// Why not.
        error: EpmdError,
    },
    /// EPMD runs there but does not know the node.
    #[error(
        "EPMD at {endpoint} does not know {peer}: the node is not running, or it has another name \
         (`rendez names` shows those that EPMD knows)"
    )]
    NotRegistered {
        /// The node that was to be connected to.
        peer: NodeName,
        /// Where EPMD was asked: `host:port`.
        endpoint: String,
    },
    /// The node's port is registered, but nothing listens there.
    #[error(
        "{addr}, where EPMD says that {peer} listens, refuses connections: the node just ended, or a \
         firewall rejects its distribution port (inet_dist_listen_min and _max fix it)"
    )]
    Refused {
        /// The node that was to be connected to.
        peer: NodeName,
        /// Where it was tried.
        addr: SocketAddr,
    },
    /// Nothing listens on the port that was given for the node, for which EPMD was not asked.
    #[error(
        "nothing listens at {addr}, the port given for {peer}: start the node with `-start_epmd false -erl_epmd_port {}`, \
         give its port, or leave the port out to have EPMD asked for it",
        addr.port()
    )]
    PortClosed {
        /// The node that was to be connected to.
        peer: NodeName,
        /// Where it was tried.
        addr: SocketAddr,
    },
    /// No way leads to the host.
    #[error("{addr} of {peer} cannot be reached ({detail}); look at the network between the hosts")]
    Unreachable {
        /// The node that was to be connected to.
        peer: NodeName,
        /// Where it was tried.
        addr: SocketAddr,
        /// What the operating system said.
        detail: String,
    },
    /// It took too long.
    #[error(
        "{peer} did not answer within {after:?} while {step}{}; look at the network and at firewalls between \
         the hosts, or whether the node hangs",
        at(addresses)
    )]
    Timeout {
        /// The node that was to be connected to.
        peer: NodeName,
        /// What was waited for.
        step: &'static str,
        /// The addresses at which it was tried.
        addresses: Vec<SocketAddr>,
        /// How long.
        after: Duration,
    },
    /// The two nodes have different cookies.
    #[error(
        "the cookie given here is not the cookie of {peer}; compare erlang:get_cookie() there with the one \
         given here (a release keeps it in releases/COOKIE or RELEASE_COOKIE, else it is in ~/.erlang.cookie \
         of the node's user)"
    )]
    Cookie {
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer does not let this node in.
    #[error("{peer} does not allow {own} to connect; see net_kernel:allow/1 there")]
    NotAllowed {
        /// The node that connects.
        own: NodeName,
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer is connecting to us at this moment, and its attempt goes first.
    #[error("{peer} is connecting to {own} itself at this moment; its attempt goes first")]
    Simultaneous {
        /// The node that connects.
        own: NodeName,
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer is connected to another node of this node's name, or has not noticed yet that it is not.
    #[error(
        "{peer} has a connection with another node that is called {own}; give each its own name, or end the other"
    )]
    NameInUse {
        /// The node that connects.
        own: NodeName,
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer speaks a version of the protocol before 5.
    #[error("{peer} speaks a distribution protocol older than version 5; run a newer OTP there")]
    TooOld {
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer expects TLS.
    #[error(
        "{peer} speaks TLS on its distribution port (-proto_dist inet_tls), and this side was given no options \
         for TLS; give them"
    )]
    Tls {
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// The peer does not speak TLS, and this node does.
    #[error(
        "{peer} does not speak TLS on its distribution port; start it with -proto_dist inet_tls, or leave out \
         the options for TLS here"
    )]
    NotTls {
        /// The node that was to be connected to.
        peer: NodeName,
    },
    /// TLS did not come about.
    #[error("the TLS handshake with {peer} failed: {detail}")]
    TlsHandshake {
        /// The node that was to be connected to.
        peer: NodeName,
        /// What was wrong, and what may help.
        detail: String,
    },
    /// Another node than the expected one answered.
    #[error(
        "at the address of {peer} the node {found} answered; its host has another name than the one given, \
         or an EPMD registration is stale"
    )]
    OtherNode {
        /// The node that was to be connected to.
        peer: NodeName,
        /// The name that the node gave.
        found: String,
    },
    /// The node's own name was to be connected to.
    #[error("{peer} is this node's own name")]
    OwnName {
        /// The name.
        peer: NodeName,
    },
    /// The peer broke off or said something that the protocol does not have.
    #[error("the handshake with {peer} failed: {detail}; the log of that node may say more")]
    Handshake {
        /// The node that was to be connected to.
        peer: NodeName,
        /// What happened.
        detail: String,
    },
    /// This node has been stopped.
    #[error("this node is stopped")]
    Stopped,
}

fn at(addresses: &[SocketAddr]) -> String {
    match addresses {
        [] => String::new(),
        addresses => format!(" at {}", happy_eyeballs::list(addresses)),
    }
}

impl ConnectError {
    /// Whether the peer's port could not be learnt from EPMD, so that knowing it would help.
    #[must_use]
    pub fn is_about_epmd(&self) -> bool {
        matches!(self, Self::Epmd { .. } | Self::NotRegistered { .. })
    }

    /// One word for programs and metrics, of those that [`crate::cluster::ConnectError::reason`] lists.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NameKind { .. } => "name_kind",
            Self::UnknownHost { .. } => "name_resolution",
            Self::Epmd { error, .. } => match error {
                EpmdError::Resolve { .. } => "name_resolution",
                EpmdError::Unreachable { .. } => "unreachable",
                EpmdError::Timeout { .. } => "timeout",
                _ => "no_epmd",
            },
            Self::NotRegistered { .. } => "not_registered",
            Self::Refused { .. } | Self::PortClosed { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Cookie { .. } => "cookie",
            Self::Tls { .. } | Self::NotTls { .. } | Self::TlsHandshake { .. } => "tls",
            Self::NotAllowed { .. }
            | Self::Simultaneous { .. }
            | Self::NameInUse { .. }
            | Self::TooOld { .. }
            | Self::OtherNode { .. }
            | Self::OwnName { .. }
            | Self::Handshake { .. }
            | Self::Stopped => "failed",
        }
    }
}

impl From<ConnectError> for crate::cluster::ConnectError {
    fn from(error: ConnectError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
        }
    }
}
