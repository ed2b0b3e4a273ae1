//! What a node is made of.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dist::channel::{ChannelOptions, TICK_TIMES};
use crate::dist::cookie::{self, CookieError};
use crate::dist::{ConnectError, DialOptions, Tls};
use crate::epmd::EpmdError;
use crate::etf::{Atom, Pid, Term};
use crate::name::{InvalidName, NodeName};
use crate::secret::Secret;

use super::entry::MailboxBound;
use super::exception::Exception;
use super::functions::{Context, Functions};
use super::io::Printed;
use super::presence::Presence;
use super::{Node, kernel};

/// Whether a node listens, and whether EPMD knows where.
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
    /// The node does not listen, and is not registered.
    None,
}

/// Where a cookie comes from.
#[derive(Debug, Clone)]
pub enum Cookie {
    /// It is known.
    Secret(Secret),
    /// A text, whose characters are its bytes as Erlang has it. Not shown in a debug print.
    Text(Secret),
    /// A file that holds nothing else.
    File(PathBuf),
    /// Where Erlang itself looks: `~/.erlang.cookie`.
    Home,
}

impl From<Secret> for Cookie {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl From<&str> for Cookie {
    fn from(text: &str) -> Self {
        Self::Text(Secret::new(text))
    }
}

impl From<String> for Cookie {
    fn from(text: String) -> Self {
        Self::Text(Secret::new(text))
    }
}

impl From<PathBuf> for Cookie {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl Cookie {
    fn find(&self) -> Result<Secret, CookieError> {
        match self {
            Self::Secret(secret) => Ok(secret.clone()),
            Self::Text(text) => {
                // It was made from a text. An invalid one has no cookie in it either.
                let text = std::str::from_utf8(text.expose()).unwrap_or_default();
                cookie::from_text(text, "the cookie of the node's builder")
            }
            Self::File(file) => cookie::from_file(file),
            Self::Home => cookie::from_home().map(|(cookie, _)| cookie),
        }
    }
}

/// Makes a [`Node`]: see [`Node::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(super) name: Result<NodeName, InvalidName>,
    /// The node that gives the name.
    pub(super) named_by: Option<NodeName>,
    cookie: Cookie,
    peer_cookies: HashMap<NodeName, Secret>,
    pub(super) visible: bool,
    pub(super) prevent_overlapping_partitions: bool,
    pub(super) presence: Presence,
    pub(super) dial: DialOptions,
    /// Whether to take the place of a connection that a peer has under this node's name already.
    pub(super) take_over: bool,
    pub(super) channel: ChannelOptions,
    pub(super) limits: Limits,
    pub(super) functions: Functions,
    pub(super) printed: Printed,
}

/// What peers can make a node keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most connections. Default: 65,536.
    pub connections: usize,
    /// How many functions others may have running here at once. One more is refused with `system_limit`, as
    /// a BEAM does that has too many processes. Default: 65,536.
    pub functions: usize,
    /// How many bytes of arguments the functions may hold that others have running here. One that would hold
    /// more is refused with `system_limit` too. Default: 512 MiB.
    pub arguments: usize,
    /// How many bytes that came over one connection may wait in mailboxes before no more is read from
    /// it, so that the peer waits. When nothing of it is received for longer than the tick time, the connection
    /// ends. A process with a [`MailboxBound::bytes`] below this does not hold up the others. Default: 16 MiB.
    pub unreceived: usize,
    /// How many bytes may wait before no more is read although something of this node waits for something from
    /// that peer: the answer to a call, or the end of a process that is linked or monitored. Default: 128 MiB.
    pub unreceived_at_most: usize,
    /// The bound of each mailbox that is not given one of its own.
    pub mailbox: MailboxBound,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1 << 16,
            functions: 1 << 16,
            arguments: 512 << 20,
            unreceived: 16 << 20,
            unreceived_at_most: 128 << 20,
            mailbox: MailboxBound::default(),
        }
    }
}

impl Builder {
    pub(super) fn new(name: Result<NodeName, InvalidName>) -> Self {
        let functions = Functions::default();
        kernel::offer(&functions);
        Self {
            functions,
            printed: Printed::default(),
            name,
            named_by: None,
            cookie: Cookie::Home,
            peer_cookies: HashMap::new(),
            visible: false,
            prevent_overlapping_partitions: true,
            presence: Presence::new(),
            dial: DialOptions::default(),
            take_over: true,
            channel: ChannelOptions::default(),
            limits: Limits::default(),
        }
    }

    /// The cookie of the cluster: a [`Secret`], a text, or a file (a [`PathBuf`]). Default: the one that
    /// Erlang itself would use, `~/.erlang.cookie`.
    #[must_use]
    pub fn cookie(mut self, cookie: impl Into<Cookie>) -> Self {
        self.cookie = cookie.into();
        self
    }

