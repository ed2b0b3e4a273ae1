//! `rendez epmd`: an EPMD server, where Erlang is not installed.

use std::net::IpAddr;

use clap::Args;
use rendez::epmd::{Ended, Server, ServerConfig, port_from_env};
use rendez::sidecar::stop_signal;

use super::output::Failure;

/// Serve EPMD, the register of the nodes on this host, where Erlang is not installed
///
/// It stays in the foreground until SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez epmd
  rendez epmd --port 4370 --address 127.0.0.1 --address 10.0.0.7")]
pub struct Epmd {
    /// The TCP port [default: ERL_EPMD_PORT, else 4369]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// An address to listen on; can be repeated. Loopback is always added [default: all addresses]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,
    /// Let processes of this host end the server while nodes are registered, as `epmd -relaxed_command_check`
    #[arg(long)]
    relaxed_command_check: bool,
}

impl Epmd {
    /// Does it.
    pub async fn run(self) -> Result<(), Failure> {
        let port = match self.port {
            Some(port) => port,
            None => port_from_env().map_err(|error| Failure::words(error.to_string()))?,
        };
        let server = Server::bind(ServerConfig {
            port,
            addresses: self.address,
            relaxed_command_check: self.relaxed_command_check,
            ..ServerConfig::default()
        })
        .map_err(|error| Failure::failed(error.to_string()))?;
        let stop = stop_signal()
            .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        tracing::info!(port = server.port(), addresses = ?server.addresses(), "EPMD listens");
        match server.run(stop).await {
            Ended::Shutdown => tracing::info!("EPMD stops: it was told to"),
            Ended::Killed => {
                tracing::info!("EPMD stops: a process of this host asked for it (epmd -kill)")
            }
        }
        Ok(())
    }
}
