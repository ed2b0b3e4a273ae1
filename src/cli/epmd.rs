//! `rendez epmd`: an EPMD server, where Erlang is not installed.

use std::net::IpAddr;

use clap::Args;
use rendez::epmd::{Client, Ended, Server, ServerConfig, port_from_env};
use rendez::sidecar::{status_signal, stop_signal};

use super::output::Failure;

/// Serve EPMD, the register of the nodes on this host, where Erlang is not installed
///
/// It stays in the foreground until SIGTERM, SIGINT or SIGHUP; SIGUSR1 writes the registered names into the log.
/// Invoked under the name `epmd`, as through a link, the command takes the flags of OTP's epmd instead, -daemon and -names among them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez epmd
  rendez epmd --port 4370 --address 127.0.0.1 --address 10.0.0.7")]
pub struct Epmd {
    /// The TCP port [default: ERL_EPMD_PORT, else 4369]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// An address to listen on; can be repeated. Loopback is always added [default: those in ERL_EPMD_ADDRESS,
    /// commas between them, else all addresses]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,
    /// Let processes of this host end the server while nodes are registered, as `epmd -relaxed_command_check`
    /// [default: whether ERL_EPMD_RELAXED_COMMAND_CHECK is set]
    #[arg(long)]
    relaxed_command_check: bool,
}

impl Epmd {
    /// Does it.
    pub async fn run(self) -> Result<(), Failure> {
        let environment = from_environment().map_err(Failure::words)?;
        let addresses = match self.address.is_empty() {
            true => environment.addresses,
            false => self.address,
        };
        let server = Server::bind(ServerConfig {
            port: self.port.unwrap_or(environment.port),
            addresses,
            relaxed_command_check: self.relaxed_command_check || environment.relaxed_command_check,
            ..ServerConfig::default()
        })
        .map_err(|error| Failure::failed(error.to_string()))?;
        serve(server).await
    }
}

/// Serves until a signal or a process of this host ends it.
pub async fn serve(server: Server) -> Result<(), Failure> {
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

/// What OTP's `epmd` takes from the environment: <https://www.erlang.org/doc/apps/erts/epmd_cmd.html>.
///
/// # Errors
/// A sentence that names the variable.
pub fn from_environment() -> Result<ServerConfig, String> {
    let addresses = match super::logging::variable("ERL_EPMD_ADDRESS") {
        Some(text) => addresses_of("ERL_EPMD_ADDRESS", &text)?,
        None => Vec::new(),
    };
    Ok(ServerConfig {
        port: port_from_env().map_err(|error| error.to_string())?,
        addresses,
        relaxed_command_check: std::env::var_os("ERL_EPMD_RELAXED_COMMAND_CHECK").is_some(),
        ..ServerConfig::default()
    })
}

/// Addresses as OTP's `epmd` takes them, with commas or spaces between them.
///
/// # Errors
/// A sentence that says where it stood and what is not an address.
pub fn addresses_of(place: &str, text: &str) -> Result<Vec<IpAddr>, String> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.parse().map_err(|_| {
                format!("{place}: {word:?} is not an IP address; give addresses of this host, commas between them")
            })
        })
        .collect()
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
