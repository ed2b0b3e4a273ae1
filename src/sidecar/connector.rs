//! What is found out about a peer before the attached node is asked to connect to it, and afterwards if that
//! fails.
//!
//! The `net_kernel` of the attached node looks up the host of a peer in its own process: 8 seconds where the
//! name servers are silent, in which no tick is sent and nobody else is let in. So the sidecar looks the host up
//! first, and the attached node is asked only what it alone can know, one question at a time. The node gets at
//! most one `connect_node` to begin with at a time; each goes on in a process of its own, so that an address
//! which does not answer delays no other.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio::time::timeout;

use crate::cluster::ConnectError;
use crate::dist::{self, DialOptions, Located, diagnose, locate, until_awake};
use crate::etf::Term;
use crate::host_lookup::{LookupError, host_addresses};
use crate::name::NodeName;
use crate::node::{CallError, Node, atom_of};

use super::leave::{Leave, May};

/// How long `net_kernel:connect_node/1` may take. The attached node ends it by itself after its
/// `net_setuptime`, which is at most 120 s; the engine gives up after 150 s.
const CONNECTING: Duration = Duration::from_secs(130);
/// How long a lookup may take. A resolver that lost a packet asks again after 5 s: its answer is there at the next
/// attempt.
const LOOKUP: Duration = Duration::from_secs(3);
/// How long the EPMD of a peer may take.
const EPMD: Duration = Duration::from_secs(5);
/// How long the attached node may take to answer, once it is its turn.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take to find out why an attempt failed.
const DIAGNOSIS: Duration = Duration::from_secs(2);
/// How long the attached node is not asked again for a host that it does not know.
const UNKNOWN: Duration = Duration::from_secs(60);
/// How long a failure stands that makes the peer write an error into its log each time that it is tried.
const PROVEN: Duration = Duration::from_secs(300);
/// How many hosts and peers are remembered for these times.
const REMEMBERED: usize = 10_000;

/// Connects the attached node to peers.
#[derive(Debug)]
pub(super) struct Connector {
    node: Node,
    target: NodeName,
    dial: DialOptions,
    hidden: bool,
    leave: Arc<Leave>,
    /// Whether the log says that the attached node has left.
    left: AtomicBool,
    /// The turn at `net_kernel` of the attached node.
    turn: Semaphore,
    /// The turn to ask the attached node for a host.
    asking: Arc<Semaphore>,
    /// Hosts that neither the sidecar nor the attached node knows.
    unknown: Mutex<HashMap<String, Instant>>,
    /// Failures that are not tried out again for a while.
    proven: Mutex<HashMap<NodeName, (ConnectError, Instant)>>,
    /// The peers whose connection was lost, and that are not connected since.
    lost: Mutex<HashSet<NodeName>>,
    /// Whether the attached node runs on this host, so that what is seen from here is what it sees.
    beside: OnceCell<bool>,
    /// The `-epmd_module` of the attached node, if it finds addresses by itself.
    epmd_module: OnceCell<Option<String>>,
    /// The family of addresses that the attached node connects by, as OTP calls it.
    family: OnceCell<&'static str>,
}

impl Connector {
    pub(super) fn new(
        node: Node,
        target: NodeName,
        dial: DialOptions,
        hidden: bool,
        leave: Arc<Leave>,
    ) -> Self {
        Self {
            node,
            target,
            dial: DialOptions {
                setup_time: DIAGNOSIS,
                ..dial
            },
            hidden,
            leave,
            left: AtomicBool::new(false),
            turn: Semaphore::new(1),
            asking: Arc::new(Semaphore::new(1)),
            unknown: Mutex::default(),
            proven: Mutex::default(),
            lost: Mutex::default(),
            beside: OnceCell::new(),
            epmd_module: OnceCell::new(),
            family: OnceCell::new(),
        }
    }

