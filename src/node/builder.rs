//! What a node is made of.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::dist::{ConnectError, DialOptions, LinkOptions, Tls};
use crate::epmd::EpmdError;
use crate::etf::{Atom, Term};
use crate::name::NodeName;
use crate::secret::Secret;

use super::exception::Exception;
use super::functions::{Context, Functions};
use super::presence::Presence;
use super::{Node, kernel};

/// Whether a node can do without EPMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The node does not start when EPMD cannot register it; later it registers again whenever EPMD was away.
    Required,
    /// The node starts without, and registers as soon as it can. Until then it can connect, but not be
    /// connected to.
    WhenPossible,
    /// The node listens, and EPMD is not told: for nodes that all listen on one port ([`Builder::port_of_all`], as
    /// of `-erl_epmd_port`), or that learn where it listens in another way.
    Unlisted,
    /// The node is not registered, and does not listen.
    None,
}

/// Makes a [`Node`]: see [`Node::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(super) name: NodeName,
    pub(super) cookie: Secret,
    pub(super) peer_cookies: HashMap<NodeName, Secret>,
    pub(super) named_by: Option<NodeName>,
    pub(super) presence: Presence,
    pub(super) dial: DialOptions,
    pub(super) link: LinkOptions,
    pub(super) functions: Functions,
    pub(super) functions_at_once: usize,
    pub(super) visible: bool,
    pub(super) prevent_overlapping_partitions: bool,
}

impl Builder {
    pub(super) fn new(name: NodeName, cookie: Secret) -> Self {
        let functions = Functions::default();
        kernel::offer(&functions);
        Self {
            name,
            cookie,
            functions,
            functions_at_once: 65_536,
            visible: false,
            prevent_overlapping_partitions: true,
            peer_cookies: HashMap::new(),
            named_by: None,
            presence: Presence::new(),
            dial: DialOptions::default(),
            link: LinkOptions::default(),
        }
    }

    /// Makes it a visible node, as a BEAM is one unless it is started with `-hidden`: others list it in
    /// `nodes()`, connect all that they know to it, and share the names and locks of `global` with it, in which
    /// it then takes part ([`Node::global`]). Default: hidden.
    #[must_use]
    pub fn visible(mut self) -> Self {
        self.visible = true;
        self
    }

    /// Whether a visible node parts from nodes that another has lost, so that partitions do not overlap: the
    /// kernel's parameter of the same name, which has to be the same on all nodes. Default: true, as in OTP
    /// since 25.
    #[must_use]
    pub fn prevent_overlapping_partitions(mut self, prevent: bool) -> Self {
        self.prevent_overlapping_partitions = prevent;
        self
    }

    /// Whether the node can do without EPMD. Default: [`Registration::Required`].
    #[must_use]
    pub fn registration(mut self, registration: Registration) -> Self {
        self.presence.registration = registration;
        self
    }

    /// The port of EPMD on every host, the own one among them. Default: 4369; see
    /// [`crate::epmd::port_from_env`].
    #[must_use]
    pub fn epmd_port(mut self, port: u16) -> Self {
        self.dial.epmd_port = port;
        self
    }

