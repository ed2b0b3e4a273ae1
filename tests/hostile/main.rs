//! A node and a sidecar among hostile peers: some know the cookie, some do not.
//!
//! `RENDEZ_HOSTILE_SECONDS` says for how long each attack lasts; `make fuzz` sets it. What an attack does follows from
//! its seed, which is printed.
#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod attached;
mod grammar;
mod node;
mod peer;
mod strangers;
mod watch;

use std::time::Duration;

/// Far more than anything here needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long an attack lasts.
fn attack_time(usual: Duration) -> Duration {
    match std::env::var("RENDEZ_HOSTILE_SECONDS") {
        Ok(text) => Duration::from_secs(text.parse().expect("RENDEZ_HOSTILE_SECONDS is a number")),
        Err(_) => usual,
    }
}
