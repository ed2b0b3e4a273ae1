//! Where a node listens: its host's address, and the port that EPMD knows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::ConnectError;
use super::handshake::Version;
use crate::epmd::codec::Name;
use crate::epmd::{Client, EpmdError};
use crate::host_lookup::host_addresses;
use crate::name::NodeName;

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The addresses of its host with its port, in the order in which they must be tried. The address at which EPMD
    /// answered comes first.
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
    let host = host_of(peer, within).await?;
    locate_at(peer, host, epmd_port, port, within).await
}

/// The addresses of the host of a node, IPv4 first: OTP's distribution is IPv4 unless it was started with `-proto_dist
/// inet6_tcp`.
pub(super) async fn host_of(
    peer: &NodeName,
    within: Duration,
) -> Result<Vec<IpAddr>, ConnectError> {
    let host = peer.host();
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let found = host_addresses(bare.unwrap_or(host), within).await;
    let unknown = |detail: String| ConnectError::UnknownHost {
        peer: peer.clone(),
        detail,
    };
    let mut addresses = found.map_err(|error| unknown(error.to_string()))?;
    if addresses.is_empty() {
        return Err(unknown("it has none".into()));
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    Ok(addresses)
}

/// As [`locate`], with the addresses of the host.
pub(super) async fn locate_at(
    peer: &NodeName,
    mut host: Vec<IpAddr>,
    epmd_port: u16,
    port: Option<u16>,
    within: Duration,
) -> Result<Located, ConnectError> {
    let (port, version) = match port {
        Some(port) => (port, Version::V6),
        None => {
            let (port, version, at) = registered_port(peer, &host, epmd_port, within).await?;
            // It is known of this one that something answers there.
            host.sort_by_key(|address| Some(*address) != at);
            (port, version)
        }
    };
    let endpoint = |address| SocketAddr::new(address, port);
    let addresses = host.into_iter().map(endpoint).collect();
    Ok(Located { addresses, version })
}

async fn registered_port(
    peer: &NodeName,
    host: &[IpAddr],
    epmd_port: u16,
    within: Duration,
) -> Result<(u16, Version, Option<IpAddr>), ConnectError> {
    let client = Client::new(peer.host(), epmd_port)
        .with_addresses(host.to_vec())
        .with_timeout(within);
    let name = Name::new(peer.name()).map_err(EpmdError::Request);
    let answer = match name {
        Ok(name) => client.port_please_at(&name).await,
        Err(error) => Err(error),
    };
    let peer = peer.clone();
    match answer {
        Ok((Some(registration), at)) => match registration.highest_version {
            ..5 => Err(ConnectError::TooOld { peer }),
            5 => Ok((registration.port, Version::V5, at)),
            6.. => Ok((registration.port, Version::V6, at)),
        },
        Ok((None, _)) => Err(ConnectError::NotRegistered {
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