    /// Has the attached node connect to `peer`, and finds out why if it cannot. `port` is where the peer listens, if
    /// a provider says so.
    pub(super) async fn connect(
        &self,
        peer: &NodeName,
        port: Option<u16>,
    ) -> Result<(), ConnectError> {
        if self.target.is_long() != peer.is_long() {
            // `connect_node` would say false and make an atom of the name.
            let (own, peer) = (self.target.clone(), peer.clone());
            return Err(dist::ConnectError::NameKind { own, peer }.into());
        }
        if let Some(module) = self.epmd_module().await {
            return self.connect_by(&module, peer).await;
        }
        let beside = self.is_beside().await;
        if !self.finds_host(peer, beside).await? {
            // Only the attached node knows the host: what is seen from here says nothing.
            return self
                .ask(peer)
                .await?
                .map_err(|()| elsewhere(&self.target, peer));
        }
        if beside {
            match locate(peer, self.dial.epmd_port, self.dial.port, EPMD).await {
                Ok(located) if self.is_target(&located).await => {
                    return Err(is_target(&self.target, peer));
                }
                Ok(_) => self.until_awake(peer).await?,
                Err(error) => return Err(self.explain(peer, port, error).await),
            }
        }
        match self.ask(peer).await? {
            Ok(()) => {
                self.proven().remove(peer);
                Ok(())
            }
            Err(()) => Err(self.why(peer, port).await),
        }
    }

