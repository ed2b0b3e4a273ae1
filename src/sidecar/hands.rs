//! Carries out at the attached node what the engine decides.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::driver::{Outlet, Source};
use crate::cluster::{Action, ConnectError};
use crate::dist::{DialOptions, diagnose};
use crate::etf::Term;
use crate::name::NodeName;
use crate::node::{CallError, Node, atom_of};

use super::report::Reporter;

/// How long `net_kernel:connect_node/1` may take. The attached node ends it by itself after its
/// `net_setuptime`, which is at most 120 s; the engine gives up after 150 s.
const CONNECTING: Duration = Duration::from_secs(130);
/// How long `erlang:disconnect_node/1` may take.
const DISCONNECTING: Duration = Duration::from_secs(10);

/// How an attempt to connect ended.
pub(super) type Attempt = (NodeName, Result<(), ConnectError>);

/// Calls the attached node, as many calls side by side as the engine has connections under way.
///
/// The calls end with this value.
pub(super) struct Hands {
    node: Node,
    target: NodeName,
    dial: DialOptions,
    attempts: mpsc::Sender<Attempt>,
    reporter: Reporter,
    calls: JoinSet<()>,
}

impl Hands {
    pub(super) fn new(
        node: Node,
        target: NodeName,
        dial: DialOptions,
        attempts: mpsc::Sender<Attempt>,
        sources: Vec<Source>,
    ) -> Self {
        Self {
            node,
            target,
            dial,
            attempts,
            reporter: Reporter::new(sources),
            calls: JoinSet::new(),
        }
    }
}

impl Hands {
    /// `port` is where the peer listens, if a provider says so.
    fn begin_connect(&mut self, peer: NodeName, port: Option<u16>) {
        let (node, target) = (self.node.clone(), self.target.clone());
        let (dial, attempts) = (self.dial.clone(), self.attempts.clone());
        self.calls.spawn(async move {
            let result = connect(&node, &target, &peer, &dial, port).await;
            // Nobody wants to know when the session has just ended.
            let _ = attempts.send((peer, result)).await;
        });
    }
}

impl Outlet for Hands {
    fn connect(&mut self, node: NodeName, port: u16) {
        while self.calls.try_join_next().is_some() {}
        self.begin_connect(node, Some(port));
    }

    fn deliver(&mut self, action: Action) {
        // Those that have ended are let go of.
        while self.calls.try_join_next().is_some() {}
        let (node, target) = (self.node.clone(), self.target.clone());
        match action {
            Action::Connect(peer) => self.begin_connect(peer, None),
            Action::Disconnect(peer) => {
                self.calls.spawn(async move {
                    let arguments = vec![atom_of(&peer).into()];
                    let done = node
                        .call(
                            &target,
                            "erlang",
                            "disconnect_node",
                            arguments,
                            DISCONNECTING,
                        )
                        .await;
                    if let Err(error) = done {
                        tracing::warn!(node = %peer, "not disconnected: {error}");
                    }
                });
            }
            Action::Event(event) => self.reporter.report(&event),
        }
    }
}

/// Has `target` connect to `peer`, and finds out why if it does not.
async fn connect(
    node: &Node,
    target: &NodeName,
    peer: &NodeName,
    dial: &DialOptions,
    port: Option<u16>,
) -> Result<(), ConnectError> {
    if target.is_long() != peer.is_long() {
        // `connect_node` would say false and make an atom of the name.
        let (own, peer) = (target.clone(), peer.clone());
        return Err(crate::dist::ConnectError::NameKind { own, peer }.into());
    }
    let arguments = vec![atom_of(peer).into()];
    let answer = node
        .call(target, "net_kernel", "connect_node", arguments, CONNECTING)
        .await;
    match answer {
        Ok(answer) if answer == Term::atom("true") => Ok(()),
        Ok(answer) => Err(why(node, target, peer, dial, port, &answer).await),
        Err(error @ CallError::Timeout { .. }) => Err(failed("timeout", &error)),
        Err(error) => Err(failed("failed", &error)),
    }
}

/// Why `connect_node` said `false` or `ignored`, as seen from here.
async fn why(
    node: &Node,
    target: &NodeName,
    peer: &NodeName,
    dial: &DialOptions,
    port: Option<u16>,
    answer: &Term,
) -> ConnectError {
    if *answer == Term::atom("ignored") {
        return ConnectError {
            reason: "failed".into(),
            message: format!("{target} is not distributed any more (net_kernel:stop/0)"),
        };
    }
    match diagnose(node.identity(), target, peer, dial).await {
        Some(error) => {
            let mut message = format!("{target} could not connect; seen from here: {error}");
            if let Some(port) = port
                && error.is_about_epmd()
                && listens(node, target, peer, dial, port).await
            {
                // `connect_node` goes by EPMD, whatever DNS says.
                message.push_str(&format!(
                    "; it does listen on port {port}, as its SRV record says, but OTP asks EPMD for the port: have \
                     EPMD run there, or Rendez in {target} with `-epmd_module rendez_epmd`"
                ));
            }
            ConnectError {
                reason: error.reason().to_owned(),
                message,
            }
        }
        None => ConnectError {
            reason: "failed".into(),
            message: format!(
                "{target} could not connect to {peer}, although from here, with the same cookie, there is a way: \
                 look at the logs of both nodes for a cookie set for one node (erlang:set_cookie/2), \
                 net_kernel:allow/1, or a firewall that lets only this host through"
            ),
        },
    }
}

/// Whether the peer can be connected to on that port.
async fn listens(
    node: &Node,
    target: &NodeName,
    peer: &NodeName,
    dial: &DialOptions,
    port: u16,
) -> bool {
    let dial = DialOptions {
        port: Some(port),
        ..dial.clone()
    };
    diagnose(node.identity(), target, peer, &dial)
        .await
        .is_none()
}

fn failed(reason: &str, error: &CallError) -> ConnectError {
    ConnectError {
        reason: reason.to_owned(),
        message: error.to_string(),
    }
}
