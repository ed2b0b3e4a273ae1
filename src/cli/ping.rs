//! `rendez ping`: is a node there, and is the cookie right?

use std::time::Duration;

use clap::Args;
use rendez::NodeName;
use serde_json::json;

use super::output::{Failure, Output};
use super::peer::{self, PeerArgs};

/// Connect to a node as a hidden node and ask whether it is there
///
/// As net_adm:ping/1, but says why there is no answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez ping shop@10.0.0.7
  rendez ping shop@10.0.0.7 --cookie-file /run/secrets/cookie --timeout 2s
  rendez ping shop@10.0.0.7 --port 9100     a node without EPMD

With --json: {\"node\":\"shop@10.0.0.7\",\"ms\":0.41}")]
pub struct Ping {
    /// The node, name@host
    node: NodeName,
    /// How long connecting may take, and the answer after it
    #[arg(long, value_name = "SPAN", default_value = "7s", value_parser = peer::span)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    peer: PeerArgs,
}

impl Ping {
    /// Does it.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let node = self.peer.start(&self.node, self.timeout).await?;
        let answered = node.ping(&self.node, self.timeout).await;
        node.stop().await;
        let ms = answered.map_err(peer::failure)?.as_secs_f64() * 1000.0;
        if output.is_json() {
            output.json(&json!({"node": self.node.as_str(), "ms": ms}))
        } else {
            output.line(&format!("{} answered in {ms:.2} ms", self.node))
        }
    }
}
