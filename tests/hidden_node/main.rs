//! The hidden node as real `erl` and `iex` nodes see it. `RENDEZ_TEST_BEAM="chroot FOLDER"` runs the same
//! against another OTP release.
#![cfg(feature = "node")]

#[path = "../support/mod.rs"]
mod support;

mod world;

mod calls;
mod connecting;
mod connections;
mod examples;
mod faults;
mod handshake;
mod kernel;
mod links;
mod messages;
mod monitor_nodes;
mod monitors;
mod pg;
mod places;
mod readme;
mod rpc;
mod seen;
mod spawn;
mod tls;
mod tls_optfile;
mod tools;
mod visible;
