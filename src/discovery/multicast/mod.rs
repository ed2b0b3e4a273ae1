//! Peers that announce themselves by UDP multicast.

pub mod announcer;
pub mod codec;
mod config;
mod counters;
mod members;
#[cfg(test)]
mod simulation;

pub use announcer::{Announcer, Now};
pub use config::{
    Dialect, GROUP_V4, GROUP_V6, InterfaceChoice, InvalidInterface, InvalidMulticast,
    MulticastConfig, PORT,
};
pub use counters::Counters;
