//! What the sources behind an HTTP API share.

pub mod client;
