//! `rendez names`: who is registered with EPMD.

use std::time::Duration;

use clap::Args;
use rendez::epmd::{Client, EpmdError, port_from_env};
use serde_json::json;

use super::output::{Failure, Output};
use super::peer;

/// List the nodes that are registered with EPMD on a host
///
/// As `epmd -names`: the name of each node without its host, and the port on which it takes connections.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez names
  rendez names 10.0.0.7 --port 4370

With --json: {\"host\":\"localhost\",\"epmd_port\":4369,\"nodes\":[{\"name\":\"shop\",\"port\":41235}]}")]
pub struct Names {
    /// The host, by name or address
    #[arg(default_value = "localhost")]
    host: String,
    /// The port of EPMD [default: ERL_EPMD_PORT, else 4369]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How long EPMD may take to answer
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = peer::span)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Names {
    /// Does it.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let port = match self.port {
            Some(port) => port,
            None => port_from_env().map_err(|error| Failure::words(error.to_string()))?,
        };
        let client = Client::new(self.host.as_str(), port).with_timeout(self.timeout);
        let names = client.names().await.map_err(failure)?;
        if output.is_json() {
            let nodes: Vec<_> = names
                .nodes
                .iter()
                .map(|(name, port)| json!({"name": name.to_string(), "port": port}))
                .collect();
            return output.json(&json!({"host": self.host, "epmd_port": port, "nodes": nodes}));
        }
        for (name, port) in &names.nodes {
            output.line(&format!("{name} {port}"))?;
        }
        Ok(())
    }
}

fn failure(error: EpmdError) -> Failure {
    let reason = match error {
        EpmdError::Resolve { .. } => "name_resolution",
        EpmdError::NotListening { .. } => "no_epmd",
        EpmdError::Unreachable { .. } => "unreachable",
        EpmdError::Timeout { .. } => "timeout",
        _ => "failed",
    };
    Failure::because(reason, error.to_string())
}
