//! What the tests against real BEAM nodes share.
//!
//! Each test file takes what it needs, so what one file leaves unused is no dead code.
#![allow(dead_code, unused_imports)]

pub mod alone;
#[cfg(feature = "node")]
pub mod authority;
pub mod beam;
pub mod cli;
pub mod dns_server;
pub mod examples;
#[cfg(feature = "cli")]
pub mod kube_server;
pub mod netns;
pub mod outage;
pub mod ports;
pub mod seed;
#[cfg(feature = "cli")]
pub mod web_server;
#[cfg(feature = "node")]
pub mod wire;
pub mod wiretap;

pub use alone::alone;
pub use beam::{Beam, BeamOptions, Epmd, beam_command, beam_is_installed};
pub use examples::Example;
pub use netns::Lan;
pub use outage::SilentDns;
pub use ports::{free_tcp_port, free_udp_port};

/// Says that `what` is skipped, and why, where it is seen: what a passing test prints by `eprintln!` is
/// kept back.
pub fn skip(what: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
