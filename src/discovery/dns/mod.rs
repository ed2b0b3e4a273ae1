//! The `dns` provider.

// The provider itself follows in the next commit.
#[allow(dead_code)]
mod config;

pub use config::{DnsConfig, DnsName, HostType, InvalidDnsConfig, RecordType, SystemFiles};