    /// The cookie of one peer, as `erlang:set_cookie/2` sets it.
    #[must_use]
    pub fn peer_cookie(mut self, peer: NodeName, cookie: Secret) -> Self {
        self.peer_cookies.insert(peer, cookie);
        self
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

    /// Whether the node listens and is registered with EPMD. Default: [`Registration::Required`].
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

    /// Where the node takes connections: an IPv4 or IPv6 address, and a port, 0 for any. Default: any port on
    /// all IPv4 addresses, as OTP does, or on all IPv6 addresses if the host of the node's name is one, as OTP does
    /// with `-proto_dist inet6_tcp`. A node that is named by a host with addresses of both kinds takes connections over
    /// both with `[::]:0`.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.presence.listen = Some(address);
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

    /// Whether this node takes the place of a connection that a peer already has with a node of the same name.
    /// That is most often an earlier run of this node, whose end the peer has not noticed. Without, it is refused as
    /// [`ConnectError::NameInUse`](crate::dist::ConnectError::NameInUse), so that two nodes of one name do not throw each
    /// other out again and again. Default: true.
    #[must_use]
    pub fn take_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
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
        self.channel.tick_time = tick_time;
        self
    }

    /// The longest message that is taken, in bytes. A longer one is lost, which the log says; it is read over as it
    /// comes, and the connection goes on. Default: 128 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.channel.max_message = bytes;
        self
    }

    /// How many bytes of messages whose last fragment has not come are kept for each connection, in all. More end the
    /// connection. Default: 512 MiB.
    #[must_use]
    pub fn max_assembly(mut self, bytes: usize) -> Self {
        self.channel.max_assembly = bytes;
        self
    }

    /// How deep a term from a peer may nest, and how much memory it may take. A message beyond that is lost, which
    /// the log says; an exit signal has the reason `{unreadable, Why}` then, and a spawn request is refused with
    /// `system_limit`. Default: 4,096 deep, and 512 MiB.
    #[must_use]
    pub fn decode_limits(mut self, limits: crate::etf::Limits) -> Self {
        self.channel.limits = limits;
        self
    }

    /// How many bytes may wait for a peer before senders wait too, OTP's `+zdbbl`. Default: 1 MiB.
    #[must_use]
    pub fn high_water(mut self, bytes: usize) -> Self {
        self.channel.high_water = bytes;
        self
    }

    /// What else peers can make the node keep.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Offers `module:function/arity` to other nodes: see [`Functions::offer`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use rendez::Node;
    /// use rendez::etf::Term;
    /// use rendez::node::Exception;
    ///
    /// let node = Node::builder("prices@127.0.0.1")
    ///     .cookie("cookie")
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

    /// What to do with a text that a process prints which this node started elsewhere, and with that process's
    /// pid. It must not wait. Default: each line goes to the log, at the level `info`.
    #[must_use]
    pub fn printed(mut self, to: impl Fn(&Pid, &str) + Send + Sync + 'static) -> Self {
        self.printed = Printed(Arc::new(to));
        self
    }

    /// How many functions others may have running here at once. One more is refused with `system_limit`, as
    /// a BEAM does that has too many processes. Default: 65,536.
    #[must_use]
    pub fn functions_at_once(mut self, most: usize) -> Self {
        self.limits.functions = most;
        self
    }

    /// Starts the node: it listens and registers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(self) -> Result<Node, StartError> {
        super::start::start(self).await
    }

    /// Whether every option has a value with which a connection can last.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let channel = &self.channel;
        let (shortest, longest) = TICK_TIMES;
        let wrong = |option, why: String| Err(StartError::Option { option, why });
        if !(shortest..=longest).contains(&channel.tick_time) {
            return wrong(
                "tick_time",
                format!(
                    "it must be at least {shortest:?} and at most a week, not {:?}",
                    channel.tick_time
                ),
            );
        }
        let positive = [
            ("max_message", channel.max_message),
            ("high_water", channel.high_water),
            ("limits.connections", self.limits.connections),
            ("limits.unreceived", self.limits.unreceived),
            ("limits.mailbox.messages", self.limits.mailbox.messages),
            ("limits.mailbox.bytes", self.limits.mailbox.bytes),
        ];
        for (option, value) in positive {
            if value == 0 {
                return wrong(option, "it must be at least 1, not 0".to_owned());
            }
        }
        if self.dial.setup_time.is_zero() {
            return wrong("setup_time", "it must be longer than nothing".to_owned());
        }
        Ok(())
    }

    /// The cookies, found.
    pub(super) fn cookies(&self) -> Result<(Secret, Arc<HashMap<NodeName, Secret>>), CookieError> {
        Ok((self.cookie.find()?, Arc::new(self.peer_cookies.clone())))
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its name is none that a node can have.
    #[error("the node cannot have that name: {0}")]
    Name(#[from] InvalidName),
    /// An option of the builder has a value that no node can have.
    #[error("{option}: {why}")]
    Option {
        /// The method of the builder, or the field of [`Limits`].
        option: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// There is no cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
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