    /// Where the node takes connections. Default: any port on all IPv4 addresses, as OTP does.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.presence.listen = address;
        self
    }

    /// The ports to choose from, of which the first that is free is taken, as OTP does with `inet_dist_listen_min`
    /// and `inet_dist_listen_max`. Default: that of [`Builder::listen`].
    #[must_use]
    pub fn listen_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.presence.ports = Some(ports);
        self
    }

    /// The host of the EPMD that the node registers with. Default: this host, at 127.0.0.1, or at ::1 if the node
    /// listens on an IPv6 address.
    #[must_use]
    pub fn epmd_host(mut self, host: impl Into<String>) -> Self {
        self.presence.epmd_host = Some(host.into());
        self
    }

    /// Does without EPMD, as `-erl_epmd_port` does: all nodes listen on this port, and so does this one, unless
    /// [`Builder::listen`] says otherwise.
    #[must_use]
    pub fn port_of_all(mut self, port: u16) -> Self {
        self.dial.port = Some(port);
        self.presence.registration = Registration::Unlisted;
        self
    }

    /// The cookie of one peer, if it has another one, as `erlang:set_cookie/2` gives it.
    #[must_use]
    pub fn peer_cookie(mut self, peer: NodeName, cookie: Secret) -> Self {
        self.peer_cookies.insert(peer, cookie);
        self
    }

    /// Has `peer` give the node its name, as nodes started with `-name undefined` have: of the name that it was
    /// begun with, the host alone counts. It is hidden, does not listen, and stops when the connection to `peer`
    /// ends, since the name is free again then.
    #[must_use]
    pub fn named_by(mut self, peer: NodeName) -> Self {
        self.named_by = Some(peer);
        self
    }

    /// Speaks TLS with every peer, as nodes with `-proto_dist inet_tls` do. Default: nobody speaks it.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.dial.tls = Some(tls);
        self
    }

    /// How long setting up a connection may take, OTP's `net_setuptime`. Default: 7 s.
    #[must_use]
    pub fn setup_time(mut self, setup_time: Duration) -> Self {
        self.dial.setup_time = setup_time;
        self
    }

    /// After how much silence a peer counts as dead, OTP's `net_ticktime`, which has to be the same on all
    /// nodes. Default: 60 s.
    #[must_use]
    pub fn tick_time(mut self, tick_time: Duration) -> Self {
        self.link.tick_time = tick_time;
        self
    }

    /// The longest message that is taken, in bytes. Default: 64 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: u32) -> Self {
        self.link.max_message = bytes;
        self
    }

    /// Offers `module:function/arity` to other nodes: see [`Functions::offer`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use rendez::{Node, Secret};
    /// use rendez::etf::Term;
    /// use rendez::node::Exception;
    ///
    /// let node = Node::builder("prices@127.0.0.1".parse()?, Secret::new("cookie"))
    ///     .function("Elixir.Prices", "double", 1, |_, arguments| async move {
    ///         let price = arguments[0].as_int().ok_or_else(Exception::badarg)?;
    ///         Ok(Term::Int(2 * price))
    ///     })
    ///     .start()
    ///     .await?;
    /// // iex> :erpc.call(:"prices@127.0.0.1", Prices, :double, [21])
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If a name has more than 255 bytes.
    #[must_use]
    pub fn function<F, R>(
        self,
        module: &'static str,
        function: &'static str,
        arity: u8,
        run: F,
    ) -> Self
    where
        F: Fn(Context, Vec<Term>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Term, Exception>> + Send + 'static,
    {
        let (module, function) = (Atom::new(module), Atom::new(function));
        self.functions.offer(module, function, arity, run);
        self
    }

    /// How many functions others may have running here at once. One more is refused with `system_limit`, as
    /// a BEAM does that has too many processes. Default: 65,536.
    #[must_use]
    pub fn functions_at_once(mut self, most: usize) -> Self {
        self.functions_at_once = most;
        self
    }

    /// Starts the node: it listens and registers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(self) -> Result<Node, StartError> {
        Node::start(self).await
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error("cannot listen on {address}: {error}; choose another address or port")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// All of the ports that it may listen on are taken.
    #[error(
        "cannot listen on any port from {first} to {last} of {address}: {error}; give it a range with a port that \
         is free"
    )]
    NoFreePort {
        /// Where it was to listen.
        address: IpAddr,
        /// The first port that was tried.
        first: u16,
        /// The last.
        last: u16,
        /// What the operating system said of that.
        error: io::Error,
    },
    /// The peer that was to give it a name did not.
    #[error("no name from {peer}: {error}")]
    Unnamed {
        /// Who was asked for one.
        peer: NodeName,
        /// Why there is none.
        error: ConnectError,
    },
    /// EPMD did not register it.
    #[error("{name} cannot be registered: {error}")]
    Epmd {
        /// The node.
        name: NodeName,
        /// Why.
        error: EpmdError,
    },
}
