//! Rendez finds the nodes of a BEAM cluster and joins them.

pub mod cluster;
#[cfg(feature = "discovery")]
pub mod config;
#[cfg(feature = "discovery")]
pub mod discovery;
#[cfg(feature = "dist")]
pub mod dist;
pub mod epmd;
#[cfg(feature = "etf")]
pub mod etf;
#[cfg(any(feature = "discovery", feature = "dist"))]
mod happy_eyeballs;
#[cfg(any(feature = "discovery", feature = "dist"))]
pub mod host_lookup;
pub mod name;
#[cfg(feature = "node")]
pub mod node;
#[cfg(any(feature = "discovery", feature = "node"))]
pub mod panics;
#[cfg(test)]
#[path = "../tests/support/ports.rs"]
#[allow(dead_code)]
mod ports;
pub mod secret;
#[cfg(test)]
#[path = "../tests/support/seed.rs"]
mod seed;
#[cfg(feature = "sidecar")]
pub mod sidecar;

pub use name::{InvalidName, NodeName};
#[cfg(feature = "node")]
pub use node::Node;
pub use secret::{Secret, SecretUrl};