    /// The connection of the attached node to `peer` was lost, or there is one again.
    pub(super) fn note(&self, peer: &NodeName, is_lost: bool) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() >= REMEMBERED {
            lost.clear();
        }
        match is_lost {
            true => lost.insert(peer.clone()),
            false => lost.remove(peer),
        };
    }

    /// See [`until_awake`].
    async fn until_awake(&self, peer: &NodeName) -> Result<(), ConnectError> {
        let is_lost = {
            let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.contains(peer)
        };
        if !is_lost || self.hidden {
            return Ok(());
        }
        let dial = DialOptions {
            setup_time: EPMD,
            ..self.dial.clone()
        };
        Ok(until_awake(self.node.identity(), peer, &dial).await?)
    }

    /// Asks the attached node to connect, when it is its turn. The inner error is a plain `false`.
    async fn ask(&self, peer: &NodeName) -> Result<Result<(), ()>, ConnectError> {
        let function = match self.hidden {
            true => "hidden_connect_node",
            false => "connect_node",
        };
        self.has_not_left(peer).await?;
        let turn = self.turn.acquire().await;
        self.is_allowed(peer).await?;
        let connecting = self.node.call(
            &self.target,
            "net_kernel",
            function,
            vec![atom_of(peer).into()],
            CONNECTING,
        );
        // `net_kernel` answers this one after it has passed on the one before it.
        let passed = self.allowed();
        tokio::pin!(connecting);
        let answer = tokio::select! {
            biased;
            answer = &mut connecting => answer,
            _ = passed => {
                drop(turn);
                connecting.await
            }
        };
        match answer {
            Ok(answer) if answer == Term::atom("true") => Ok(Ok(())),
            Ok(answer) if answer == Term::atom("ignored") => Err(ConnectError {
                reason: "failed".into(),
                message: format!(
                    "{} is not distributed any more (net_kernel:stop/0)",
                    self.target
                ),
            }),
            Ok(_) => Ok(Err(())),
            Err(error @ CallError::Timeout { .. }) => Err(failed("timeout", &error)),
            Err(error) => Err(failed("failed", &error)),
        }
    }

    /// Checks that the peer has not left: it must not be connected again before a provider names it anew.
    async fn has_not_left(&self, peer: &NodeName) -> Result<(), ConnectError> {
        let message = match self.leave.may_connect(peer).await {
            May::Connect => {
                self.left.store(false, Ordering::Relaxed);
                return Ok(());
            }
            May::Goodbye => {
                "it said goodbye; it is connected again when a provider names it anew".to_owned()
            }
            May::Left(by) => {
                let target = &self.target;
                let because = match by == target.as_str() {
                    true => "as its own application wanted".to_owned(),
                    false => format!("{by} removed it"),
                };
                if !self.left.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        event = "node_left", phrase = "the attached node has left", attached = %target,
                        reason = because.as_str(),
                        "{target} has left the cluster ({because}); it joins again when another node connects to it"
                    );
                }
                format!(
                    "{target} has left the cluster ({because}); it joins again when another node connects to it"
                )
            }
        };
        Err(ConnectError {
            reason: "left".into(),
            message,
        })
    }

    async fn allowed(&self) -> Option<Term> {
        let call = self
            .node
            .call(&self.target, "net_kernel", "allowed", vec![], ANSWER);
        call.await.ok()
    }

    /// `net_kernel` writes an error for each attempt to connect to a node that it may not connect to.
    async fn is_allowed(&self, peer: &NodeName) -> Result<(), ConnectError> {
        let answer = self.allowed().await;
        let allowed = match answer.as_ref().and_then(Term::as_tuple) {
            Some([_, allowed]) => allowed.as_list().unwrap_or_default(),
            _ => &[],
        };
        if allowed.is_empty() || allowed.contains(&atom_of(peer).into()) {
            return Ok(());
        }
        Err(ConnectError {
            reason: "refused".into(),
            message: format!(
                "net_kernel:allow/1 was called on {}, and {peer} is not among the nodes that it allows",
                self.target
            ),
        })
    }

    /// Whether the host of the peer is found from here; false if only the attached node finds it. One that is
    /// elsewhere may have another resolver, and has the last word.
    async fn finds_host(&self, peer: &NodeName, beside: bool) -> Result<bool, ConnectError> {
        let here = host_addresses(peer.host(), LOOKUP).await;
        let literal = peer.host().parse::<IpAddr>().is_ok();
        if here.is_ok() && (beside || literal) {
            return Ok(true);
        }
        match (self.target_finds(peer.host()).await, here) {
            (Some(true), here) => Ok(here.is_ok()),
            (_, Err(error)) => Err(unknown_host(peer, &error)),
            (known, Ok(_)) => Err(ConnectError {
                reason: "name_resolution".into(),
                message: format!(
                    "{} does not know the address of the host {}{}: check its DNS and its /etc/hosts",
                    self.target,
                    peer.host(),
                    if known.is_none() { " in time" } else { "" }
                ),
            }),
        }
    }

    /// Whether the attached node finds the host; `None` if others are asked for and it is not its turn.
    async fn target_finds(&self, host: &str) -> Option<bool> {
        {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            if unknown.len() >= REMEMBERED {
                unknown.clear();
            }
            if let Some(asked) = unknown.get(host)
                && asked.elapsed() < UNKNOWN
            {
                return Some(false);
            }
        }
        let asking = Arc::clone(&self.asking).acquire_owned();
        let turn = timeout(LOOKUP, asking).await.ok()?.ok()?;
        let family = self.family().await;
        let (tell, told) = oneshot::channel();
        let (node, target, text) = (self.node.clone(), self.target.clone(), host.to_owned());
        // It goes on when nobody waits any more: the node's resolver is busy with it until then.
        tokio::spawn(async move {
            let arguments = vec![Term::string(&text), Term::atom(family)];
            let answer = node.call(&target, "inet", "getaddr", arguments, ANSWER);
            let answer = answer.await;
            drop(turn);
            let _ = tell.send(answer.is_ok_and(|answer| is_ok(&answer)));
        });
        let found = timeout(LOOKUP, told)
            .await
            .is_ok_and(|told| told == Ok(true));
        if !found {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            unknown.insert(host.to_owned(), Instant::now());
        }
        Some(found)
    }

    /// Whether the attached node runs on this host.
    async fn is_beside(&self) -> bool {
        let find = async || {
            let found = host_addresses(self.target.host(), LOOKUP).await;
            found.is_ok_and(|addresses| addresses.iter().any(|&address| is_here(address)))
        };
        *self.beside.get_or_init(find).await
    }

    /// Whether the attached node listens there.
    async fn is_target(&self, peer: &Located) -> bool {
        // All nodes listen on that port: those of this host each at an address of their own.
        if self.dial.port.is_some() {
            return false;
        }
        let here = |located: &Located| {
            located
                .addresses
                .iter()
                .any(|address| is_here(address.ip()))
        };
        if !here(peer) {
            return false;
        }
        let port = |located: &Located| located.addresses.first().map(|address| address.port());
        let target = locate(&self.target, self.dial.epmd_port, None, EPMD).await;
        target.is_ok_and(|target| port(&target) == port(peer))
    }

    /// The `-epmd_module` of the attached node, if it finds the addresses of nodes by itself.
    async fn epmd_module(&self) -> Option<String> {
        let find = async || {
            let ask = |module, function, arguments| {
                self.node
                    .call(&self.target, module, function, arguments, ANSWER)
            };
            let module = ask("net_kernel", "epmd_module", vec![]).await.ok()?;
            let name = module.as_atom()?.as_str().to_owned();
            if name == "erl_epmd" || name == "rendez_epmd" {
                return None;
            }
            let arguments = vec![module, Term::atom("address_please"), 3.into()];
            let asks = ask("erlang", "function_exported", arguments).await.ok()?;
            (asks == Term::atom("true")).then_some(name)
        };
        self.epmd_module.get_or_init(find).await.clone()
    }

    /// `inet6` if the attached node was started with `-proto_dist inet6_tcp` or `inet6_tls`, else `inet`.
    async fn family(&self) -> &'static str {
        let find = async || {
            let arguments = vec![Term::atom("proto_dist")];
            let call = self
                .node
                .call(&self.target, "init", "get_argument", arguments, ANSWER);
            // `{ok, [["inet6_tcp"]]}`, or `error` without the flag.
            let given = call
                .await
                .is_ok_and(|given| given.to_string().contains("\"inet6"));
            if given { "inet6" } else { "inet" }
        };
        self.family.get_or_init(find).await
    }

    /// Connects where an EPMD module of the attached node says where peers are, as OTP does.
    async fn connect_by(&self, module: &str, peer: &NodeName) -> Result<(), ConnectError> {
        let arguments = vec![
            Term::string(peer.name()),
            Term::string(peer.host()),
            Term::atom(self.family().await),
        ];
        let answer = self
            .node
            .call(&self.target, module, "address_please", arguments, EPMD);
        let found = match answer.await {
            Ok(found) if is_ok(&found) => found,
            Ok(other) => {
                return Err(ConnectError {
                    reason: "name_resolution".into(),
                    message: format!(
                        "{module}, the -epmd_module of {}, has no address for {peer} ({other})",
                        self.target
                    ),
                });
            }
            Err(error) => {
                return Err(ConnectError {
                    reason: "name_resolution".into(),
                    message: format!(
                        "{module}, the -epmd_module of {}, does not say the address of {peer}: {error}",
                        self.target
                    ),
                });
            }
        };
        self.ask(peer).await?.map_err(|()| ConnectError {
            reason: "failed".into(),
            message: format!(
                "{} cannot connect to {peer}, of which {module}, its -epmd_module, says {found}: look whether \
                 something listens there, and at the logs of both nodes",
                self.target
            ),
        })
    }

    /// Why the attached node could not connect, as seen from here.
    async fn why(&self, peer: &NodeName, port: Option<u16>) -> ConnectError {
        if let Some((error, at)) = self.proven().get(peer)
            && at.elapsed() < PROVEN
        {
            return error.clone();
        }
        let Some(error) = diagnose(self.node.identity(), &self.target, peer, &self.dial).await
        else {
            return elsewhere(&self.target, peer);
        };
        // Each of these is a line in the log of the peer.
        let noticed = matches!(
            error,
            dist::ConnectError::Cookie { .. }
                | dist::ConnectError::NotAllowed { .. }
                | dist::ConnectError::Tls { .. }
                | dist::ConnectError::NotTls { .. }
                | dist::ConnectError::TlsHandshake { .. }
        );
        let error = self.explain(peer, port, error).await;
        if noticed {
            let mut proven = self.proven();
            if proven.len() >= REMEMBERED {
                proven.clear();
            }
            proven.insert(peer.clone(), (error.clone(), Instant::now()));
        }
        error
    }

    /// What an error means for the attached node.
    async fn explain(
        &self,
        peer: &NodeName,
        port: Option<u16>,
        error: dist::ConnectError,
    ) -> ConnectError {
        if let dist::ConnectError::OtherNode { found, .. } = &error
            && *found == self.target.as_str()
        {
            return is_target(&self.target, peer);
        }
        let mut message = error.to_string();
        if let dist::ConnectError::Timeout { step, .. } = &error
            && *step == dist::OPENING_PORT
        {
            return ConnectError {
                reason: "unreachable".into(),
                message: format!(
                    "the port on which {peer} listens cannot be reached (no answer in time): EPMD answers, so a \
                     firewall may let only its port through; set inet_dist_listen_min and inet_dist_listen_max and \
                     open these ports"
                ),
            };
        }
        if let Some(port) = port
            && error.is_about_epmd()
            && self.listens(peer, port).await
        {
            // `connect_node` goes by EPMD, whatever DNS says.
            message.push_str(&format!(
                "; it does listen on port {port}, as its SRV record says, but OTP asks EPMD for the port: have \
                 EPMD run there, or Rendez in {} with `-epmd_module rendez_epmd`",
                self.target
            ));
        }
        ConnectError {
            reason: error.reason().to_owned(),
            message,
        }
    }

    /// Whether the peer can be connected to on that port.
    async fn listens(&self, peer: &NodeName, port: u16) -> bool {
        let dial = DialOptions {
            port: Some(port),
            ..self.dial.clone()
        };
        diagnose(self.node.identity(), &self.target, peer, &dial)
            .await
            .is_none()
    }

    fn proven(&self) -> std::sync::MutexGuard<'_, HashMap<NodeName, (ConnectError, Instant)>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `{ok, ..}`
