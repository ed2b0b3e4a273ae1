//! A node for the moment, to ask another one.

use std::time::Duration;

use clap::Args;
use rendez::config::duration;
use rendez::dist::{ConnectError, DEFAULT_SETUP_TIME, Tls};
use rendez::epmd::{EpmdError, port_from_env};
use rendez::node::{CallError, Node, Registration, StartError};
use rendez::sidecar::own_name;
use rendez::{NodeName, Secret};

use super::cookie::CookieArgs;
use super::output::{Failure, print_error};
use super::port::PortArgs;
use super::tls::TlsArgs;

/// How to reach a node.
#[derive(Debug, Args)]
pub struct PeerArgs {
    #[command(flatten)]
    port: PortArgs,
    #[command(flatten)]
    cookie: CookieArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

impl PeerArgs {
    /// Starts a hidden node that is not registered with EPMD, with a name of the same kind as the peer's.
    ///
    /// With a port EPMD is not asked where the peer listens. `within` is how long the whole may take: connecting must end a
    /// little earlier, since its error says more than that there was no answer.
    pub async fn start(&self, peer: &NodeName, within: Duration) -> Result<Node, Failure> {
        let (port, cookie, tls) = (self.port.find()?, self.cookie.find()?, self.tls.find()?);
        start(peer, cookie, tls, port, within).await
    }
}

async fn start(
    peer: &NodeName,
    cookie: Secret,
    tls: Option<Tls>,
    port: Option<u16>,
    within: Duration,
) -> Result<Node, Failure> {
    let epmd_port = port_from_env().map_err(|error| Failure::words(error.to_string()))?;
    let failed = |error: StartError| Failure::failed(error.to_string());
    let mut node = Node::builder(own_name(peer).await).cookie(cookie);
    if let Some(port) = port {
        node = node.port_of_all(port);
    }
    node = node
        .registration(Registration::None)
        .epmd_port(epmd_port)
        .setup_time(within.mul_f64(0.9).min(DEFAULT_SETUP_TIME))
        // What a function prints is for whoever called it, and no part of its result.
        .printed(|_, text| print_error(text));
    if let Some(tls) = tls {
        node = node.tls(tls);
    }
    node.start().await.map_err(failed)
}

/// What a call's error is to the user.
pub fn failure(error: CallError) -> Failure {
    let mut message = error.to_string();
    if let CallError::Connect(ConnectError::Epmd {
        error: EpmdError::NotListening { .. },
        ..
    }) = &error
    {
        message.push_str("; nodes that run without EPMD are reached with --port PORT");
    }
    let reason = match error {
        CallError::Connect(error) => error.reason(),
        CallError::Timeout(_) => "timeout",
        CallError::NodeDown { .. } => "lost",
        CallError::Exited { .. } => "exited",
        CallError::BadRpc { .. } => "badrpc",
        _ => "failed",
    };
    Failure::because(reason, message)
}

/// Reads a span of time above zero from a flag.
pub fn span(text: &str) -> Result<Duration, String> {
    duration(&text.into())
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "it takes seconds, or text with a unit: 250ms, 5s, 2m".to_owned())
}
