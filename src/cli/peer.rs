//! A node for the moment, to ask another one.

use std::time::Duration;

use rendez::config::duration;
use rendez::dist::Tls;
use rendez::epmd::port_from_env;
use rendez::node::{CallError, Node, Registration, StartError};
use rendez::sidecar::own_name;
use rendez::{NodeName, Secret};

use super::output::{Failure, print_error};

/// Starts a hidden node that no EPMD knows, with a name that goes with the peer's.
pub async fn start(peer: &NodeName, cookie: Secret, tls: Option<Tls>) -> Result<Node, Failure> {
    let port = port_from_env().map_err(|error| Failure::words(error.to_string()))?;
    let failed = |error: StartError| Failure::failed(error.to_string());
    let mut node = Node::builder(own_name(peer).await)
        .cookie(cookie)
        .registration(Registration::None)
        .epmd_port(port)
        // What a function prints is for whoever called it, and no part of its result.
        .printed(|_, text| print_error(text));
    if let Some(tls) = tls {
        node = node.tls(tls);
    }
    node.start().await.map_err(failed)
}

/// What a call's error is to the user.
pub fn failure(error: CallError) -> Failure {
    let message = error.to_string();
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
