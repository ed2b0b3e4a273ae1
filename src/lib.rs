//! Rendez finds the nodes of a BEAM cluster and joins them.

pub mod cluster;
#[cfg(feature = "discovery")]
pub mod config;
#[cfg(feature = "discovery")]
pub mod discovery;
pub mod epmd;
#[cfg(feature = "etf")]
pub mod etf;
pub mod name;
pub mod secret;

pub use name::{InvalidName, NodeName};
pub use secret::Secret;
