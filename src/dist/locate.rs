//! Where a node listens: its host's address, and the port that EPMD knows.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;

use super::error::ConnectError;
use super::handshake::Version;
use crate::epmd::codec::Name;
use crate::epmd::{Client, EpmdError};
use crate::name::NodeName;

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The addresses of its host with its port, in the order in which they are to be tried.
    pub addresses: Vec<SocketAddr>,
    /// The version of the protocol that it speaks, as far as EPMD knows.
    pub version: Version,
}

/// Finds where `peer` listens. With a `port`, EPMD is not asked; else the EPMD on `epmd_port` of the peer's
/// host is.
///
/// # Errors
/// [`ConnectError::UnknownHost`], [`ConnectError::Epmd`], [`ConnectError::NotRegistered`],
/// [`ConnectError::TooOld`].
pub async fn locate(
    peer: &NodeName,
    epmd_port: u16,
    port: Option<u16>,
    within: Duration,
) -> Result<Located, ConnectError> {
    let (port, version) = match port {
        Some(port) => (port, Version::V6),
        None => registered_port(peer, epmd_port, within).await?,
    };
    let unknown = |detail: String| ConnectError::UnknownHost {
        peer: peer.clone(),
        detail,
    };
    let found = lookup_host((peer.host(), port)).await;
    let found = found.map_err(|error| unknown(error.to_string()))?;
    let mut addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(unknown("it has none".into()));
    }
    // OTP's distribution is IPv4 unless it was started with `-proto_dist inet6_tcp`.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    Ok(Located { addresses, version })
}

async fn registered_port(
    peer: &NodeName,
    epmd_port: u16,
    within: Duration,
) -> Result<(u16, Version), ConnectError> {
    let client = Client::new(peer.host(), epmd_port).with_timeout(within);
    let name = Name::new(peer.name()).map_err(EpmdError::Request);
    let answer = match name {
        Ok(name) => client.port_please(&name).await,
        Err(error) => Err(error),
    };
    let peer = peer.clone();
    match answer {
        Ok(Some(registration)) => match registration.highest_version {
            ..5 => Err(ConnectError::TooOld { peer }),
            5 => Ok((registration.port, Version::V5)),
            6.. => Ok((registration.port, Version::V6)),
        },
        Ok(None) => Err(ConnectError::NotRegistered {
            peer,
            endpoint: client.endpoint(),
        }),
        Err(EpmdError::Resolve { reason, .. }) => Err(ConnectError::UnknownHost {
            peer,
            detail: reason,
        }),
        Err(error) => Err(ConnectError::Epmd { peer, error }),
    }
}
