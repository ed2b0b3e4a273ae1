//! Whole systems: real `erl` and `iex` nodes that nobody told about each other, with the package in them.
//!
//! They need the built packages, so `make test` (or `scripts/test system`) runs them; a bare
//! `cargo test` leaves them out.
#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod package;

mod cloud;
mod command;
mod dialects;
mod dns;
mod documented;
mod epmd;
mod file;
mod hosts_file;
mod kubernetes;
mod leaving;
mod list;
mod module;
mod multicast;
mod outage;
mod subnet;
