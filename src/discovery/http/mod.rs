//! Peers are the names behind a URL; and the client that every source behind an HTTP API shares.
//!
//! The configuration of the source is there in every build; the source needs the cargo feature `http`.

#[cfg(feature = "http-client")]
pub mod client;
mod config;
#[cfg(feature = "http")]
mod source;
#[cfg(feature = "http")]
mod wait;

pub use config::HttpConfig;
#[cfg(feature = "http")]
pub use source::{NamesAtUrl, http};
