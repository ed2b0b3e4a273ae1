//! Peers that announce themselves by UDP multicast.

pub mod codec;
mod config;

pub use config::{
    Dialect, GROUP_V4, GROUP_V6, InterfaceChoice, InvalidInterface, InvalidMulticast,
    MulticastConfig, PORT,
};
