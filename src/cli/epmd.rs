//! `rendez epmd`: an EPMD server, where Erlang is not installed.

use std::net::IpAddr;

use clap::Args;
use rendez::epmd::{Client, Ended, Server, ServerConfig, port_from_env};
use rendez::sidecar::{status_signal, stop_signal};

use super::output::Failure;

/// Serve EPMD, the register of the nodes on this host, where Erlang is not installed
///
/// It stays in the foreground until SIGTERM, SIGINT or SIGHUP; SIGUSR1 writes the registered names into the log.
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
        let mut statuses = status_signal()
            .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        let port = server.port();
        tracing::info!(
            event = "starting", phrase = "starting", port, addresses = ?server.addresses(),
            "rendez {} serves EPMD", env!("CARGO_PKG_VERSION")
        );
        let status = async move {
            while statuses.recv().await.is_some() {
                log_names(port).await;
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = server.run(stop) => ended,
            ended = status => ended,
        };
        match ended {
            Ended::Shutdown => tracing::info!(event = "stopped", "EPMD stops: it was told to"),
            Ended::Killed => tracing::info!(
                event = "stopped",
                "EPMD stops: a process of this host asked for it (epmd -kill)"
            ),
            _ => {
                return Err(Failure::failed(
                    "EPMD ends, because a part of it failed, which is a mistake in Rendez",
                ));
            }
        }
        Ok(())
    }
}

/// Writes into the log who is registered.
async fn log_names(port: u16) {
    match Client::new("127.0.0.1", port).names().await {
        Ok(names) => {
            let list: Vec<_> = names
                .nodes
                .iter()
                .map(|(name, port)| format!("{name} {port}"))
                .collect();
            tracing::info!(
                event = "status",
                phrase = "status",
                count = list.len() as u64,
                "status: {} nodes are registered: {}",
                list.len(),
                list.join(", ")
            );
        }
        Err(error) => tracing::warn!(event = "status", phrase = "status", "status: {error}"),
    }
}
