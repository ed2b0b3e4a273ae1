//! The Erlang Port Mapper Daemon: the register of the nodes on a host, under TCP port 4369.
//!
//! The crate has a codec and a client of its own, not those of the crate `erl_dist`, for two reasons. A
//! name that a foreign EPMD sends has to be bounded and valid before it is kept. And `rendez epmd` is a
//! server, which needs the other direction of every packet.

#[cfg(any(feature = "discovery", feature = "dist"))]
mod client;
pub mod codec;
#[cfg(feature = "epmd-server")]
mod registry;
#[cfg(feature = "epmd-server")]
mod server;
#[cfg(any(feature = "epmd-server", feature = "node"))]
pub(crate) mod waiting;

#[cfg(any(feature = "discovery", feature = "dist"))]
pub use client::{
    Client, DEFAULT_TIMEOUT, EpmdError, Registered, RegistrationState, port_from_env,
};
pub use codec::DEFAULT_PORT;
#[cfg(feature = "epmd-server")]
pub use server::{BindError, Ended, Server, ServerConfig};