fn is_ok(answer: &Term) -> bool {
    let first = answer.as_tuple().and_then(<[Term]>::first);
    first == Some(&Term::atom("ok"))
}

/// Whether it is an address of this host.
fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback()
        || if_addrs::get_if_addrs().is_ok_and(|interfaces| {
            let mut addresses = interfaces.iter().map(if_addrs::Interface::ip);
            addresses.any(|own| own == address)
        })
}

fn is_target(target: &NodeName, peer: &NodeName) -> ConnectError {
    ConnectError {
        reason: "self".into(),
        message: format!(
            "{peer} is the attached node, which is called {target}: start it with the name by which the sources \
             name it (-name, RELEASE_NODE), or have them name it as it is called (host_type)"
        ),
    }
}

fn unknown_host(peer: &NodeName, error: &LookupError) -> ConnectError {
    let host = peer.host();
    let message = match error {
        LookupError::Failed(_) => format!(
            "the host {host} has no address ({error}): check its name, the DNS and /etc/hosts (`nameservers` serves \
             discovery only)"
        ),
        _ => format!(
            "the address of the host {host} is not known: {error}; check that the name servers of this machine can \
             be reached (/etc/resolv.conf)"
        ),
    };
    ConnectError {
        reason: "name_resolution".into(),
        message,
    }
}

fn elsewhere(target: &NodeName, peer: &NodeName) -> ConnectError {
    ConnectError {
        reason: "failed".into(),
        message: format!(
            "{target} could not connect to {peer}, although from here, with the same cookie, nothing speaks \
             against it: look at the logs of both nodes for a cookie set for one node (erlang:set_cookie/2), \
             net_kernel:allow/1, or a firewall that lets only this host through"
        ),
    }
}

fn failed(reason: &str, error: &CallError) -> ConnectError {
    ConnectError {
        reason: reason.to_owned(),
        message: error.to_string(),
    }
}
