//! Nodes without EPMD, which listen on a port that is known.

use clap::Args;

use super::logging::variable;
use super::output::Failure;

/// Where a node listens that runs without EPMD.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// The port on which the node listens, as `-start_epmd false -erl_epmd_port PORT` has it. EPMD is not asked then
    /// [default: ERL_DIST_PORT, else EPMD is asked]
    #[arg(long, visible_alias = "dist-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

impl PortArgs {
    /// The port, if EPMD is not to be asked.
    pub fn find(&self) -> Result<Option<u16>, Failure> {
        given_or_set(self.port)
    }
}

/// The same where `--port` is that of a provider.
#[derive(Debug, Args)]
pub struct DistPortArgs {
    /// The port on which all nodes listen, as `-start_epmd false -erl_epmd_port PORT` has it. EPMD is not asked then
    /// [default: ERL_DIST_PORT, else EPMD is asked]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    dist_port: Option<u16>,
}

impl DistPortArgs {
    /// The port, if EPMD is not to be asked.
    pub fn find(&self) -> Result<Option<u16>, Failure> {
        given_or_set(self.dist_port)
    }
}

fn given_or_set(given: Option<u16>) -> Result<Option<u16>, Failure> {
    if given.is_some() {
        return Ok(given);
    }
    let Some(text) = variable("ERL_DIST_PORT") else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(port @ 1..) => Ok(Some(port)),
        _ => Err(Failure::words(format!(
            "ERL_DIST_PORT is {text:?}, which is not a port; it takes a number from 1 to 65535"
        ))),
    }
}
